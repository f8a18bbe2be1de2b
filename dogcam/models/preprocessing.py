"""How a picture becomes what a network is given: its size, and what its colours are normalised with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation that EfficientNet-Lite0 wants: pixels from -1 to 1."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input: resized without keeping its aspect ratio, then normalised."""

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return a batch: (N, 3, height, width) float32 tensor from N RGB pictures of any size."""
        height, width = self.size
        resized = [np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) for image in images]
        batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (batch - mean) / std
