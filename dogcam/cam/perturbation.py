"""CAM methods that measure how the score changes if the image or the activation maps are modified."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.cam.forward import Captured, ForwardPass, ForwardRequest
from dogcam.network.hooks import find_layer, hooked


@dataclass(frozen=True)
class ScoreCam(ForwardRequest):
    """Request Score-CAM (Wang et al. 2020, algorithm 1): the score of the image masked by each map.

        H_k = A_k resized to the image and scaled to [0, 1],    s_k = y(X * H_k),
        alpha = softmax over k of s,    L = ReLU(sum_k alpha_k A_k)

    The paper subtracts the score of a black image from each s_k; the softmax cancels this. A constant map
    gives a mask of zeros. An image needs one forward pass for each map of the layer; all classes share them.

    Attributes:
        layer: dotted name of the target layer.
        batch_size: number of masked images in one forward pass.
    """

    batch_size: int = 32

    @torch.no_grad()
    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the maps of the target classes: (N, K, h, w) float tensor, >= 0."""
        found = forward.layers[self.layer]
        scores = [
            torch.cat([forward.network(masked) for masked in self._masked(image, maps)])[:, targets]
            for image, maps, targets in zip(forward.images, found.maps, forward.targets, strict=True)
        ]
        weights = [each.to(found.maps.dtype).softmax(dim=0) for each in scores]
        return _weighted(found, forward.targets.shape[1], weights)

    def _masked(self, image: Tensor, maps: Tensor) -> Iterator[Tensor]:
        for part in maps.split(self.batch_size):
            enlarged = F.interpolate(part[:, None], image.shape[1:], mode="bilinear", align_corners=False)
            lowest = enlarged.amin(dim=(2, 3), keepdim=True)
            extent = enlarged.amax(dim=(2, 3), keepdim=True) - lowest
            masks = torch.where(extent > 0, (enlarged - lowest) / extent, 0)
            yield image * masks.to(image.dtype)


@dataclass(frozen=True)
class AblationCam(ForwardRequest):
    """Request Ablation-CAM (Ramaswamy and Desai 2020, equation 4): the drop of the score without a map.

        w_k = (y - y_k) / |y|,    L = ReLU(sum_k w_k A_k)

    y_k is the score with map k set to 0. The paper divides by y and explains classes with positive y. A
    negative logit would invert the map, so the absolute value is used; if y is 0, nothing is divided. If only
    global average pooling and one head follow the layer, only the head computes y_k. Otherwise an image needs
    one forward pass for each map of the layer; all classes share them.

    Attributes:
        layer: dotted name of the target layer.
        batch_size: number of modified copies of an image in one forward pass.
    """

    batch_size: int = 32

    @torch.no_grad()
    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the maps of the target classes: (N, K, h, w) float tensor, >= 0."""
        found, head = forward.layers[self.layer], forward.pooled_head(self.layer)
        weights = []
        for n, targets in enumerate(forward.targets):
            if head is not None and forward.last_head.given is not None:
                without = self._logits_of_head(head, forward.last_head.given[n])
            else:
                without = self._logits_of_network(forward, found, n)
            score = forward.logits[n, targets].to(found.maps.dtype)
            size = torch.where(score == 0, 1, score.abs())
            weights.append((score - without[:, targets].to(found.maps.dtype)) / size)
        return _weighted(found, forward.targets.shape[1], weights)

    def _logits_of_head(self, head: nn.Module, pooled: Tensor) -> Tensor:
        """Return the logits without each map in turn, from the pooled maps of an image: (C,) -> (C, K)."""
        logits = []
        for channels in torch.arange(len(pooled), device=pooled.device).split(self.batch_size):
            changed = pooled.repeat(len(channels), 1)
            changed[torch.arange(len(channels)), channels] = 0
            logits.append(head(changed))
        return torch.cat(logits)

    def _logits_of_network(self, forward: ForwardPass, found: Captured, n: int) -> Tensor:
        """Return the same logits by running the network on copies of image n, each without one map."""
        logits = []
        layer = (self.layer, find_layer(forward.network, self.layer))
        for channels in torch.arange(found.maps.shape[1]).split(self.batch_size):

            def without(
                _name: str, _layer: nn.Module, _inputs: tuple, output: Tensor, channels: Tensor = channels
            ) -> Tensor:
                changed = output.clone()
                found.layout.maps(changed)[torch.arange(len(channels)), channels] = 0
                return changed

            with hooked([layer], after=without):
                copies = forward.images[n].expand(len(channels), -1, -1, -1)
                logits.append(forward.network(copies))
        return torch.cat(logits)


def _weighted(found: Captured, n_targets: int, weights: list[Tensor]) -> Tensor:
    """Sum the maps of each image with its (C, K) weights and apply ReLU: (N, K, h, w)."""
    stacked = found.maps.new_zeros(*found.maps.shape[:2], n_targets)
    for row, of_image in zip(stacked, weights, strict=True):
        row.copy_(of_image)
    return torch.einsum("nchw,nck->nkhw", found.maps, stacked).relu()
