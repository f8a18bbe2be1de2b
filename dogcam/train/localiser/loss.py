"""The loss of a localiser: generalised IoU of its boxes, cross-entropy of their expected IoU."""

import torch
from torch import Tensor
from torch.nn import functional


def localiser_loss(boxes: Tensor, logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of regressed boxes, and their mean IoU with the targets.

    The loss is 1 - GIoU (Rezatofighi et al. 2019, equation 3) of the boxes, plus the binary cross-entropy of
    their expected IoU, each a weighted mean over positions.

    Args:
        boxes: (n, h, w, 4) tensor.
        logits: (n, h, w) tensor, of the expected IoU.
        targets: (n, h, w, 4) tensor; only those of a weight above 0 are read.
        weights: (n, h, w) tensor, at least 0.
    """
    overlap, generalised = _iou_and_giou(boxes, targets)
    expected = functional.binary_cross_entropy_with_logits(logits, overlap.detach(), reduction="none")
    total = weights.sum().clamp(min=1e-3)
    loss = (weights * (1 - generalised + expected)).sum() / total
    return loss, (weights * overlap.detach()).sum() / total


def _iou_and_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = sum((each[..., 2:] - each[..., :2]).prod(-1) for each in (boxes, others)) - shared
    low, high = torch.minimum(boxes[..., :2], others[..., :2]), torch.maximum(boxes[..., 2:], others[..., 2:])
    hull = (high - low).prod(-1).clamp(min=1e-6)
    overlap = shared / union.clamp(min=1e-6)
    return overlap, overlap - (hull - union) / hull
