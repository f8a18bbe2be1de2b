"""Boxes that a localiser regresses: ranked by its expected IoU and by their fit, greedy selection, votes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence
from dogcam.detection.selection import select, voted
from dogcam.detection.several_views import GridEvidence, SeveralViews, probability_of
from dogcam.structures.boxes import as_boxes, clip


@dataclass(frozen=True)
class LocaliserMethod(SeveralViews):
    """How the boxes that a localiser regresses become detections.

    The weight of the box b of a position is

        w(b) = sigmoid(logit of the position - midpoint) * (expected IoU)^overlap_exponent
               * F(b)^fit_exponent,

    F its fit to the evidence (`box_fit.fits`).

    Attributes:
        midpoint: logit at which a position belongs to the object with a probability of one half.
        overlap_exponent, fit_exponent: of the weight.
        max_boxes: boxes of one image at most.
        max_iou: largest IoU of two boxes of one image.
        max_cover: largest share of the smaller of two boxes that the other one covers.
        vote_iou: least IoU of the boxes whose weighted mean a kept box becomes.
        score_exponent: a box scores the image's probability times its weight to this power.
    """

    midpoint: float = 2.0
    overlap_exponent: float = 2.0
    fit_exponent: float = 2.0
    max_boxes: int = 4
    max_iou: float = 0.4
    max_cover: float = 0.85
    vote_iou: float = 0.6
    score_exponent: float = 1.0

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image, see `SeveralViews.locate`."""
        regressed = [each.regressed for each in evidence if each.regressed is not None]
        boxes = as_boxes(np.concatenate([each.boxes for each in regressed]))
        overlaps, logits = (
            np.concatenate([getattr(each, name) for each in regressed]).astype(np.float64)
            for name in ("overlaps", "logits")
        )
        gridded = GridEvidence.of(evidence, size, side)
        found = gridded.fits(gridded.grid.to_cells(boxes), self.fit)
        weights = overlaps**self.overlap_exponent * found**self.fit_exponent
        weights /= 1 + np.exp(self.midpoint - logits)
        kept = select(
            boxes, weights, max_boxes=self.max_boxes, max_iou=self.max_iou, max_cover=self.max_cover
        )
        # Weights in place of fits, on a logarithmic scale: the mean is weighted by them.
        means = voted(boxes, np.log(np.maximum(weights, 1e-30)), kept, min_iou=self.vote_iou, sharpness=1.0)
        return clip(means, size), probability_of(evidence) * weights[kept] ** self.score_exponent
