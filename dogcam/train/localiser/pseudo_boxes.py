"""Pseudo-boxes of an image, and what a localiser learns from them at each position."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dogcam.detection.evidence import Evidence
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.train.localiser.config import LocaliserConfig

CORE = 0.3
"""Positions within this share of a box's sides from its centre count fully, others `AT_EDGE`."""

AT_EDGE = 0.25
LEAST_EVIDENCE = 0.05


@dataclass(frozen=True)
class PseudoBox:
    """A box that is taken for an object.

    Attributes:
        name: of its class.
        box: half-open xyxy in pixels of the image.
        fit: to the evidence; its weight in the training.
    """

    name: str
    box: tuple[float, float, float, float]
    fit: float


def pseudo_boxes(
    name: str,
    evidence: Sequence[Evidence],
    size: tuple[int, int],
    side: int,
    method: ProposalMethod,
    config: LocaliserConfig,
) -> list[PseudoBox]:
    """Return the boxes that a method finds for a class that the image is known to show.

    Args:
        name: of the class.
        evidence: for the class, from `method.observe`.
        size: (height, width) of the image in pixels.
        side: longer side of the classifier's own input in pixels.
        method: locates the boxes.
        config: how well a box has to fit.
    """
    boxes, fits = method.fitted(evidence, size, side)
    least = max(config.least_fit, config.relative_fit * fits.max(initial=0.0))
    return [
        PseudoBox(name, tuple(box), fit)
        for box, fit in zip(boxes.tolist(), fits.tolist(), strict=True)
        if fit >= least
    ]


def position_targets(boxes: Tensor, weights: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Return the box and the weight that each position learns.

    A position inside several boxes learns the smallest one, one outside of all learns nothing. All positions
    of a box together have the weight of the box.

    Args:
        boxes: (B, 4) float tensor, xyxy in positions; the first position is at 0. B is at least 1.
        weights: (B,) float tensor, at least 0.
        evidence: (h, w) float tensor in [0, 1], the probability of the class at each position.

    Returns:
        An (h, w, 4) tensor of boxes, and an (h, w) tensor of weights.
    """
    y, x = (torch.arange(n, dtype=boxes.dtype) for n in evidence.shape)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    across = (x[None, :, None] - centre[:, 0]).abs() / sides[:, 0]
    down = (y[:, None, None] - centre[:, 1]).abs() / sides[:, 1]
    distance = torch.maximum(across, down)
    inside = distance < 0.5
    areas = torch.where(inside, sides.prod(dim=1), torch.inf)
    nearest = areas.argmin(dim=2)
    core = distance.gather(2, nearest[..., None])[..., 0] < CORE
    found = inside.any(dim=2) * torch.where(core, 1.0, AT_EDGE) * evidence.clamp(min=LEAST_EVIDENCE)
    totals = torch.zeros(len(boxes)).index_add(0, nearest.ravel(), found.ravel())
    return boxes[nearest], found * (weights / totals.clamp(min=1e-3))[nearest]
