"""Boxes from nested proposals: evidence of several views, the fit of every proposal, greedy selection."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence
from dogcam.detection.proposals import nested_boxes
from dogcam.detection.several_views import GridEvidence, SeveralViews, probability_of
from dogcam.structures.boxes import area, as_boxes, clip

LOGIT_THRESHOLDS = tuple(float(value) for value in range(-3, 10))
"""Logits at which a position may begin to belong to an object, for the proposals."""

MAP_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
"""Fractions of a class activation map's peak at which components are proposed."""


@dataclass(frozen=True)
class ProposalMethod(SeveralViews):
    """How the evidence of several views becomes scored boxes.

    Attributes:
        vote_sharpness: how fast the weight of a proposal falls with its fit.
        fit_exponent, share_exponent: a box scores the root of a product: the image's probability, its fit to
            the first power, and its share of the image's area to the second, as large boxes are right more
            often. The root changes no order; without it, most right boxes would score below 0.2.
    """

    vote_sharpness: float = 10.0
    fit_exponent: float = 2.0
    share_exponent: float = 0.0

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image, see `SeveralViews.locate`."""
        boxes, fits = self.fitted(evidence, size, side)
        shares = area(boxes) / (size[0] * size[1])
        products = probability_of(evidence) * fits**self.fit_exponent * shares**self.share_exponent
        scores = np.sqrt(products)
        order = np.argsort(-scores, kind="stable")
        return boxes[order], scores[order]

    def fitted(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes and their fits, the highest fit first.

        Args:
            evidence, size, side: as for `locate`.

        Returns:
            boxes: (N, 4) float64 array, half-open xyxy in pixels of the image.
            fits: (N,) float64 array in [0, 1].
        """
        gridded = GridEvidence.of(evidence, size, side)
        proposed = (
            nested_boxes(gridded.logits, LOGIT_THRESHOLDS), nested_boxes(gridded.class_maps, MAP_THRESHOLDS),
        )  # fmt: skip
        boxes = np.unique(as_boxes(np.concatenate(proposed)), axis=0)
        found = gridded.fits(boxes, self.fit)
        kept, means = self.selected(boxes, found, found, self.vote_sharpness)
        # A mean of boxes at the edge may exceed it by a rounding error.
        return clip(gridded.grid.to_pixels(means), size), found[kept]
