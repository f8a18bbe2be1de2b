"""The predictions of a run: files of logits and class activation maps, read once."""

import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dogcam.errors import RecordError
from dogcam.files import atomic_write, read_bytes, sha256_of, unfolds
from dogcam.models.classifier import Classifier
from report.pipeline.context import Context
from report.pipeline.fingerprint import digest
from report.pipeline.methods import GRAD_CAM, GRAD_CAM_REFERENCE

LOGITS, REFERENCE_LOGITS = "logits", "reference logits"
"""The entries of a file for the logits, and those of the reference implementation if a backend ran."""

_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SyntaxError, MemoryError,
               BadZipFile, zlib.error, NotImplementedError)  # fmt: skip
"""What numpy raises for damaged files, depending on which byte is wrong."""

CLASS_MAPS = "grad_cam of classes"
"""The entry of a file for the Grad-CAM maps of several classes."""

_SEAL = "sealed"
"""The entry with the checksum of the run, the images and the other entries."""


@dataclass(frozen=True)
class SplitPredictions:
    """The output of the network for the images of a split, in their order.

    Attributes:
        classifier: turns logits into probabilities.
        logits: (N, C) float32 array.
        maps: for each map method a (N, h, w) float32 array for the target class.
        class_maps: of the main method for the other classes, (N, h, w) float32 arrays by name.
        reference: the logits of the reference implementation if a backend made the others: (N, C) float32.
    """

    classifier: Classifier
    logits: NDArray[np.float32]
    maps: dict[str, NDArray[np.float32]]
    class_maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    reference: NDArray[np.float32] | None = None

    def maps_of(self, name: str, method: str = GRAD_CAM) -> NDArray[np.float32]:
        """Return the maps of a class: (N, h, w); for the target by any method, for others by the main one."""
        return self.class_maps[name] if method == GRAD_CAM and name in self.class_maps else self.maps[method]

    def probabilities(self, target: int, method: str = GRAD_CAM) -> NDArray[np.float64]:
        """Return the probability of a class in each image: (N,) float64 array in [0, 1]."""
        logits = self.logits
        if method == GRAD_CAM_REFERENCE and self.reference is not None:
            logits = self.reference
        return self.classifier.probabilities(logits)[:, target]


def predictions(context: Context, role: str) -> SplitPredictions:
    """Return the predictions of a split, in the order of its images; they are read once a run.

    Args:
        context: after the stage `predict`.
        role: `reported` or `tuning`.

    Raises:
        RecordError: if a file is damaged.
    """
    names = context.outputs["predict"]["by_split"][role]
    return context.once(("predictions", *names), lambda: _load(context, names))


def _load(context: Context, files: list[str]) -> SplitPredictions:
    batches = [_read(context.folder / name) for name in files]
    names = batches[0].keys() - {_SEAL}
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in sorted(names)}
    logits, reference = columns.pop(LOGITS), columns.pop(REFERENCE_LOGITS, None)
    several = columns.pop(CLASS_MAPS, None)
    of_classes = () if several is None else zip(context.config.several, several.swapaxes(0, 1), strict=True)
    # The target keeps its own map: that of the joint pass differs by rounding from a run for it alone.
    class_maps = {name: maps for name, maps in of_classes if name != context.config.target}
    return SplitPredictions(context.classifier, logits, columns, class_maps, reference)


def write_batch(path: Path, arrays: dict[str, NDArray], seal: str) -> None:
    """Write the predictions of a batch, with the seal that names the run and its images."""
    buffer, sealed = io.BytesIO(), _sealed(arrays, seal)
    # Without the option `allow_pickle`: it is an array's name to numpy 1.
    np.savez(buffer, **cast(dict[str, Any], arrays | {_SEAL: np.array(sealed)}))
    atomic_write(path, buffer.getvalue())


def is_whole(path: Path, seal: str) -> bool:
    """Tell whether a file holds the whole batch of this seal, left by an interrupted run."""
    try:
        arrays = _read(path)
    except RecordError:
        return False
    return str(arrays.pop(_SEAL, None)) == _sealed(arrays, seal)


def _sealed(arrays: dict[str, NDArray], seal: str) -> str:
    """Return the checksum over the arrays of a file and the seal of its run and images."""
    parts = (f"{name} {each.dtype} {each.shape} {sha256_of(each.tobytes())}" for name, each in arrays.items())
    return digest(seal, *sorted(parts))


def _read(path: Path) -> dict[str, NDArray]:
    content = io.BytesIO(read_bytes(path, error=RecordError))
    try:
        if unfolds(content):
            raise ValueError("it is compressed")
        with np.load(content) as file:
            return {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise RecordError(f"{path} is damaged ({error}); delete it, and run again") from error
