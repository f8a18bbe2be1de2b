"""Augment training pictures: random crops, mirror images, light changes of colour."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dogcam.errors import ConfigError
from dogcam.train.choices import require_choice

Spread = Literal["none", "cutmix", "hide"]

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue contribute to brightness (ITU-R BT.601)."""


@dataclass(frozen=True)
class Augmentation:
    """How a training picture is varied each time it is shown.

    Attributes:
        min_area: smallest share of the picture's area that a crop keeps, in (0, 1]; the share is uniform
            from there to 1. At 1 the whole picture is kept.
        flip: mirror every other picture left to right.
        colour: brightness, contrast and saturation are each multiplied by a factor that is uniform within
            1 - colour and 1 + colour; 0 leaves them alone.
        spread: take parts of the pictures away, so that all parts of an object are learned: `cutmix` or
            `hide` (see `dogcam.train.mixing`).

    Raises:
        ConfigError: where a value is out of its range.
    """

    min_area: float = 0.765
    flip: bool = True
    colour: float = 0.0
    spread: Spread = "none"

    def __post_init__(self) -> None:
        if not 0 < self.min_area <= 1:
            raise ConfigError(f"min_area is {self.min_area:g}; expected a share of the area in (0, 1]")
        if not 0 <= self.colour < 1:
            raise ConfigError(f"colour is {self.colour:g}; expected a change of factors in [0, 1)")
        require_choice("spread", self.spread, Spread)

    def stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) at which the smallest crop has as many pixels as the network's input.

        Pictures kept at this size never have to be enlarged, and no larger one would show more in a crop of
        mean size than is needed. The experiment's share of 0.765 and input of 224 give 256.
        """
        height, width = (math.ceil(round(side / math.sqrt(self.min_area), 6)) for side in size)
        return height, width


def augment(
    pictures: Tensor, size: tuple[int, int], augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    """Return one random variation of each picture, at the network's input size.

    Args:
        pictures: (N, 3, H, W) uint8 tensor on the CPU, RGB.
        size: (height, width) of the result.
        augmentation: what may be varied, and how much.
        generator: decides everything that is random.

    Returns:
        (N, 3, height, width) float32 tensor in [0, 1].
    """
    windows = random_windows(len(pictures), pictures.shape[2:], augmentation.min_area, generator)
    batch = crop(pictures, windows, size)
    if augmentation.flip:
        chosen = torch.rand(len(batch), generator=generator) < 0.5
        batch = torch.where(chosen[:, None, None, None], batch.flip(3), batch)
    batch = batch.float() / 255
    if augmentation.colour:
        low, high = 1 - augmentation.colour, 1 + augmentation.colour
        factors = low + (high - low) * torch.rand(len(batch), 3, generator=generator)
        batch = change_colour(batch, factors)
    return batch


def random_windows(
    n: int, size: tuple[int, int], min_area: float, generator: torch.Generator
) -> list[tuple[int, int, int, int]]:
    """Draw crop windows of a picture's own shape, anywhere inside it.

    Pictures are stored squeezed into the shape of the network's input, so that a window of the picture's
    shape is the experiment's crop of aspect 1, and objects are squeezed in training as in evaluation.

    Args:
        n: how many windows.
        size: (height, width) of the pictures in pixels.
        min_area: smallest share of the area, in (0, 1].
        generator: decides.

    Returns:
        n windows (top, left, height, width) in pixels; each covers at least `min_area` of the picture.
    """
    area, down, right = torch.rand(3, n, generator=generator, dtype=torch.float64)
    side = (min_area + (1 - min_area) * area).sqrt()
    heights, widths = ((side * length).ceil().clamp(max=length) for length in size)
    tops = (down * (size[0] - heights + 1)).floor()
    lefts = (right * (size[1] - widths + 1)).floor()
    return [tuple(window) for window in torch.stack([tops, lefts, heights, widths], 1).long().tolist()]


def crop(pictures: Tensor, windows: list[tuple[int, int, int, int]], size: tuple[int, int]) -> Tensor:
    """Cut one window out of each picture and resize it, smoothing as Pillow does where it shrinks.

    Args:
        pictures: (N, 3, H, W) uint8 tensor.
        windows: N windows (top, left, height, width) in pixels.
        size: (height, width) of the result.

    Returns:
        (N, 3, height, width) uint8 tensor.
    """
    cut = (
        picture[None, :, top : top + height, left : left + width]
        for picture, (top, left, height, width) in zip(pictures, windows, strict=True)
    )
    return torch.cat([F.interpolate(each, size, mode="bilinear", antialias=True) for each in cut])


def change_colour(pictures: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, then contrast, then saturation.

    Args:
        pictures: (N, 3, H, W) float tensor in [0, 1], RGB.
        factors: (N, 3) float tensor, the three factors of each picture; 1 changes nothing.

    Returns:
        (N, 3, H, W) float tensor in [0, 1].
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    luma = torch.tensor(LUMA).view(1, 3, 1, 1)
    pictures = (pictures * brightness).clamp(0, 1)
    mean = (pictures * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    pictures = (mean + (pictures - mean) * contrast).clamp(0, 1)
    grey = (pictures * luma).sum(1, keepdim=True)
    return (grey + (pictures - grey) * saturation).clamp(0, 1)
