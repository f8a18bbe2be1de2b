"""Run one forward pass, capture what the methods need, and restore the network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dogcam.cam.targets import Targets, class_indices
from dogcam.errors import ModelError
from dogcam.network.gap_head import LastHead, is_gap_linear, require_logits, watch_heads
from dogcam.network.heads import head_weights
from dogcam.network.hooks import capture, eager, evaluation_mode, frozen_parameters
from dogcam.network.spatial import Layout, require_layout


@dataclass(frozen=True)
class Captured:
    """The output of a layer.

    Attributes:
        name: dotted name of the layer.
        output: the captured tensor; the graph of the logits starts here if one is recorded.
        layout: the axes of its spatial positions.
        maps: (N, C, h, w) float tensor, at least single precision: sums in half precision would lose the
            digits in which maps differ.
    """

    name: str
    output: Tensor
    layout: Layout
    maps: Tensor


@dataclass
class ForwardPass:
    """The results of one forward pass, and the network for further passes.

    Attributes:
        network: in evaluation mode, without gradients for its parameters.
        images: (N, 3, H, W) float tensor, the input.
        logits: (N, C) float tensor, with its graph if one is recorded.
        targets: (N, K) int64 tensor of class indices.
        layers: captured outputs by layer name.
        last_head: the head that ran last.
    """

    network: nn.Module
    images: Tensor
    logits: Tensor
    targets: Tensor
    layers: dict[str, Captured]
    last_head: LastHead
    _pooled: dict[str, bool] = field(default_factory=dict)

    def pooled_head(self, layer: str) -> nn.Module | None:
        """Return the head if only global average pooling and this head follow the layer; verified once."""
        if layer not in self._pooled:
            found = self.layers[layer]
            self._pooled[layer] = is_gap_linear(self.last_head, found.output, found.layout, self.logits)
        return self.last_head.module if self._pooled[layer] else None

    @torch.no_grad()
    def channel_gradients(self, layer: str) -> Tensor | None:
        """Return the gradient of all logits for each channel, if it is equal at all spatial positions.

        Returns:
            (N, classes, C) float tensor; None if more than average pooling and the head follows the layer.
        """
        head, found = self.pooled_head(layer), self.layers[layer]
        if head is None or self.last_head.given is None:
            return None
        return head_weights(head, self.last_head.given).to(found.maps.dtype) / found.layout.n_positions

    def of_targets(self, per_class: Tensor) -> Tensor:
        """Select the target classes: (N, C, ...) -> (N, K, ...)."""
        rows = torch.arange(len(self.targets), device=self.targets.device)[:, None]
        return per_class[rows, self.targets]


@dataclass(frozen=True)
class ForwardRequest:
    """Base class of the methods that compute their maps from the forward pass, without gradients.

    Attributes:
        layer: dotted name of the target layer.
    """

    layer: str

    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the maps of the target classes: (N, K, h, w) float tensor."""
        raise NotImplementedError


@contextmanager
def forward_pass(
    network: nn.Module, images: Tensor, targets: Targets, layers: Sequence[str], *, graph: bool
) -> Iterator[ForwardPass]:
    """Run a network once and yield its results; the network is restored afterwards, also after errors.

    Args:
        network, images, targets: as for `explain`.
        layers: dotted names of the layers to capture.
        graph: record the graph of the logits, starting at the first of the layers.

    Raises:
        ModelError: if the network cannot take the images or returns no logits, or if a layer or a class does
            not exist.
    """
    _check_images(network, images)
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(graph),
        eager(network),
        evaluation_mode(network),
        frozen_parameters(network),
    ):
        # A tensor created under inference_mode cannot enter a graph; its copy can.
        images = images.clone() if images.is_inference() else images
        with capture(network, layers) as activations, watch_heads(network) as last_head:
            logits = require_logits(network(images))
        indices = class_indices(logits, targets)
        size = (images.shape[2], images.shape[3])
        captured = {name: _captured(name, activations[name], size) for name in layers}
        yield ForwardPass(network, images, logits, indices, captured, last_head)


def _captured(name: str, output: Tensor, image_size: tuple[int, int]) -> Captured:
    layout = require_layout(name, output.shape, image_size)
    maps = layout.maps(output.detach())
    maps = maps.float() if maps.dtype.itemsize < 4 else maps
    finite = maps.isfinite()
    if not finite.all():
        raise ModelError(
            f"{int((~finite).sum())} of {maps.numel()} activations of the layer {name!r} are not finite; "
            "check the weights and the images for nan, or run the network in a wider number format"
        )
    return Captured(name, output, layout, maps)


def _check_images(network: nn.Module, images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ModelError(
            f"the images are {images.dtype} of shape {tuple(images.shape)}; expected a batch (N, 3, H, W) of "
            "preprocessed images in floating point"
        )
    weights = [weight for weight in network.parameters() if weight.is_floating_point()]
    devices = sorted({str(weight.device) for weight in weights})
    if weights and str(images.device) not in devices:
        raise ModelError(
            f"the images are on {images.device}, the network's weights on {', '.join(devices)}; move one to "
            "the other with .to(device)"
        )
    formats = {weight.dtype for weight in weights}
    if weights and images.dtype not in formats and not torch.is_autocast_enabled(images.device.type):
        found = ", ".join(sorted(map(str, formats)))
        raise ModelError(f"the images are {images.dtype}, the network's weights {found}; convert the images")
