"""Boxes from nested proposals: evidence of several views, the fit of every proposal, greedy selection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.detection.box_fit import FitRule
from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence, Grid, View
from dogcam.detection.grid_evidence import GridEvidence, probability_of
from dogcam.detection.proposals import nested_boxes
from dogcam.detection.selection import select, voted
from dogcam.structures.boxes import Boxes, area, as_boxes, clip

if TYPE_CHECKING:
    from dogcam.detection.observer import Observer

ViewEvidence: TypeAlias = Callable[[View], Sequence[Evidence]]
"""Maps a view of one image to the evidence for each of K classes."""

LOGIT_THRESHOLDS = tuple(float(value) for value in range(-3, 10))
"""Logits at which a position may begin to belong to an object, for the proposals."""

MAP_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
"""Fractions of a class activation map's peak at which components are proposed."""


@dataclass(frozen=True)
class ProposalMethod:
    """How several views of an image become scored boxes.

    Attributes:
        views: the views of every image.
        further_views: expensive views, made only of images whose largest logit reaches `gate_logit`.
        gate_logit: logit of a view from which on the further views are made.
        fit: the numbers of a box's fit to the evidence.
        max_boxes: boxes of one image at most.
        max_iou: largest IoU of two boxes of one image.
        max_cover: largest share of the smaller of two boxes that the other one covers.
        vote_iou: least IoU of the boxes whose weighted mean a kept box becomes; 1 for no votes.
        vote_sharpness: how fast the weight of a proposal falls with its fit.
        fit_exponent, share_exponent: the order of boxes is that of a product: the image's probability, their
            fit to the first power, and their share of the image's area to the second, as large boxes are
            right more often.
        calibration: slope and offset of Platt scaling (Platt 1999): the score is the logistic function of
            slope * log(product) + offset, the probability that a box is right where both were fitted.
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
    share_exponent: float = 0.0
    calibration: tuple[float, float] = (1.0, 0.0)

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

    def run(self, observer: "Observer", image: Image.Image) -> list[Located]:
        """Return the boxes of an image and their scores for each of the observer's classes, see `locate`."""
        size = (image.height, image.width)
        found = self.observe(partial(observer.evidence, image))
        return [self.locate(of_class, size, observer.side) for of_class in found]

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image.

        Args:
            evidence: from `observe`.
            size: (height, width) of the image in pixels.
            side: longer side of the classifier's own input in pixels.

        Returns:
            boxes: (N, 4) float64 array, half-open xyxy in pixels of the image, the highest score first.
            scores: (N,) float64 array in [0, 1).
        """
        boxes, fits = self.fitted(evidence, size, side)
        return self.scored(boxes, fits**self.fit_exponent, evidence, size)

    def fitted(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes and their fits, the highest fit first.

        Args:
            evidence, size, side: as for `locate`.

        Returns:
            boxes: (N, 4) float64 array, half-open xyxy in pixels of the image.
            fits: (N,) float64 array in [0, 1].
        """
        grid, boxes, found = self.proposed(evidence, size, side)
        kept, means = self.selected(boxes, found, found)
        # A mean of boxes at the edge may exceed it by a rounding error.
        return clip(grid.to_pixels(means), size), found[kept]

    def proposed(
        self, evidence: Sequence[Evidence], size: tuple[int, int], side: int
    ) -> tuple[Grid, Boxes, NDArray[np.float64]]:
        """Return the grid of the image, and all proposals with their fits.

        Args:
            evidence, size, side: as for `locate`.

        Returns:
            The grid, an (N, 4) array of different boxes in its cells, and an (N,) array in [0, 1].
        """
        gridded = GridEvidence.of(evidence, size, side)
        proposed = (
            nested_boxes(gridded.logits, LOGIT_THRESHOLDS), nested_boxes(gridded.class_maps, MAP_THRESHOLDS),
        )  # fmt: skip
        boxes = np.unique(as_boxes(np.concatenate(proposed)), axis=0)
        return gridded.grid, boxes, gridded.fits(boxes, self.fit)

    def scored(
        self, boxes: Boxes, ranks: NDArray[np.float64], evidence: Sequence[Evidence], size: tuple[int, int]
    ) -> Located:
        """Return the boxes of an image with their scores, the highest first.

        Args:
            boxes: (N, 4) array in pixels of the image.
            ranks: (N,) array, the factor of the score that knows the box.
            evidence, size: as for `locate`.
        """
        shares = area(boxes) / (size[0] * size[1])
        products = probability_of(evidence) * ranks * shares**self.share_exponent
        slope, offset = self.calibration
        # Odds in place of logarithms, as a product may be 0.
        odds = products**slope * np.exp(offset)
        scores = odds / (1 + odds)
        order = np.argsort(-scores, kind="stable")
        return boxes[order], scores[order]

    def selected(
        self, boxes: Boxes, ranks: NDArray[np.float64], votes: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], Boxes]:
        """Return which boxes are kept, and the means that they become.

        Args:
            boxes: (N, 4) float array, xyxy in any unit.
            ranks: (N,) floats; a box excludes those of lower rank that overlap it, see `selection.select`.
            votes: (N,) floats whose differences weight the boxes of a mean, see `selection.voted`.

        Returns:
            A (K,) int array of indices, the highest rank first, and a (K, 4) array.
        """
        kept = select(boxes, ranks, max_boxes=self.max_boxes, max_iou=self.max_iou, max_cover=self.max_cover)
        return kept, voted(boxes, votes, kept, min_iou=self.vote_iou, sharpness=self.vote_sharpness)
