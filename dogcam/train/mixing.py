"""Training pictures that lack a part, so that a network learns to know an object by all of its parts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHARE_OF_BATCHES = 0.5
"""How many of the batches are pasted together; the others are shown whole."""

GRID, HIDDEN = 7, 0.3
"""Cells a side that pictures are hidden by, and the chance of each to be hidden."""


def cutmix(batch: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste a window of the next picture into each, and mix the labels by area (Yun et al. 2019).

    The window's share of the area is uniform in [0, 1]; its place, the same for a whole batch, is anywhere
    inside. Every other batch, by chance, is left as it is.

    Args:
        batch: (N, 3, H, W) float tensor.
        labels: (N, C) float tensor in [0, 1].
        generator: decides everything that is random.

    Returns:
        Batch and labels, new tensors where something was pasted.
    """
    if torch.rand((), generator=generator) >= SHARE_OF_BATCHES:
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


def hide_and_seek(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Hide random cells of each picture (Singh and Lee 2017), so that the most telling part may be missing.

    Args:
        batch: (N, 3, H, W) float tensor.
        fill: (3,) float tensor, the colour of what is hidden.
        generator: decides which of the 7 x 7 cells are hidden, each with a chance of 0.3.

    Returns:
        (N, 3, H, W) float tensor.
    """
    hidden = (torch.rand(len(batch), 1, GRID, GRID, generator=generator) < HIDDEN).to(batch.dtype)
    hidden = F.interpolate(hidden, batch.shape[2:], mode="nearest").bool()
    return torch.where(hidden, fill.to(batch.dtype).view(1, 3, 1, 1), batch)
