"""Test-time augmentation: scaled and mirrored copies of an image."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

WIDTH = 3
"""The axis of (N, C, H, W) along which images and maps are mirrored."""


@dataclass(frozen=True)
class Views:
    """Scales and mirroring of test-time augmentation.

    Attributes:
        scales: factors of the height and width of the image, each above 0.
        flip: add a horizontally mirrored copy for each scale.

    Raises:
        ValueError: if there is no scale, or one that is not a finite number above 0.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise ValueError(f"the scales are {self.scales}; expected one or more finite factors above 0")

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the (height, width) in pixels, at least 1 each, of each scaled copy of an image."""
        height, width = size
        return [(max(1, round(scale * height)), max(1, round(scale * width))) for scale in self.scales]

    def of(self, images: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """Yield each view of a batch (N, C, H, W), and whether it is mirrored."""
        for scale, size in zip(self.scales, self.sizes((images.shape[2], images.shape[3])), strict=True):
            view = images if scale == 1 else resized(images, size)
            yield view, False
            if self.flip:
                yield view.flip(WIDTH), True


ONE_VIEW = Views()


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images or maps (N, C, H, W) at another (height, width), interpolated bilinearly."""
    if tuple(images.shape[2:]) == size:
        return images
    # In half precision torch resizes on some devices only.
    wide = images.float() if images.dtype.itemsize < 4 else images
    resized = F.interpolate(wide, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(images.dtype)
