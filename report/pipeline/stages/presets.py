"""Find the boxes of the presets, and of the steps towards the fullest of them, image by image."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from dogcam.data.images import read_pixels
from dogcam.detection.ablation import DenseThreshold, Step, steps_to
from dogcam.detection.detector import Detector
from dogcam.detection.evidence import Evidence, View
from dogcam.detection.localiser import load_localiser
from dogcam.detection.observer import Observer
from dogcam.detection.presets import ThresholdMethod, find_preset
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ModelError
from dogcam.models.classifier import Classifier
from dogcam.structures.presets import PresetName
from report import record as results
from report.pipeline.context import Context
from report.pipeline.engines import Engine, Sent, sent, share_out
from report.pipeline.shared.batches import Batch, resume
from report.pipeline.shared.preset_boxes import STAGE, is_whole, write_batch
from report.pipeline.shared.preset_work import RemainingWork, Task, finish, rows_of_boxes
from report.pipeline.workers import in_processes_as_made

NAME = STAGE

Found = dict[str, Any]

BATCH = 8
"""Images of one file; an interrupted run repeats at most this many."""


class Output(results.Model):
    """The files of each split in the order of its images, and what cannot run.

    Attributes:
        by_split: names of files by role.
        files: all of them.
        unavailable: the presets that the network cannot run.
        not_dense: why views have the plain resolution; None if they are dense.
        ablated: the preset that the steps lead to; None without steps.
        steps: names and titles of the steps; the last one is the preset itself.
    """

    by_split: dict[str, list[str]]
    files: list[str]
    unavailable: list[results.UnavailablePreset]
    not_dense: str | None
    ablated: str | None
    steps: list[tuple[str, str]]


@dataclass(frozen=True)
class _Asked:
    """What the settings ask for; equal ones need the same methods.

    Attributes:
        targets: the class whose time is measured, then the others.
        presets: their names.
        localiser: the file of the localiser; None if it is not compared.
    """

    targets: tuple[str, ...]
    presets: tuple[PresetName, ...]
    localiser: str | None


@dataclass(frozen=True)
class _Methods:
    """What finds boxes in a run.

    Attributes:
        target: the class whose time is measured.
        detectors: the presets of one threshold, for the target.
        observer: makes the views of the others; None if there are none.
        presets: the presets of several views.
        ablated: the fullest of them; None if there are none.
        steps: towards that one, which is the last.
        unavailable: the presets that the network cannot run.
    """

    target: str
    detectors: dict[str, Detector]
    observer: Observer | None
    presets: dict[str, ProposalMethod]
    ablated: str | None
    steps: list[Step]
    unavailable: list[results.UnavailablePreset]


def run(context: Context) -> dict:
    """Find boxes in every image of every split; whole files that an interrupted run left are kept."""
    config = context.config
    targets = dict.fromkeys((config.target, *config.several))
    asked = _Asked(tuple(targets), config.presets, config.localiser)
    methods = _methods(context.classifier, asked)
    for each in methods.unavailable:
        context.progress.say(f"the preset {each.name} is left out: {each.reason}")
    files = {role: _detect_split(context, role, asked, methods) for role in context.splits}
    return Output(
        by_split=files, files=[name for names in files.values() for name in names],
        unavailable=methods.unavailable,
        not_dense=None if methods.observer is None else methods.observer.dense_fault,
        ablated=methods.ablated,
        steps=[(step.name, step.title) for step in methods.steps],
    ).model_dump(mode="json")  # fmt: skip


def _methods(classifier: Classifier, asked: _Asked) -> _Methods:
    target = asked.targets[0]
    detectors: dict[str, Detector] = {}
    presets: dict[str, ProposalMethod] = {}
    observer, unavailable = None, []
    localiser = load_localiser(Path(asked.localiser), classifier) if asked.localiser else None
    for name in asked.presets:
        method = find_preset(name)
        if isinstance(method, ThresholdMethod):
            detectors[name] = method.detector(classifier, (target,))
            continue
        try:
            observer = observer or Observer(classifier, asked.targets, localiser)
            observer.require(method.all_views)
            presets[name] = method
        except ModelError as error:
            unavailable.append(results.UnavailablePreset(name=name, reason=str(error)))
    fullest = next(reversed(presets), None)
    proposals = find_preset("best")
    assert isinstance(proposals, ProposalMethod), "the preset `best` makes proposals"
    steps = [] if fullest is None else steps_to(presets[fullest], proposals)
    observer = observer if presets else None
    return _Methods(target, detectors, observer, presets, fullest, steps, unavailable)


def _detect_split(context: Context, role: str, asked: _Asked, methods: _Methods) -> list[str]:
    reported = role == "reported"

    def here(batches: Sequence[Batch]) -> Iterator[list[Found]]:
        images = list(itertools.chain.from_iterable(batches))
        # Not in threads: the processor time of the process is measured, and reading is not part of a method.
        work = (_observed(read_pixels(image), methods, reported) for image in images)
        made = in_processes_as_made(context.pool, finish, work, len(images))
        return (list(itertools.islice(made, len(batch))) for batch in batches)

    def there(engine: Engine, batches: Sequence[Batch]) -> Iterator[list[Found]]:
        return engine.apply(partial(_detect, asked, reported), (sent(engine, batch) for batch in batches))

    images = context.splits[role].images
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    # Other machines do not read the file of a localiser.
    elsewhere = context.engine is not None and context.engine.remote
    engine = None if elsewhere and asked.localiser else context.engine
    make = partial(share_out, engine, here, there)
    return resume(context, role, NAME, batches, make, is_whole, write_batch, suffix=".json")


def _detect(asked: _Asked, reported: bool, classifier: Classifier, images: Sequence[Sent]) -> list[Found]:
    """Return what is found in some images, in a worker."""
    methods = _methods_of_worker(classifier, asked)
    return [finish(_observed(each.read(None), methods, reported)) for each in images]


_methods_of_worker = lru_cache(maxsize=1)(_methods)
"""The methods of a worker, made once: the classifier of a worker is always the same object."""


def _observed(photo: Image, methods: _Methods, reported: bool) -> RemainingWork:
    """Make the forward passes of an image, each view once for all methods.

    The tuning split serves the operating points of the target: it needs no steps and no other classes.
    """
    found, seconds = {}, {}
    for name, detector in methods.detectors.items():
        started = time.process_time()
        found[name] = {methods.target: rows_of_boxes(next(iter(detector.run(photo))).located[0])}
        seconds[name] = time.process_time() - started
    observer, size = methods.observer, (photo.height, photo.width)
    if observer is None:
        return RemainingWork(size, 0, [], found, seconds)
    views = _Views(observer, photo)
    n_classes = len(observer.targets) if reported else 1
    tasks = [task for name, each in methods.presets.items() for task in _tasks(name, each, views, n_classes)]
    if reported:
        # The last step is the preset itself.
        tasks += [task for step in methods.steps[:-1] for task in _tasks(step.name, step.method, views, 1)]
    return RemainingWork(size, observer.side, tasks, found, seconds)


class _Views:
    """The views of one image: each is made once, with or without a localiser's boxes, and its processor time
    is kept."""

    def __init__(self, observer: Observer, photo: Image) -> None:
        self.targets, self._observer, self._photo = observer.targets, observer, photo
        self._layers = observer.localiser.card.layers if observer.localiser else ()
        self._made: dict[View, tuple[tuple[Evidence, ...], float]] = {}
        self._activations: dict[View, tuple[Tensor, ...]] = {}

    def evidence(self, view: View) -> tuple[Evidence, ...]:
        """Return the evidence of a view for each class."""
        if view not in self._made:
            self._made[view] = self._regressed(view) if view.regressed else self._observed(view)
        return self._made[view][0]

    def _observed(self, view: View) -> tuple[tuple[Evidence, ...], float]:
        started = time.process_time()
        found, self._activations[view] = self._observer.observe(self._photo, view, layers=self._layers)
        return found, time.process_time() - started

    def _regressed(self, view: View) -> tuple[tuple[Evidence, ...], float]:
        plain = replace(view, regressed=False)
        found = self.evidence(plain)
        started = time.process_time()
        found = self._observer.regress(found, self._activations[plain])
        return found, self._made[plain][1] + time.process_time() - started

    def seconds(self, views: tuple[View, ...]) -> float:
        """Return the processor time of views that were made."""
        return sum(self._made[view][1] for view in views)


def _tasks(
    name: str, method: ProposalMethod | DenseThreshold, views: _Views, n_classes: int
) -> Iterator[Task]:
    """Yield the work of a method for the first classes; the time is stated for the first, the target."""
    observed = method.observe(lambda view: views.evidence(view)[:n_classes])
    for place, (target, evidence) in enumerate(zip(views.targets, observed, strict=False)):
        seconds = views.seconds(method.all_views[: len(evidence)]) if place == 0 else None
        yield Task(name, target, method, evidence, seconds)
