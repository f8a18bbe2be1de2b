"""Two-scale inference: a high-resolution pass with top-k pooling, for objects that are small in the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from PIL import Image
from torch import Tensor, nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.heads import position_head
from dogcam.network.hooks import evaluation_mode

LAYERS = ("features", "pool", "flatten", "head")
"""The layers of a `pooled_network`: the last scores each spatial position of the output of the first."""


@dataclass(frozen=True)
class HighResolutionPass:
    """Score a larger copy of the image by its top-scoring spatial positions.

    The mean over all positions dilutes objects that cover only a few of them. Here the head scores each
    position p of the last activation maps, and the logit of class k is the mean of the T highest scores (the
    positive part of the pooling of Durand et al. 2016):

        z_k = 1/T * sum of s_k(p) over the T positions where it is highest,  s(p) = head(a(p)).

    The fused logit is (y_k + z_k) / 2, with the logit y_k of the first pass. Maps are those of y_k; z_k
    changes only the probability.

    Attributes:
        size: (height, width) of the larger copy, in pixels.
        share: T as a share of the positions, in (0, 1]; T is rounded, and at least 1.

    Raises:
        ConfigError: if a value is out of range.
    """

    size: tuple[int, int]
    share: float = 0.1

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ConfigError(
                f"the high-resolution pass has {self.size[0]} x {self.size[1]} pixels; expected 1 or more"
            )
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"the share of the high-resolution pass is {self.share:g}; expected a number in (0, 1]"
            )

    def logits(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return the logits z of a batch: (N, 3, H, W) images of any size -> (N, K).

        Args:
            network: a `pooled_network`, in its current mode.
            batch: on the device of the network.

        Raises:
            ModelError: if it is another network, whose head cannot score single positions.
        """
        require_position_scores(network)
        maps = cast(nn.Module, network.features)(batch)
        n, channels, height, width = maps.shape
        positions = maps.permute(0, 2, 3, 1).reshape(n * height * width, channels)
        scores = position_head(cast(nn.Module, network.head))(positions).reshape(n, height * width, -1)
        n_highest = max(1, round(self.share * height * width))
        return scores.topk(n_highest, dim=1).values.mean(dim=1)


def sizes_of(
    preprocessing: Preprocessing, high_resolution: HighResolutionPass | None
) -> list[tuple[int, int]]:
    """Return the (height, width) of the input of each pass."""
    return [each.size for each in (preprocessing, high_resolution) if each]


def require_position_scores(network: nn.Module) -> None:
    """Verify that the head of a network can score single spatial positions.

    Raises:
        ModelError: if it is not a `pooled_network`.
    """
    names = tuple(name for name, _ in network.named_children())
    if not isinstance(network, nn.Sequential) or names != LAYERS:
        raise ModelError(
            f"the high-resolution pass needs a network with the layers {', '.join(LAYERS)}, whose head "
            f"scores single positions; this {type(network).__name__} has "
            f"{', '.join(names[:5]) or 'no layers'}: remove the setting"
        )


def run_on(
    network: Callable[[Tensor], Tensor],
    images: Sequence[Image.Image],
    preprocessing: Preprocessing,
    device: torch.device,
    *,
    flip: bool = False,
) -> Tensor:
    """Return the logits of a function of batches for images: (N, K) float32 tensor.

    Args:
        network: maps (N, 3, H, W) images to (N, K) logits.
        images: N RGB images.
        preprocessing: input of the network.
        device: device of the batch.
        flip: average the logits of each image and of its mirror image.
    """
    batch = preprocessing(images).to(device, memory_format=torch.channels_last)
    logits = network(batch).float()
    return (logits + network(batch.flip(-1)).float()) / 2 if flip else logits


def high_resolution_logits(
    network: nn.Module,
    images: Sequence[Image.Image],
    preprocessing: Preprocessing,
    high_resolution: HighResolutionPass | None,
    *,
    flip: bool = False,
) -> Tensor | None:
    """Return the logits of the high-resolution pass; None if the classifier has none.

    Args:
        network: a `pooled_network`; restored to its state afterwards.
        images: N RGB images.
        preprocessing: input of the first pass.
        high_resolution: the settings of the pass; None for no pass.
        flip: average over each image and its mirror image.

    Returns:
        (N, K) float32 tensor on the device of the network, without a graph.
    """
    if high_resolution is None:
        return None
    larger, device = replace(preprocessing, size=high_resolution.size), next(network.parameters()).device
    with torch.no_grad(), evaluation_mode(network):
        return run_on(partial(high_resolution.logits, network), images, larger, device, flip=flip)


def fuse_logits(logits: Tensor, high_resolution: Tensor | None) -> Tensor:
    """Return the mean of the logits of both passes, or those of the first if there is no second pass.

    Args:
        logits: (N, K) tensor, of the first pass.
        high_resolution: (N, K) tensor, from `high_resolution_logits`.

    Returns:
        (N, K) float32 tensor, without a graph.
    """
    first = logits.detach().float()
    return first if high_resolution is None else (first + high_resolution.to(first.device)) / 2
