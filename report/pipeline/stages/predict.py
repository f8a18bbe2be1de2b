"""Run the network once over every image: logits and class activation maps, kept batch by batch."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from dogcam.backends import Backend
from dogcam.cam import OfClasses, Request
from dogcam.detection import detector
from dogcam.models.two_scale import fuse_logits
from report import record as results
from report.config import REFERENCE
from report.pipeline.backend import Chosen, choose, run_backend
from report.pipeline.context import Context
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE, requests
from report.pipeline.shared.batches import Batch, resume
from report.pipeline.shared.predictions import CLASS_MAPS, LOGITS, REFERENCE_LOGITS, is_whole, write_batch
from report.pipeline.workers import in_threads

NAME = "predict"


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
    def make(batches: Sequence[Batch]) -> Iterator[dict[str, NDArray[np.float32]]]:
        # The next photographs are decoded while the network runs.
        photos = in_threads(context.read, itertools.chain.from_iterable(batches))
        return (
            _predict(context, list(itertools.islice(photos, len(each))), chosen.backend) for each in batches
        )

    batches = context.in_batches(context.splits[role].images)
    # With `auto`, a run that is resumed may find that another backend is the fastest.
    return resume(
        context, role, NAME, batches, make, is_whole, write_batch, made_by=chosen.info.used, suffix=".npz"
    )


def _predict(
    context: Context, photos: Sequence[Image], backend: Backend | None
) -> dict[str, NDArray[np.float32]]:
    classifier = context.classifier
    of_target = requests(classifier)
    wanted: dict[str, Request | OfClasses] = {**of_target}
    if context.several:
        wanted[CLASS_MAPS] = OfClasses(of_target[GRAD_CAM], context.several)
    found = detector.predict(
        classifier.network, photos, classifier.preprocessing,
        classifier.high_resolution, [context.target], list(wanted.values()),
    )  # fmt: skip
    logits = {LOGITS: found.logits}
    by_name = dict(zip(wanted, found.maps, strict=True))
    maps = {name: each if name == CLASS_MAPS else each[:, 0] for name, each in by_name.items()}
    if context.config.backend != REFERENCE:
        logits[REFERENCE_LOGITS], maps[GRAD_CAM_REFERENCE] = logits[LOGITS], maps[GRAD_CAM]
    if backend is not None:
        of_backend, own_maps, of_classes = run_backend(
            backend, classifier, found.batch, context.target, context.several
        )
        logits[LOGITS] = fuse_logits(of_backend, found.high_resolution)
        maps |= own_maps | ({CLASS_MAPS: of_classes} if context.several else {})
    return {name: tensor.cpu().numpy() for name, tensor in (logits | maps).items()}
