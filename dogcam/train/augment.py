"""Augment training images: random crops, horizontal flips, colour jitter and CutMix."""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dogcam.train.settings import Settings

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""

CUTMIX_PROBABILITY = 0.5
"""Probability that a batch is mixed."""

Window = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


class Augmentation(Settings):
    """How a training image is varied each time it is used.

    Attributes:
        min_area: smallest share of the image area that a crop keeps, in (0, 1]; the share is uniform in
            [min_area, 1]. At 1 the whole image is kept.
        flip: mirror each image horizontally with probability 0.5.
        colour_jitter: brightness, contrast and saturation are each multiplied by a factor that is uniform in
            [1 - colour_jitter, 1 + colour_jitter]; 0 changes nothing.
        mix: `cutmix` to mix images and labels within a batch (see `cutmix`), or `none`.

    Raises:
        ConfigError: if a value is out of range.
    """

    min_area: Annotated[float, Field(gt=0, le=1)] = 0.765
    flip: bool = True
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mix: Literal["none", "cutmix"] = "none"

    def stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) at which the smallest crop has as many pixels as the network's input.

        No crop of an image of this size has to be enlarged. A share of 0.765 and an input of 224 give 256.
        """
        height, width = (math.ceil(round(side / math.sqrt(self.min_area), 6)) for side in size)
        return height, width


def augment(
    images: Tensor, size: tuple[int, int], augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    """Return one random variation of each image, at the input size of the network.

    Args:
        images: (N, 3, H, W) uint8 tensor on the CPU, RGB.
        size: (height, width) of the result.
        augmentation: what is varied, and how much; `mix` is not applied here.
        generator: source of all random numbers.

    Returns:
        (N, 3, height, width) float32 tensor in [0, 1].
    """
    windows = random_windows(
        len(images), (images.shape[2], images.shape[3]), augmentation.min_area, generator
    )
    batch = crop(images, windows, size)
    if augmentation.flip:
        chosen = torch.rand(len(batch), generator=generator) < 0.5
        batch = torch.where(chosen[:, None, None, None], batch.flip(3), batch)
    batch = batch.float() / 255
    if augmentation.colour_jitter:
        low, high = 1 - augmentation.colour_jitter, 1 + augmentation.colour_jitter
        factors = low + (high - low) * torch.rand(len(batch), 3, generator=generator)
        batch = jitter_colour(batch, factors)
    return batch


def random_windows(
    n: int, size: tuple[int, int], min_area: float, generator: torch.Generator
) -> list[Window]:
    """Draw crop windows with the aspect ratio of the stored images, at uniform positions inside them.

    Images are stored at the aspect ratio of the network's input. A window of that aspect ratio therefore
    distorts objects in training exactly as evaluation does.

    Args:
        n: number of windows.
        size: (height, width) of the images in pixels.
        min_area: smallest share of the area, in (0, 1].
        generator: source of all random numbers.

    Returns:
        n windows; each covers at least `min_area` of the image.
    """
    area, down, right = torch.rand(3, n, generator=generator, dtype=torch.float64)
    side = (min_area + (1 - min_area) * area).sqrt()
    heights, widths = ((side * length).ceil().clamp(max=length) for length in size)
    tops = (down * (size[0] - heights + 1)).floor()
    lefts = (right * (size[1] - widths + 1)).floor()
    windows = torch.stack([tops, lefts, heights, widths], 1).long().tolist()
    return [(top, left, height, width) for top, left, height, width in windows]


def crop(images: Tensor, windows: list[Window], size: tuple[int, int]) -> Tensor:
    """Crop one window from each image and resize it, with antialiasing as in Pillow.

    Args:
        images: (N, 3, H, W) uint8 tensor.
        windows: N windows.
        size: (height, width) of the result.

    Returns:
        (N, 3, height, width) uint8 tensor.
    """
    cropped = (
        image[None, :, top : top + height, left : left + width]
        for image, (top, left, height, width) in zip(images, windows, strict=True)
    )
    return torch.cat([F.interpolate(each, size, mode="bilinear", antialias=True) for each in cropped])


def jitter_colour(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, then contrast, then saturation.

    Args:
        images: (N, 3, H, W) float tensor in [0, 1], RGB.
        factors: (N, 3) float tensor, the three factors of each image; 1 changes nothing.

    Returns:
        (N, 3, H, W) float tensor in [0, 1].
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    luma = torch.tensor(LUMA).view(1, 3, 1, 1)
    images = (images * brightness).clamp(0, 1)
    mean = (images * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 1)
    grey = (images * luma).sum(1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 1)


def cutmix(batch: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste a window of the next image into each image, and mix the labels by area (Yun et al. 2019).

    The share of the window in the area is uniform in [0, 1]. Its position is uniform inside the image and the
    same for the whole batch. With probability 1 - `CUTMIX_PROBABILITY` the batch is returned unchanged.

    Args:
        batch: (N, 3, H, W) float tensor.
        labels: (N, C) float tensor in [0, 1].
        generator: source of all random numbers.

    Returns:
        Batch and labels; new tensors if they were mixed.
    """
    if torch.rand((), generator=generator) >= CUTMIX_PROBABILITY:
        return batch, labels
    area, down, right = torch.rand(3, generator=generator).tolist()
    height, width = (int(math.sqrt(area) * side) for side in batch.shape[2:])
    top = int(down * (batch.shape[2] - height + 1))
    left = int(right * (batch.shape[3] - width + 1))
    mixed = batch.clone()
    window = (..., slice(top, top + height), slice(left, left + width))
    mixed[window] = batch.roll(1, 0)[window]
    share = height * width / (batch.shape[2] * batch.shape[3])
    return mixed, labels.lerp(labels.roll(1, 0), share)
