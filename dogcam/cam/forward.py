"""One forward pass through a network that is left as it was found, and what the methods need of it."""

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
    """What a layer put out.

    Attributes:
        name: dotted name of the layer.
        output: as it was, at the beginning of the graph where one was wanted.
        layout: where its places are.
        maps: (N, C, h, w) float tensor of single precision at least: sums over places and maps in half
            precision would lose the digits that tell maps apart.
    """

    name: str
    output: Tensor
    layout: Layout
    maps: Tensor


@dataclass
class ForwardPass:
    """What one forward pass left, and the network to go on with.

    Attributes:
        network: in evaluation mode, asking no gradient of its parameters.
        images: (N, 3, H, W) float tensor that it was given.
        logits: (N, C) float tensor, with its graph where one was wanted.
        targets: (N, K) int64 tensor of classes.
        layers: what was captured, by the names of the layers.
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
        """Return the head, where averaging this layer and the head are all that follows; verified, once."""
        if layer not in self._pooled:
            found = self.layers[layer]
            self._pooled[layer] = is_gap_linear(self.last_head, found.output, found.layout, self.logits)
        return self.last_head.module if self._pooled[layer] else None

    @torch.no_grad()
    def channel_gradients(self, layer: str) -> Tensor | None:
        """Return the gradient of the target logits at any place of each map, if it is the same at all places.

        Returns:
            (N, K, C) float tensor; None where more than averaging and the head follows the layer.
        """
        head, found = self.pooled_head(layer), self.layers[layer]
        if head is None:
            return None
        weights = head_weights(head, self.last_head.given).to(found.maps.dtype)
        return self.of_targets(weights) / found.layout.n_positions

    def of_targets(self, per_class: Tensor) -> Tensor:
        """Return what belongs to the target classes: (N, C, ...) -> (N, K, ...)."""
        rows = torch.arange(len(self.targets), device=self.targets.device)[:, None]
        return per_class[rows, self.targets]


@contextmanager
def forward_pass(
    network: nn.Module, images: Tensor, targets: Targets, layers: Sequence[str], *, graph: bool
) -> Iterator[ForwardPass]:
    """Run a network once and lend what it left; afterwards, on errors too, it is as it was.

    Args:
        network, images, targets: as for `explain`.
        layers: dotted names of the layers to capture.
        graph: record the graph of the logits from the first of the layers on; nothing below it.

    Raises:
        ModelError: where the network cannot take the images, puts out something else than logits, or a layer
            or a class does not exist.
    """
    _check_images(network, images)
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(graph),
        eager(network),
        evaluation_mode(network),
        frozen_parameters(network),
    ):
        # A tensor made under inference_mode may never enter a graph; its copy may.
        images = images.clone() if images.is_inference() else images
        with capture(network, layers) as activations, watch_heads(network) as last_head:
            logits = require_logits(network(images))
        indices = class_indices(logits, targets)
        size = tuple(images.shape[2:])
        captured = {name: _captured(name, activations[name], size) for name in layers}
        yield ForwardPass(network, images, logits, indices, captured, last_head)


def _captured(name: str, output: Tensor, image_size: tuple[int, int]) -> Captured:
    layout = require_layout(name, output.shape, image_size)
    maps = layout.maps(output.detach())
    maps = maps.float() if maps.dtype.itemsize < 4 else maps
    finite = maps.isfinite()
    if not finite.all():
        raise ModelError(
            f"{int((~finite).sum())} of {maps.numel()} activations of the layer {name!r} are no finite "
            "number; look for nan in the weights or the images, or run the network in a wider number format"
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
