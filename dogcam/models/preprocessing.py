"""Preprocessing: resize images to the input size of a network, and normalise their colours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation for EfficientNet-Lite0: pixel values from -1 to 1."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize images without keeping their aspect ratio, then normalise each channel.

    Attributes:
        size: (height, width) of the network input in pixels.
        mean, std: of each channel (R, G, B), for values in [0, 1].

    >>> prepare = Preprocessing((2, 3), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> prepare([Image.new("RGB", (40, 30), "white")]).shape
    torch.Size([1, 3, 2, 3])
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return N RGB images of any size as a batch: (N, 3, height, width) float32 tensor."""
        height, width = self.size
        resized = [np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) for image in images]
        batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (batch - mean) / std
