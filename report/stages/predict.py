"""Run the network once over every image: logits and class activation maps, kept batch by batch."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dogcam.cam import explain
from dogcam.errors import RecordError
from dogcam.files import write_whole
from dogcam.voc import VocImage
from report.stages.context import Context
from report.stages.methods import requests

NAME = "predict"


@dataclass(frozen=True)
class Predictions:
    """What the network says of the images of a split, in their order.

    Attributes:
        logits: (N, C) float32 array.
        maps: for each map method a (N, h, w) float32 array for the target class.
    """

    logits: NDArray[np.float32]
    maps: dict[str, NDArray[np.float32]]

    def probabilities(self, target: int) -> NDArray[np.float64]:
        """Return the probability of a class in each image: (N,) float64 array, the sigmoid of its logit."""
        return 1.0 / (1.0 + np.exp(-self.logits[:, target].astype(np.float64)))


def run(context: Context) -> dict:
    """Predict every image of every split; batches that an interrupted run left behind are not made again.

    Returns:
        The files of each split in the order of its images, and all of them together.
    """
    files = {role: _predict_split(context, role) for role in context.splits}
    return {"by_split": files, "files": [name for names in files.values() for name in names]}


def load(context: Context, role: str) -> Predictions:
    """Read the predictions of a split back, in the order of its images."""
    batches = [_read(context.folder / name) for name in context.outputs[NAME]["by_split"][role]]
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return Predictions(columns.pop("logits"), columns)


def _predict_split(context: Context, role: str) -> list[str]:
    images, size = context.splits[role].images, context.config.batch_size
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    names = []
    for batch in context.progress.track(batches, len(images), f"predict {role}", size):
        path = context.workspace / f"{role}-{len(names):05d}.npz"
        if not path.exists():
            write_whole(path, _npz(_predict(context, batch)))
        names.append(path.relative_to(context.folder).as_posix())
    return names


def _predict(context: Context, images: Sequence[VocImage]) -> dict[str, NDArray[np.float32]]:
    classifier = context.classifier
    wanted = requests(classifier)
    batch = classifier.batch([image.read() for image in images])
    explanation = explain(classifier.network, batch, [context.target], list(wanted.values()))
    maps = (maps[:, 0].cpu().numpy() for maps in explanation.maps)
    return {"logits": explanation.logits.cpu().numpy(), **dict(zip(wanted, maps, strict=True))}


def _npz(arrays: dict[str, NDArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read(path: Path) -> dict[str, NDArray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise RecordError(f"{path} is damaged ({error}); delete it, and run again") from error
