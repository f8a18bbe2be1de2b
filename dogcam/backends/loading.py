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
from dogcam.backends.onnx_file import export, kept
from dogcam.backends.quantisation import Quantisation, quantise, settings_of
from dogcam.backends.torch_backend import compiled_backend, explaining_backend, torch_backend
from dogcam.errors import ConfigError, ModelError
from dogcam.files import atomic_write
from dogcam.models.classifier import Classifier

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""The packages that `onnx` and `int8` need."""


def load_backend(
    name: BackendName,
    classifier: Classifier,
    cache: Path,
    calibration: Sequence[Tensor] | None = None,
    quantisation: Quantisation | None = None,
    threads: int | None = None,
    tell: Callable[[str], None] = warnings.warn,
) -> Backend:
    """Return a backend that runs the classifier; torch, with a message, if the named one is unavailable.

    Args:
        name: one of `BACKENDS`.
        classifier: in evaluation mode; it is left as it is.
        cache: folder in which exported networks are kept, by a hash of the weights and all settings.
        calibration: for `int8`, batches of preprocessed images that give the ranges of activations:
            some hundred images of the training split.
        quantisation: settings of `int8`; None for the default.
        threads: for `onnx` and `int8`, number of threads; None for that of torch.
        tell: receives the message.

    Raises:
        ConfigError: if no backend has that name, or `int8` has no calibration images.
        ModelError: if the maps of the exported network differ from those of torch.
    """
    if name not in BACKENDS:
        raise ConfigError(f"no backend is called {name!r}; there are {', '.join(BACKENDS)}")
    if name == "int8" and not calibration:
        raise ConfigError("the backend int8 needs images to calibrate on: batches of preprocessed images")
    try:
        network = maps_network(classifier)
    except ModelError as error:
        tell(f"every class's map by Grad-CAM in torch, not the backend {name}: {error}")
        return explaining_backend(classifier)
    make, needed = _FACTORIES[name]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        tell(
            f"torch takes the place of the backend {name}: {', '.join(missing)} is not installed; run  "
            "pip install 'dogcam[onnx]'"
        )
        make, _ = _FACTORIES["torch"]
    return make(
        _Order(classifier, network, cache, calibration or (), quantisation or Quantisation(), threads)
    )


@dataclass(frozen=True)
class _Order:
    """The arguments of `load_backend` and the graph of the network."""

    classifier: Classifier
    network: MapsNetwork
    cache: Path
    calibration: Sequence[Tensor]
    quantisation: Quantisation
    threads: int | None


def _onnx(order: _Order) -> Backend:
    return onnx_backend(_exported(order.classifier, order.network, order.cache), "onnx", order.threads)


def _int8(order: _Order) -> Backend:
    exported = _exported(order.classifier, order.network, order.cache)
    settings = settings_of(order.quantisation, order.calibration)
    made = kept(
        order.cache, order.classifier, settings,
        lambda: quantise(exported, order.quantisation, order.calibration),
    )  # fmt: skip
    return onnx_backend(made, "int8", order.threads)


_FACTORIES: dict[BackendName, tuple[Callable[[_Order], Backend], tuple[str, ...]]] = {
    "torch": (lambda order: torch_backend(order.network), ()),
    "compiled": (lambda order: compiled_backend(order.network), ()),
    "onnx": (_onnx, _ONNX_PACKAGES),
    "int8": (_int8, _ONNX_PACKAGES),
}
"""The function that makes each backend, and the packages that it needs."""


def packages_of(name: BackendName) -> tuple[str, ...]:
    """Return the packages that a backend needs besides torch."""
    return _FACTORIES[name][1]


def _exported(classifier: Classifier, network: MapsNetwork, cache: Path) -> Path:
    """Return the file of the exported network, of which the maps were found to equal torch's."""

    def make() -> bytes:
        content = export(classifier, network)
        # Elsewhere than in the cache, so that whatever ends the check, a file in there is one that passed it.
        with TemporaryDirectory() as folder:
            path = atomic_write(Path(folder) / "exported.onnx", content)
            _require_same_maps(_opened(path), network, noise_images(classifier))
        return content

    return kept(cache, classifier, {}, make)


def _opened(path: Path) -> Backend:
    """Open what has just been exported: if that fails, the file is not damaged, but beyond ONNX Runtime."""
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
