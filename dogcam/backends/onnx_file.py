"""Export the graph as ONNX; files are cached under a hash of everything that they depend on."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dogcam.backends.maps_network import MapsNetwork, noise_images
from dogcam.errors import ModelError
from dogcam.files import atomic_write, sha256_of_values
from dogcam.models.checkpoints import layers_sha256
from dogcam.models.classifier import Classifier

FORMAT = 1
"""Version of the file content; files of older versions are not used."""

INPUT, OUTPUTS = "images", ("logits", "maps")
ACTIVATIONS = "activations"
"""Name of the activation maps in the graph."""


def cached(
    cache: Path, classifier: Classifier, settings: dict[str, object], make: Callable[[], bytes]
) -> Path:
    """Return the file of a classifier with these settings; create it if it is not in the cache.

    Args:
        cache: folder of such files.
        classifier: the file depends on its weights, layers, classes and input size.
        settings: everything else that the file depends on, as values for JSON.
        make: returns the content.
    """
    depends_on = {
        "format": FORMAT,
        "weights": classifier.weights_sha256(),
        "network": [classifier.name, layers_sha256(classifier.network)],
        "layers": [classifier.target_layer, classifier.head],
        "size": classifier.preprocessing.size,
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
        **settings,
    }
    key = sha256_of_values(depends_on)[:16]
    path = cache / f"{classifier.name}-{key}.onnx"
    return path if path.exists() else atomic_write(path, make())


def export(classifier: Classifier, network: MapsNetwork) -> bytes:
    """Return the graph as an ONNX file: N images of the input size -> logits and maps."""
    images = noise_images(classifier, 2).contiguous().cpu()
    # The exporter specialises on a batch of one image, but not on a batch of two.
    batch = torch.export.Dim("batch", min=1, max=4096)
    with quiet():
        program = torch.onnx.export(
            network.cpu(), (images,), dynamo=True, dynamic_shapes=({0: batch},), external_data=False,
            input_names=[INPUT], output_names=[*OUTPUTS, ACTIVATIONS], verbose=False,
        )  # fmt: skip
    assert program is not None, "the exporter returns a program if dynamo is true"
    model = program.model_proto
    # The output only names the activations in the graph; returning them would cost time.
    del model.graph.output[len(OUTPUTS) :]
    return model.SerializeToString()


def as_input(images: Tensor, sides: Sequence[int]) -> NDArray[np.float32]:
    """Return a batch as the input of an exported network: (N, 3, H, W) tensor -> array of the same shape.

    Args:
        images: preprocessed images on any device.
        sides: the channels, height and width that the network was exported for.

    Raises:
        ModelError: if the images have other sides.
    """
    if list(images.shape[1:]) != list(sides):
        raise ModelError(
            f"the images have shape {tuple(images.shape)}; this network was exported for (N, "
            f"{', '.join(map(str, sides))}): export it for the other size, or use the backend torch"
        )
    return images.detach().to("cpu", torch.float32).contiguous().numpy()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress and warnings of the exporters in the block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
