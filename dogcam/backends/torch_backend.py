"""Run the graph by torch, eager or compiled."""

from functools import partial
from typing import cast

import torch
from torch import Tensor

from dogcam.backends.backend import Backend
from dogcam.backends.maps_network import MapsNetwork
from dogcam.cam import GradCam, explain
from dogcam.errors import ModelError, first_line
from dogcam.models.classifier import Classifier


def torch_backend(network: MapsNetwork) -> Backend:
    """Run the graph with channels last, the fastest memory format for convolutions."""
    return Backend("torch", "cam", partial(_run, network))


def compiled_backend(network: MapsNetwork) -> Backend:
    """Compile the graph with frozen weights; the first batch of each size waits for the compiler.

    Raises:
        ModelError: if there is no working C++ compiler; raised by the first batch.
    """
    # Frozen weights can be stored in the layout of the processor, which gives most of the speed-up.
    compiled = cast(torch.nn.Module, torch.compile(network, options={"freezing": True}))
    return Backend("compiled", "cam", partial(_run_compiled, compiled))


def explaining_backend(classifier: Classifier) -> Backend:
    """Compute Grad-CAM of every class for networks without global average pooling and one head; slower."""
    return Backend("torch", "grad_cam", partial(_explain, classifier))


@torch.inference_mode()
def _run(network: torch.nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    logits, maps, _ = network(images.contiguous(memory_format=torch.channels_last))
    return logits, maps


def _run_compiled(network: torch.nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    try:
        with torch.no_grad():
            logits, maps, _ = network(images.contiguous(memory_format=torch.channels_last))
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise ModelError(
            f"the network cannot be compiled ({first_line(error)}); install a C++ compiler, or use the "
            "backend torch"
        ) from error
    return logits, maps


def _explain(classifier: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    targets, request = range(len(classifier.classes)), GradCam(classifier.target_layer)
    explanation = explain(classifier.network, images, targets, [request])
    return explanation.logits, explanation.maps[0]
