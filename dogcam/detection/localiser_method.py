"""Boxes from nested proposals, ranked by their fit and by the boxes that a localiser regresses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.structures.boxes import Boxes, as_boxes, clip, iou


@dataclass(frozen=True)
class LocaliserMethod(ProposalMethod):
    """How proposals become detections if a localiser regresses a box at each position of some views.

    The weight of a regressed box r is

        w(r) = sigmoid(logit of its position - midpoint) * (its expected IoU)^overlap_exponent.

    The support of a proposal b is the mean of the largest values of w(r) IoU(b, r)^iou_exponent. The rank of
    b is its fit (`box_fit.fits`), to the power `fit_exponent`, times its support; the rank takes the part
    that the fit has in `ProposalMethod`. Weights of box voting are powers of the rank.

    Attributes:
        midpoint: logit at which a position belongs to the object with a probability of one half.
        overlap_exponent: of the weight of a regressed box.
        iou_exponent: of the IoU of a proposal and a regressed box.
        supporters: number of regressed boxes, those that support a proposal most.
    """

    midpoint: float = 1.0
    overlap_exponent: float = 2.0
    iou_exponent: float = 4.0
    supporters: int = 20

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image, see `ProposalMethod.locate`."""
        grid, cells, found = self.proposed(evidence, size, side)
        boxes = grid.to_pixels(cells)
        ranks = found**self.fit_exponent * self._support(boxes, evidence)
        # With logarithms, the weights of box voting are powers of the ranks.
        votes = np.log(np.maximum(ranks, 1e-30))
        kept, means = self.selected(boxes, ranks, votes)
        return self.scored(clip(means, size), ranks[kept], evidence, size)

    def _support(self, boxes: Boxes, evidence: Sequence[Evidence]) -> NDArray[np.float64]:
        """Return the support of proposals: (N, 4) array in pixels of the image -> (N,) array."""
        regressed = [each.regressed for each in evidence if each.regressed is not None]
        overlaps, logits = (
            np.concatenate([getattr(each, name) for each in regressed]).astype(np.float64)
            for name in ("overlaps", "logits")
        )
        if not len(overlaps):
            return np.zeros(len(boxes))
        weights = overlaps**self.overlap_exponent / (1 + np.exp(self.midpoint - logits))
        others = as_boxes(np.concatenate([each.boxes for each in regressed]))
        support = weights * iou(boxes, others) ** self.iou_exponent
        n = min(self.supporters, len(others))
        return np.partition(support, len(others) - n, axis=1)[:, len(others) - n :].mean(axis=1)
