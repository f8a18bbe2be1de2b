"""Where functions of the classifier run: in this process, or in workers that hold a copy of it."""

import functools
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import torch
from PIL import Image

from dogcam.data.allocator import keep_freed_memory
from dogcam.data.images import read_pixels
from dogcam.data.workers import n_cores, n_fitting
from dogcam.files import read_bytes
from dogcam.models.classifier import Classifier
from dogcam.structures.images import LabelledImage
from report.pipeline.workers import in_turn

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_SECONDS = 10.0
"""Work of this process that is worth the start of workers, which import torch and the network's library."""


@dataclass(frozen=True)
class Held:
    """The classifier, in a worker.

    Attributes:
        key: of this classifier; a worker loads it once.
        device: of its network in the worker.
        fetch: returns the pickled classifier in the worker.
    """

    key: str
    device: str
    fetch: Callable[[], bytes] = field(compare=False)

    def classifier(self) -> Classifier:
        """Return the classifier of this process."""
        return _loaded(self)


@functools.lru_cache(maxsize=1)
def _loaded(held: Held) -> Classifier:
    # Workers of Ray begin without it.
    keep_freed_memory()
    # Each core has a worker of its own.
    torch.set_num_threads(1)
    found: Classifier = pickle.loads(held.fetch())
    found.network.to(held.device)
    return found


@dataclass(frozen=True)
class Sent:
    """An image for a worker; `content` is that of its file if the worker has no access to it."""

    image: LabelledImage
    content: bytes | None = None

    def read(self, at_least: int | None) -> Image.Image:
        """Return the pixels, as `read_pixels`."""
        return read_pixels(self.image, at_least, self.content)


@dataclass(frozen=True)
class Engine:
    """Workers that hold a copy of the classifier.

    Attributes:
        executor: of the workers.
        held: the copy.
        remote: the workers run on other machines as well, and do not read the files of this one.
        n_workers: tasks at the same time; None for as many as memory has room for.
    """

    executor: Executor
    held: Held
    remote: bool = False
    n_workers: int | None = None

    def apply(
        self, function: Callable[[Classifier, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Apply a picklable function of the classifier to items, and yield the results in their order."""
        n = self.n_workers or n_fitting()
        # No process waits for its next item, unless memory has no room for all of them.
        most_waiting = n - 1 if not self.remote and n < n_cores() else 2 * n
        return in_turn(self.executor, partial(_apply, self.held, function), items, most_waiting)


def sent(engine: Engine | None, images: Sequence[LabelledImage]) -> tuple[Sent, ...]:
    """Return images for a worker, with the content of their files if the worker does not read them."""
    remote = engine is not None and engine.remote
    return tuple(Sent(each, read_bytes(each.path) if remote else None) for each in images)


def _apply(held: Held, function: Callable[[Classifier, Item], Result], item: Item) -> Result:
    return function(held.classifier(), item)


def pickled(classifier: Classifier) -> bytes | None:
    """Return a classifier on the CPU as bytes for workers; None if its network cannot be pickled."""
    if classifier.device.type != "cpu":
        classifier = replace(classifier, network=deepcopy(classifier.network).cpu())
    try:
        return pickle.dumps(classifier)
    except Exception:  # what a user's network raises is not known
        return None


def share_out(
    engine: Engine | None,
    here: Callable[[Sequence[Item]], Iterator[Result]],
    there: Callable[[Engine, Sequence[Item]], Iterator[Result]],
    items: Sequence[Item],
) -> Iterator[Result]:
    """Compute the first item in this process, and the others in workers if they take long enough.

    Args:
        engine: None to compute all in this process.
        here: computes items in this process.
        there: computes them in workers, with the same results.
        items: in the order of the results.
    """
    if engine is None or not items:
        yield from here(items)
    elif engine.remote:
        yield from there(engine, items)
    else:
        started = time.perf_counter()
        yield from list(here(items[:1]))
        seconds, rest = time.perf_counter() - started, items[1:]
        worth = seconds * len(rest) > LEAST_SECONDS and n_fitting() > 1
        yield from there(engine, rest) if worth else here(rest)


def apply(
    engine: Engine | None,
    classifier: Classifier,
    function: Callable[[Classifier, Any], Result],
    items: Sequence[Any],
) -> Iterator[Result]:
    """Apply a function of the classifier to items, as `share_out` does, and yield the results in order.

    Args:
        engine: None to compute all in this process.
        classifier: of this process.
        function: picklable.
        items: its second arguments.
    """
    here = partial(map, partial(function, classifier))
    return share_out(engine, here, lambda workers, rest: workers.apply(function, rest), items)
