"""Choose the fastest exact backend by a short measurement."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dogcam.backends.backend import Backend, BackendName
from dogcam.backends.loading import load_backend, missing_packages
from dogcam.backends.maps_network import noise_images
from dogcam.errors import ModelError
from dogcam.models.classifier import Classifier
from dogcam.structures.backends import EXACT

ROUNDS = 3
"""Number of measured batches of each backend, after one that is not measured."""


@dataclass(frozen=True)
class Fastest:
    """The result of a measurement.

    Attributes:
        backend: the fastest one.
        rates: images per second of each backend that was measured, from the median of the rounds.
        batch_size: number of images in a batch.
    """

    backend: Backend
    rates: dict[BackendName, float]
    batch_size: int


def fastest_backend(
    classifier: Classifier, cache: Path, batch_size: int, warn: Callable[[str], None]
) -> Fastest:
    """Measure the exact backends that are installed on batches of noise, and return the fastest.

    In each round, every backend runs one batch: if the load of the machine changes, all rates change.
    Backends that approximate, such as `int8`, are not candidates.

    Args:
        classifier: in evaluation mode.
        cache: folder of exported networks.
        batch_size: number of images in a batch.
        warn: receives the reason if a backend cannot run.

    Returns:
        The fastest backend, and what was measured: nothing if the network does not end in global average
        pooling and one head, because all names then stand for Grad-CAM in torch.
    """
    candidates: list[Backend] = []
    batch = noise_images(classifier, batch_size)
    for name in EXACT:
        if missing_packages(name):
            continue
        try:
            backend = load_backend(name, classifier, cache, warn=warn)
            if backend.kind != "cam":
                return Fastest(backend, {}, batch_size)
            backend.maps(batch)
        except ModelError as error:
            warn(f"the backend {name} is no candidate: {error}")
            continue
        candidates.append(backend)
    seconds = [[_seconds(backend, batch) for backend in candidates] for _ in range(ROUNDS)]
    medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
    rates = {each.name: batch_size / median for each, median in zip(candidates, medians, strict=True)}
    return Fastest(candidates[medians.index(min(medians))], rates, batch_size)


def _seconds(backend: Backend, batch: Tensor) -> float:
    start = time.perf_counter()
    backend.maps(batch)
    return time.perf_counter() - start
