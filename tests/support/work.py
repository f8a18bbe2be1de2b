"""Functions that worker processes import."""

import os
import signal
from pathlib import Path

from torch import Tensor

from dogcam.models.classifier import Classifier


def name_of(classifier: Classifier, number: int) -> tuple[str, int, int]:
    """The name of the classifier, the number, and the process."""
    return classifier.name, number, os.getpid()


def die_once(classifier: Classifier, marker: Path) -> str:
    """Kill this process, unless an earlier one died of this marker."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return classifier.name


def refuse(classifier: Classifier, number: int) -> None:
    """Raise an error of this program."""
    from dogcam.errors import DataError

    raise DataError(f"photograph {number} is damaged")


def maps_by(kind: str, classifier: Classifier, folder: Path, batch: Tensor) -> tuple[str, Tensor, Tensor]:
    """The name of a backend, and its logits and maps."""
    from dogcam.backends import load_backend

    backend = load_backend(kind, classifier, folder)
    return backend.name, *backend.maps(batch)
