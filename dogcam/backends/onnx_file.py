"""Write the graph as ONNX, once: kept on disk under a hash of everything that it depends on."""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from dogcam.backends.maps_network import MapsNetwork, probe_images
from dogcam.files import atomic_write
from dogcam.models.checkpoints import layers_sha256
from dogcam.models.classifier import Classifier

FORMAT = 1
"""Counts the changes to what is written, so that older files are not used again."""

INPUT, OUTPUTS = "images", ("logits", "maps")
ACTIVATIONS = "activations"
"""The name in the graph of the value between features and head."""


def kept(cache: Path, classifier: Classifier, settings: dict[str, object], make: Callable[[], bytes]) -> Path:
    """Return the file of a classifier with these settings; make it where it is not there yet.

    Args:
        cache: folder of such files.
        classifier: whose weights, layers, classes and input size the file depends on.
        settings: what else it depends on; JSON can hold it.
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
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{classifier.name}-{key}.onnx"
    return path if path.exists() else atomic_write(path, make())


def export(classifier: Classifier, network: MapsNetwork) -> bytes:
    """Return the graph as an ONNX file: any number of images of the classifier's size, logits and maps."""
    images = probe_images(classifier, 2).contiguous().cpu()
    # The exporter specialises on a batch of one image; two stand for any number.
    batch = torch.export.Dim("batch", min=1, max=4096)
    with quiet():
        program = torch.onnx.export(
            network.cpu(), (images,), dynamo=True, dynamic_shapes=({0: batch},), external_data=False,
            input_names=[INPUT], output_names=[*OUTPUTS, ACTIVATIONS], verbose=False,
        )  # fmt: skip
    model = program.model_proto
    # A name for the activations was wanted, not the cost of handing them out.
    del model.graph.output[len(OUTPUTS) :]
    return model.SerializeToString()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep progress and advice that are meant for those who develop exporters off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
