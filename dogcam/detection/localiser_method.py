"""Boxes that a localiser regresses, ranked by their expected IoU and their fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence
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
        score_exponent: a box scores the image's probability times its weight to this power.
    """

    midpoint: float = 2.0
    overlap_exponent: float = 2.0
    fit_exponent: float = 2.0
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
        # With logarithms, the means are weighted by the weights themselves.
        kept, means = self.selected(boxes, weights, np.log(np.maximum(weights, 1e-30)), 1.0)
        return clip(means, size), probability_of(evidence) * weights[kept] ** self.score_exponent
