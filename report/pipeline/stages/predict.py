"""Run the network once over every image: logits and class activation maps, kept batch by batch."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from dogcam.backends import Backend
from dogcam.cam import OfClasses, Request
from dogcam.detection import detector
from dogcam.models.classifier import Classifier
from dogcam.models.two_scale import fuse_logits
from report import record as results
from report.config import REFERENCE
from report.pipeline.backend import Chosen, choose, run_backend
from report.pipeline.context import Context
from report.pipeline.engines import Engine, Sent, sent, share_out
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE, requests
from report.pipeline.shared.batches import Batch, resume
from report.pipeline.shared.predictions import CLASS_MAPS, LOGITS, REFERENCE_LOGITS, is_whole, write_batch
from report.pipeline.workers import in_threads

NAME = "predict"

Arrays = dict[str, NDArray[np.float32]]


class Output(results.Model):
    """The files of each split in the order of its images, all files, and the backend that ran."""

    by_split: dict[str, list[str]]
    files: list[str]
    backend: results.BackendInfo


def run(context: Context) -> dict:
    """Predict every image of every split; whole batches that an interrupted run left are not made again.

    Returns:
        The files of each split in the order of its images, all of them together, and what ran.
    """
    chosen = choose(context)
    files = {role: _predict_split(context, role, chosen) for role in context.splits}
    together = [name for names in files.values() for name in names]
    return {"by_split": files, "files": together, "backend": chosen.info.model_dump(mode="json")}


def _predict_split(context: Context, role: str, chosen: Chosen) -> list[str]:
    work = _Work.of(context)

    def here(batches: Sequence[Batch]) -> Iterator[Arrays]:
        # The next photographs are decoded while the network runs.
        photos = in_threads(context.read, itertools.chain.from_iterable(batches))
        parts = (list(itertools.islice(photos, len(each))) for each in batches)
        return (work.predict(context.classifier, each, chosen.backend) for each in parts)

    def there(engine: Engine, batches: Sequence[Batch]) -> Iterator[Arrays]:
        return engine.apply(work.read_and_predict, (sent(engine, batch) for batch in batches))

    # A backend uses all cores, and cannot be sent to workers.
    engine = context.engine if chosen.backend is None else None
    batches = context.in_batches(context.splits[role].images)
    # With `auto`, a run that is resumed may find that another backend is the fastest.
    return resume(
        context, role, NAME, batches, partial(share_out, engine, here, there), is_whole, write_batch,
        made_by=chosen.info.used, suffix=".npz",
    )  # fmt: skip


@dataclass(frozen=True)
class _Work:
    """What is computed for each batch.

    Attributes:
        target: index of the target class.
        several: indices of the classes that are measured, if there are several.
        as_reference: keep the reference implementation's results beside those of a backend.
    """

    target: int
    several: tuple[int, ...]
    as_reference: bool

    @classmethod
    def of(cls, context: Context) -> "_Work":
        return cls(context.target, context.several, context.config.backend != REFERENCE)

    def read_and_predict(self, classifier: Classifier, batch: Sequence[Sent]) -> Arrays:
        return self.predict(classifier, [each.read(classifier.least_side) for each in batch])

    def predict(
        self, classifier: Classifier, photos: Sequence[Image], backend: Backend | None = None
    ) -> Arrays:
        """Return the logits and maps of a batch by their names in its file."""
        of_target = requests(classifier)
        wanted: dict[str, Request | OfClasses] = {**of_target}
        if self.several:
            wanted[CLASS_MAPS] = OfClasses(of_target[GRAD_CAM], self.several)
        found = detector.predict(
            classifier.network, photos, classifier.preprocessing,
            classifier.high_resolution, [self.target], list(wanted.values()),
        )  # fmt: skip
        logits = {LOGITS: found.logits}
        by_name = dict(zip(wanted, found.maps, strict=True))
        maps = {name: each if name == CLASS_MAPS else each[:, 0] for name, each in by_name.items()}
        if self.as_reference:
            logits[REFERENCE_LOGITS], maps[GRAD_CAM_REFERENCE] = logits[LOGITS], maps[GRAD_CAM]
        if backend is not None:
            of_backend, own_maps, of_classes = run_backend(
                backend, classifier, found.batch, self.target, self.several
            )
            logits[LOGITS] = fuse_logits(of_backend, found.high_resolution)
            maps |= own_maps | ({CLASS_MAPS: of_classes} if self.several else {})
        return {name: tensor.cpu().numpy() for name, tensor in (logits | maps).items()}
