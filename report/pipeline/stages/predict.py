"""Run the network once over every image: logits and class activation maps, kept batch by batch."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dogcam.backends import Backend
from dogcam.data.images import read_photo
from dogcam.detection import detector
from dogcam.errors import RecordError
from dogcam.files import atomic_write
from dogcam.models.classifier import Classifier
from dogcam.models.two_scale import fuse_logits
from dogcam.structures.images import LabelledImage
from report.config import REFERENCE
from report.pipeline.backend import choose, run_backend
from report.pipeline.context import Context
from report.pipeline.fingerprint import digest
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE, requests

NAME = "predict"

_SEAL = "sealed"
"""The entry of a file of predictions that names the run and the images that it is of."""

_REFERENCE = "reference logits"
"""What the engine's logits are stored as, beside those of a backend."""


@dataclass(frozen=True)
class Predictions:
    """What the network says of the images of a split, in their order.

    Attributes:
        classifier: turns logits into probabilities.
        logits: (N, C) float32 array.
        maps: for each map method a (N, h, w) float32 array for the target class.
        reference: the engine's logits, where a backend made the others: (N, C) float32 array.
    """

    classifier: Classifier
    logits: NDArray[np.float32]
    maps: dict[str, NDArray[np.float32]]
    reference: NDArray[np.float32] | None = None

    def probabilities(self, target: int, method: str = GRAD_CAM) -> NDArray[np.float64]:
        """Return the probability of a class in each image: (N,) float64 array in [0, 1]."""
        logits = self.logits
        if method == GRAD_CAM_REFERENCE and self.reference is not None:
            logits = self.reference
        return self.classifier.probabilities(logits)[:, target]


def run(context: Context) -> dict:
    """Predict every image of every split; whole batches that an interrupted run left are not made again.

    Returns:
        The files of each split in the order of its images, all of them together, and what ran.
    """
    chosen = choose(context)
    files = {role: _predict_split(context, role, chosen.backend) for role in context.splits}
    together = [name for names in files.values() for name in names]
    return {"by_split": files, "files": together, "backend": chosen.info.model_dump(mode="json")}


def load(context: Context, role: str) -> Predictions:
    """Read the predictions of a split back, in the order of its images."""
    batches = [_read(context.folder / name) for name in context.outputs[NAME]["by_split"][role]]
    names = batches[0].keys() - {_SEAL}
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in sorted(names)}
    return Predictions(context.classifier, columns.pop("logits"), columns, columns.pop(_REFERENCE, None))


def _predict_split(context: Context, role: str, backend: Backend | None) -> list[str]:
    images, names = context.splits[role].images, list[str]()
    batches, size = context.in_batches(images), context.config.batch_size
    for batch in context.progress.track(batches, len(images), f"predict {role}", size):
        path = context.workspace / f"{role}-{len(names):05d}.npz"
        seal = digest(context.workspace.name, role, *(image.id for image in batch))
        if not _is_whole(path, seal):
            made = _npz(_predict(context, batch, backend) | {_SEAL: np.array(seal)})
            context.sources.require_unchanged([image.path for image in batch])
            atomic_write(path, made)
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
    logits = {"logits": found.logits}
    maps = {name: each[:, 0] for name, each in zip(wanted, found.maps, strict=True)}
    if context.config.backend != REFERENCE:
        logits[_REFERENCE], maps[GRAD_CAM_REFERENCE] = logits["logits"], maps[GRAD_CAM]
    if backend is not None:
        of_backend, own_maps = run_backend(backend, classifier, found.batch, context.target)
        logits["logits"] = fuse_logits(of_backend, found.high_resolution)
        maps |= own_maps
    return {name: tensor.cpu().numpy() for name, tensor in (logits | maps).items()}


def _npz(arrays: dict[str, NDArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **cast(dict[str, Any], arrays))
    return buffer.getvalue()


def _is_whole(path: Path, seal: str) -> bool:
    """Tell whether an interrupted run left this batch of this run and these images."""
    try:
        return str(_read(path).get(_SEAL)) == seal
    except RecordError:
        return False


def _read(path: Path) -> dict[str, NDArray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise RecordError(f"{path} is damaged ({error}); delete it, and run again") from error
