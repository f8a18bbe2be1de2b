"""Run the network once over every image: logits and class activation maps, kept batch by batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogcam.backends import Backend
from dogcam.data.images import read_photo
from dogcam.detection import detector
from dogcam.models.two_scale import fuse_logits
from dogcam.structures.images import LabelledImage
from report import record as results
from report.config import REFERENCE
from report.pipeline.backend import choose, run_backend
from report.pipeline.context import Context
from report.pipeline.fingerprint import digest
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE, requests
from report.pipeline.shared.predictions import LOGITS, REFERENCE_LOGITS, is_whole, write_batch

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
    files = {role: _predict_split(context, role, chosen.backend) for role in context.splits}
    together = [name for names in files.values() for name in names]
    return {"by_split": files, "files": together, "backend": chosen.info.model_dump(mode="json")}


def _predict_split(context: Context, role: str, backend: Backend | None) -> list[str]:
    images, names = context.splits[role].images, list[str]()
    batches, size = context.in_batches(images), context.config.batch_size
    for batch in context.progress.track(batches, len(images), f"predict {role}", size):
        path = context.workspace / f"{role}-{len(names):05d}.npz"
        seal = digest(context.workspace.name, role, *(image.id for image in batch))
        if not is_whole(path, seal):
            made = _predict(context, batch, backend)
            context.sources.require_unchanged(image.path for image in batch)
            write_batch(path, made, seal)
        names.append(path.relative_to(context.folder).as_posix())
    return names


def _predict(
    context: Context, images: Sequence[LabelledImage], backend: Backend | None
) -> dict[str, NDArray[np.float32]]:
    classifier = context.classifier
    wanted = requests(classifier)
    found = detector.predict(
        classifier.network, [read_photo(image) for image in images], classifier.preprocessing,
        classifier.high_resolution, [context.target], list(wanted.values()),
    )  # fmt: skip
    logits = {LOGITS: found.logits}
    maps = {name: each[:, 0] for name, each in zip(wanted, found.maps, strict=True)}
    if context.config.backend != REFERENCE:
        logits[REFERENCE_LOGITS], maps[GRAD_CAM_REFERENCE] = logits[LOGITS], maps[GRAD_CAM]
    if backend is not None:
        of_backend, own_maps = run_backend(backend, classifier, found.batch, context.target)
        logits[LOGITS] = fuse_logits(of_backend, found.high_resolution)
        maps |= own_maps
    return {name: tensor.cpu().numpy() for name, tensor in (logits | maps).items()}
