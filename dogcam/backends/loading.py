"""Select a backend by name; warn and use torch if it is unavailable."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch
from torch import Tensor

from dogcam.backends.backend import Backend, BackendName
from dogcam.backends.maps_network import MapsNetwork, maps_network, noise_images, require_same
from dogcam.backends.onnx_backend import onnx_backend
from dogcam.backends.onnx_file import cached, export
from dogcam.backends.openvino_backend import openvino_backend
from dogcam.backends.quantisation import Quantisation, quantise, settings_of
from dogcam.backends.torch_backend import compiled_backend, explaining_backend, torch_backend
from dogcam.errors import ConfigError, ModelError
from dogcam.files import atomic_write
from dogcam.models.classifier import Classifier

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that the backends `onnx` and `int8` require."""


def load_backend(
    name: BackendName,
    classifier: Classifier,
    cache: Path,
    calibration: Sequence[Tensor] | None = None,
    quantisation: Quantisation | None = None,
    threads: int | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Backend:
    """Return a backend that runs the classifier; if it is unavailable, warn and return the torch backend.

    Args:
        name: one of `BACKENDS`.
        classifier: in evaluation mode; it is not changed.
        cache: folder of exported networks, named by a hash of weights and settings.
        calibration: for a backend that needs it, batches of preprocessed images, from which activation
            ranges are estimated: a few hundred images of the training split.
        quantisation: for `int8`, the settings; None for the defaults.
        threads: for `onnx`, `openvino` and `int8`, number of threads for one batch; None for as many as torch
            uses.
        warn: receives the warning.

    Raises:
        ConfigError: if there is no such backend, or it has no calibration images and needs them.
        ModelError: if the maps of the exported network differ from those of torch.
    """
    if name not in BACKENDS:
        raise ConfigError(f"there is no backend {name!r}; expected {', '.join(BACKENDS)}")
    if needs_calibration(name) and not calibration:
        raise ConfigError(
            f"the backend {name} has no calibration images; expected batches of preprocessed images"
        )
    try:
        network = maps_network(classifier)
    except ModelError as error:
        warn(f"the backend {name} is replaced by Grad-CAM in torch: {error}")
        return explaining_backend(classifier)
    factory = _FACTORIES[name]
    if missing := missing_packages(name):
        warn(
            f"the backend {name} is replaced by torch: {', '.join(missing)} is not installed; run  "
            f"pip install 'dogcam[{factory.extra}]'"
        )
        factory = _FACTORIES["torch"]
    return factory.make(
        _Inputs(classifier, network, cache, calibration or (), quantisation or Quantisation(), threads)
    )


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a backend: arguments of `load_backend`, and the graph of the network."""

    classifier: Classifier
    network: MapsNetwork
    cache: Path
    calibration: Sequence[Tensor]
    quantisation: Quantisation
    threads: int | None


def _onnx(inputs: _Inputs) -> Backend:
    return onnx_backend(_exported(inputs.classifier, inputs.network, inputs.cache), "onnx", inputs.threads)


def _openvino(inputs: _Inputs) -> Backend:
    return openvino_backend(_exported(inputs.classifier, inputs.network, inputs.cache), inputs.threads)


def _int8(inputs: _Inputs) -> Backend:
    exported = _exported(inputs.classifier, inputs.network, inputs.cache)
    settings = settings_of(inputs.quantisation, inputs.calibration)
    made = cached(
        inputs.cache, inputs.classifier, settings,
        lambda: quantise(exported, inputs.quantisation, inputs.calibration),
    )  # fmt: skip
    return onnx_backend(made, "int8", inputs.threads)


@dataclass(frozen=True)
class _Factory:
    """The function that creates a backend, the packages that it requires, the extra that installs them, and
    whether it is calibrated."""

    make: Callable[[_Inputs], Backend]
    packages: tuple[str, ...] = ()
    extra: str = "onnx"
    needs_calibration: bool = False


_FACTORIES: dict[BackendName, _Factory] = {
    "torch": _Factory(lambda inputs: torch_backend(inputs.network)),
    "compiled": _Factory(lambda inputs: compiled_backend(inputs.network)),
    "onnx": _Factory(_onnx, _ONNX_PACKAGES),
    "openvino": _Factory(_openvino, (*_ONNX_PACKAGES, "openvino"), "openvino"),
    "int8": _Factory(_int8, _ONNX_PACKAGES, needs_calibration=True),
}


def packages_of(name: BackendName) -> tuple[str, ...]:
    """Return the packages that a backend requires in addition to torch."""
    return _FACTORIES[name].packages


def missing_packages(name: BackendName) -> list[str]:
    """Return the packages that a backend requires and that are not installed."""
    return [package for package in packages_of(name) if find_spec(package) is None]


def needs_calibration(name: BackendName) -> bool:
    """Tell whether activation ranges of a backend are estimated from images."""
    return _FACTORIES[name].needs_calibration


def _exported(classifier: Classifier, network: MapsNetwork, cache: Path) -> Path:
    """Return the file of the exported network, whose maps were verified against torch."""

    def make() -> bytes:
        content = export(classifier, network)
        # Outside of the cache, so that the cache contains only files that passed the check.
        with TemporaryDirectory() as folder:
            path = atomic_write(Path(folder) / "exported.onnx", content)
            _require_same_maps(_opened(path), network, noise_images(classifier))
        return content

    return cached(cache, classifier, {}, make)


def _opened(path: Path) -> Backend:
    """Open a file that was just exported; if that fails, ONNX Runtime does not support it."""
    try:
        return onnx_backend(path, "onnx")
    except ModelError as error:
        raise ModelError(
            f"ONNX Runtime cannot open the network that torch exported ({error.__cause__}); use the backend "
            "torch, or other versions of onnxruntime and onnxscript"
        ) from error


@torch.inference_mode()
def _require_same_maps(backend: Backend, network: MapsNetwork, images: Tensor) -> None:
    expected = network(images.cpu())[:2]
    for found, wanted, what in zip(backend.maps(images), expected, ("logits", "maps"), strict=True):
        require_same(found, wanted, f"the {what} of the exported network")
