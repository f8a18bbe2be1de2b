"""Boxes from nested proposals: evidence of several views, the fit of every proposal, greedy selection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

from dogcam.detection.box_fit import FitRule, fits
from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence, Grid, View
from dogcam.detection.proposals import nested_boxes
from dogcam.detection.selection import select, voted
from dogcam.structures.boxes import as_boxes, clip

if TYPE_CHECKING:
    from dogcam.detection.observer import Observer

LOGIT_THRESHOLDS = tuple(float(value) for value in range(-3, 10))
"""Logits at which a position may begin to belong to an object, for the proposals."""

ViewEvidence: TypeAlias = Callable[[View], Sequence[Evidence]]
"""Maps a view of one image to the evidence for each of K classes."""

MAP_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
"""Fractions of a class activation map's peak at which components are proposed."""


@dataclass(frozen=True)
class ProposalMethod:
    """How the evidence of several views becomes scored boxes.

    Attributes:
        views: the views of every image.
        further_views: expensive views, made only of images whose largest logit reaches `gate_logit`.
        gate_logit: logit of a view from which on the further views are made.
        fit: the numbers of a proposal's fit.
        max_boxes: boxes of one image at most.
        max_iou: largest IoU of two boxes of one image.
        max_cover: largest share of the smaller of two boxes that the other one covers.
        vote_iou: least IoU of the proposals whose mean a kept box becomes; 1 for no votes.
        vote_sharpness: how fast the weight of a proposal falls with its fit.
        fit_exponent: a box scores the image's probability times its fit to this power.
    """

    views: tuple[View, ...]
    further_views: tuple[View, ...] = ()
    gate_logit: float = -3.0
    fit: FitRule = field(default_factory=FitRule)
    max_boxes: int = 4
    max_iou: float = 0.3
    max_cover: float = 0.7
    vote_iou: float = 0.5
    vote_sharpness: float = 10.0
    fit_exponent: float = 2.0

    def __post_init__(self) -> None:
        if not self.views:
            raise ValueError("the method has no views; expected at least one")

    @property
    def all_views(self) -> tuple[View, ...]:
        """The views of every image, then the further views."""
        return self.views + self.further_views

    def observe(self, evidence_of: ViewEvidence) -> list[list[Evidence]]:
        """Return the evidence that the method needs for each of K classes.

        Only a class whose largest logit reaches the gate uses the further views. The boxes of a class thus
        do not depend on the other classes.

        Args:
            evidence_of: returns the evidence of one view of the image.
        """
        found = [list(each) for each in zip(*(evidence_of(view) for view in self.views), strict=True)]
        open_ = [max(each.logit for each in of_class) >= self.gate_logit for of_class in found]
        if any(open_):
            further = zip(*(evidence_of(view) for view in self.further_views), strict=True)
            for of_class, wanted, more in zip(found, open_, further, strict=False):
                if wanted:
                    of_class.extend(more)
        return found

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image.

        Args:
            evidence: from `observe`.
            size: (height, width) of the image in pixels.
            side: longer side of the classifier's own input in pixels.

        Returns:
            boxes: (N, 4) float64 array, half-open xyxy in pixels of the image, the highest score first.
            scores: (N,) float64 array, at least 0.
        """
        grid = Grid(size)
        logits = [grid.logits(each) for each in evidence]
        maps = [grid.class_map(each) for each in evidence]
        boxes = as_boxes(
            np.concatenate([nested_boxes(logits, LOGIT_THRESHOLDS), nested_boxes(maps, MAP_THRESHOLDS)])
        )
        boxes = np.unique(boxes, axis=0)
        cells = [each.magnification * max(grid.cell) / side for each in evidence]
        found = fits(logits, maps, cells, boxes, self.fit)
        kept = select(boxes, found, max_boxes=self.max_boxes, max_iou=self.max_iou, max_cover=self.max_cover)
        means = voted(boxes, found, kept, min_iou=self.vote_iou, sharpness=self.vote_sharpness)
        scores = probability_of(evidence) * found[kept] ** self.fit_exponent
        # A mean of boxes at the edge may exceed it by a rounding error.
        return clip(grid.to_pixels(means), size), scores

    def run(self, observer: "Observer", image: Image.Image) -> list[Located]:
        """Return the boxes of an image and their scores for each of the observer's classes, see `locate`."""
        size = (image.height, image.width)
        found = self.observe(partial(observer.evidence, image))
        return [self.locate(of_class, size, observer.side) for of_class in found]


def probability_of(evidence: Sequence[Evidence]) -> float:
    """Return the largest probability of the class over the views of an image."""
    return float(1 / (1 + np.exp(-max(each.logit for each in evidence))))
