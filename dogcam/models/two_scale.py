"""A closer look at a picture, for objects that are small in it: the most telling places decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.heads import position_head
from dogcam.network.hooks import evaluation_mode

LAYERS = ("features", "pool", "flatten", "head")
"""The layers of a `pooled_network`: places are what the first puts out, and the last can score them."""


@dataclass(frozen=True)
class HighResolutionPass:
    """How a larger copy of a picture is scored by its most telling places.

    An average over all places hardly hears an object that fills a few of them. Here the head scores each
    place p of the last activation maps by itself, and the score of class k is the mean of its T highest (the
    positive part of the pooling of Durand et al. 2016):

        z_k = 1/T * sum of s_k(p) over the T places where it is highest,  s(p) = head(a(p)).

    What a classifier then says is (y_k + z_k) / 2, y_k being the logit of the whole picture. Maps are those
    of y_k: z_k only changes how sure the classifier is.

    Attributes:
        size: (height, width) of the larger copy, in pixels.
        share: T as a share of the places, in (0, 1]; T is rounded, and 1 at least.

    Raises:
        ConfigError: where a value is out of its range.
    """

    size: tuple[int, int]
    share: float = 0.1

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ConfigError(f"a closer look at {self.size[0]} x {self.size[1]} pixels; expected 1 or more")
        if not 0 < self.share <= 1:
            raise ConfigError(f"a closer look takes a share of {self.share:g} places; expected one in (0, 1]")

    def logits(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return z of a batch: (N, 3, H, W) images of any size -> (N, K).

        Args:
            network: a `pooled_network`; in the mode that it is in.
            batch: on the network's device.

        Raises:
            ModelError: for any other network, whose places have no scores of their own.
        """
        require_position_scores(network)
        maps = network.features(batch)
        n, channels, height, width = maps.shape
        places = maps.permute(0, 2, 3, 1).reshape(n * height * width, channels)
        scores = position_head(network.head)(places).reshape(n, height * width, -1)
        n_highest = max(1, round(self.share * height * width))
        return scores.topk(n_highest, dim=1).values.mean(dim=1)


def require_position_scores(network: nn.Module) -> None:
    """Refuse a network whose places a closer look cannot score.

    Raises:
        ModelError: where it is no `pooled_network`.
    """
    names = tuple(name for name, _ in network.named_children())
    if not isinstance(network, nn.Sequential) or names != LAYERS:
        raise ModelError(
            f"a closer look needs a network of the layers {', '.join(LAYERS)}, whose head can score single "
            f"places; this {type(network).__name__} has {', '.join(names[:5]) or 'no layers'}: leave it out"
        )


def run_on(
    network: Callable[[Tensor], Tensor],
    pictures: Sequence[Image.Image],
    prepare: Preprocessing,
    device: torch.device,
    *,
    flip: bool = False,
) -> Tensor:
    """Return the logits that a function of batches gives pictures: (N, K) float32 tensor.

    Args:
        network: maps (N, 3, H, W) images to (N, K) logits.
        pictures: N RGB pictures.
        prepare: makes a batch of them.
        device: where the batch goes.
        flip: average the logits of each picture and of its mirror image.
    """
    batch = prepare(pictures).to(device, memory_format=torch.channels_last)
    logits = network(batch).float()
    return (logits + network(batch.flip(-1)).float()) / 2 if flip else logits


def high_resolution_logits(
    network: nn.Module,
    pictures: Sequence[Image.Image],
    preprocessing: Preprocessing,
    high_resolution: HighResolutionPass | None,
    *,
    flip: bool = False,
) -> Tensor | None:
    """Return what a closer look says of pictures; None where there is none to be taken.

    Args:
        network: a `pooled_network`; left as it was found.
        pictures: N RGB pictures.
        preprocessing: makes the network's input of them, for the first look.
        high_resolution: how to look again.
        flip: average over each picture and its mirror image.

    Returns:
        (N, K) float32 tensor on the network's device, without a graph.
    """
    if high_resolution is None:
        return None
    larger, device = replace(preprocessing, size=high_resolution.size), next(network.parameters()).device
    with torch.no_grad(), evaluation_mode(network):
        return run_on(partial(high_resolution.logits, network), pictures, larger, device, flip=flip)


def fuse_logits(logits: Tensor, high_resolution: Tensor | None) -> Tensor:
    """Return what is said after both looks: their mean, or the logits of the first where there is no other.

    Args:
        logits: (N, K) tensor, of the first look.
        high_resolution: (N, K) tensor, from `high_resolution_logits`.

    Returns:
        (N, K) float32 tensor, without a graph.
    """
    first = logits.detach().float()
    return first if high_resolution is None else (first + high_resolution.to(first.device)) / 2
