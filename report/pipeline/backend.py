"""Choose the backend that computes the maps of the target layer, and calibrate it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from torch import Tensor

from dogcam.backends import Backend, fastest_backend, load_backend, needs_calibration, packages_of
from dogcam.errors import ConfigError
from dogcam.models.classifier import Classifier
from dogcam.network.activation import activate
from dogcam.structures.backends import EXACT
from report import record as results
from report.config import AUTO, REFERENCE, MapSource
from report.pipeline.context import Context
from report.pipeline.methods import CAM, GRAD_CAM, PROBABILITY

CALIBRATION = 128
"""Number of images of the tuning split on which a backend is calibrated."""


@dataclass(frozen=True)
class Chosen:
    """The backend that runs, None for the reference implementation, and its description for the record."""

    backend: Backend | None
    info: results.BackendInfo


def libraries(name: MapSource) -> str:
    """Return the versions of the packages that a backend needs besides torch."""
    if name == REFERENCE:
        return "none"
    names = EXACT if name == AUTO else (name,)
    packages = dict.fromkeys(package for each in names for package in packages_of(each))
    return ", ".join(f"{each} {_version(each)}" for each in packages) or "none"


def choose(context: Context) -> Chosen:
    """Load the backend that the settings name; state the reason if another takes its place.

    For `auto`, the exact backends that are installed are measured, and the record states their rates.

    Raises:
        ConfigError: if it needs images for calibration, and there is no tuning split.
    """
    asked = context.config.backend
    if asked == REFERENCE:
        return Chosen(None, results.BackendInfo(asked=asked, used=REFERENCE))
    messages: list[str] = []
    exported = context.cache / "exported"
    rates: list[results.BackendRate] = []
    batch_size: int | None = None
    if asked == AUTO:
        found = fastest_backend(context.classifier, exported, context.config.batch_size, messages.append)
        backend, batch_size = found.backend, found.batch_size if found.rates else None
        rates = [results.BackendRate(name=name, images_per_second=rate) for name, rate in found.rates.items()]
    else:
        calibration = _calibration(context) if needs_calibration(asked) else None
        backend = load_backend(asked, context.classifier, exported, calibration, warn=messages.append)
    for message in messages:
        context.progress.say(message)
    calibrated = needs_calibration(backend.name)
    info = results.BackendInfo(
        asked=asked,
        used=backend.name,
        reason=" ".join(messages) or None,
        n_calibration=min(CALIBRATION, len(context.splits["tuning"])) if calibrated else None,
        versions=dict(backend.versions),
        rates=rates,
        measured_batch=batch_size,
    )
    if backend.kind == "cam":
        return Chosen(backend, info)
    return Chosen(None, info.model_copy(update={"used": REFERENCE}))


def run_backend(
    backend: Backend, classifier: Classifier, batch: Tensor, target: int, several: Sequence[int] = ()
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Run a batch, and make of the class activation map the maps that are one with it.

    Grad-CAM is the positive part of CAM divided by the number of positions. Grad-CAM of a probability p is
    p (1 - p) times that for a sigmoid; for a softmax, p times that of CAM less the mean of all classes' CAM
    weighted by their probabilities (see `dogcam.cam`).

    Returns:
        (N, C) logits, (N, h, w) maps of the target by the names of the methods, and (N, K, h, w) maps by
        Grad-CAM of several classes.
    """
    logits, every_class = backend.maps(batch)
    cam = every_class[:, target]
    grad_cam = cam.relu() / cam[0].numel()
    every_p = activate(logits, classifier.activation)[:, :, None, None]
    p = every_p[:, target]
    if classifier.activation == "sigmoid":
        of_probability = p * (1 - p) * grad_cam
    else:
        of_probability = p * (cam - (every_p * every_class).sum(dim=1)).relu() / cam[0].numel()
    of_classes = every_class[:, list(several)].relu() / cam[0].numel()
    return logits, {CAM: cam, GRAD_CAM: grad_cam, PROBABILITY: of_probability}, of_classes


def _calibration(context: Context) -> list[Tensor]:
    if context.tuning is None:
        raise ConfigError(
            f"the backend {context.config.backend} is calibrated on images that are not reported on, and "
            "there is no tuning split; name one with --tuning-split, or another backend"
        )
    parts = context.in_batches(context.tuning.images[:CALIBRATION])
    return [context.input_of(part) for part in parts]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
