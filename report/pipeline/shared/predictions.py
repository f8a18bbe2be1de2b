"""The predictions of a run: files of logits and class activation maps, read once."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dogcam.errors import RecordError
from dogcam.files import atomic_write
from dogcam.models.classifier import Classifier
from report.pipeline.context import Context
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE

LOGITS, REFERENCE_LOGITS = "logits", "reference logits"
"""The entries of a file for the logits, and for those of the reference implementation beside a backend."""

_SEAL = "sealed"
"""The entry that names the run and the images that a file is of."""


@dataclass(frozen=True)
class Predictions:
    """The output of the network for the images of a split, in their order.

    Attributes:
        classifier: turns logits into probabilities.
        logits: (N, C) float32 array.
        maps: for each map method a (N, h, w) float32 array for the target class.
        reference: the logits of the reference implementation if a backend made the others: (N, C) float32.
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


def predictions(context: Context, role: str) -> Predictions:
    """Return the predictions of a split, in the order of its images; they are read once a run.

    Args:
        context: after the stage `predict`.
        role: `reported` or `tuning`.

    Raises:
        RecordError: if a file is damaged.
    """
    names = context.outputs["predict"]["by_split"][role]
    return context.once(("predictions", *names), lambda: _load(context, names))


def _load(context: Context, files: list[str]) -> Predictions:
    batches = [_read(context.folder / name) for name in files]
    names = batches[0].keys() - {_SEAL}
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in sorted(names)}
    return Predictions(context.classifier, columns.pop(LOGITS), columns, columns.pop(REFERENCE_LOGITS, None))


def write_batch(path: Path, arrays: dict[str, NDArray], seal: str) -> None:
    """Write the predictions of a batch, with the seal that names the run and its images."""
    buffer = io.BytesIO()
    # Without the option `allow_pickle`: it is an array's name to numpy 1.
    np.savez(buffer, **cast(dict[str, Any], arrays | {_SEAL: np.array(seal)}))
    atomic_write(path, buffer.getvalue())


def is_whole(path: Path, seal: str) -> bool:
    """Tell whether a file holds the whole batch of this seal, left by an interrupted run."""
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
