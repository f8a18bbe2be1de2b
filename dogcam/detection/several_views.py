"""The evidence of several views of an image: which are made, and how well boxes fit them together."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.detection.box_fit import FitRule, fits
from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence, Grid, View
from dogcam.detection.selection import select, voted
from dogcam.structures.boxes import Boxes

if TYPE_CHECKING:
    from dogcam.detection.observer import Observer

ViewEvidence: TypeAlias = Callable[[View], Sequence[Evidence]]
"""Maps a view of one image to the evidence for each of K classes."""


@dataclass(frozen=True)
class SeveralViews(ABC):
    """A detection method that makes several views of an image.

    Attributes:
        views: the views of every image.
        further_views: expensive views, made only of images whose largest logit reaches `gate_logit`.
        gate_logit: logit of a view from which on the further views are made.
        fit: the numbers of a box's fit to the evidence.
        max_boxes: boxes of one image at most.
        max_iou: largest IoU of two boxes of one image.
        max_cover: largest share of the smaller of two boxes that the other one covers.
        vote_iou: least IoU of the boxes whose weighted mean a kept box becomes; 1 for no votes.
    """

    views: tuple[View, ...]
    further_views: tuple[View, ...] = ()
    gate_logit: float = -3.0
    fit: FitRule = field(default_factory=FitRule)
    max_boxes: int = 4
    max_iou: float = 0.3
    max_cover: float = 0.7
    vote_iou: float = 0.5

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

    @abstractmethod
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

    def selected(
        self, boxes: Boxes, ranks: NDArray[np.float64], votes: NDArray[np.float64], sharpness: float
    ) -> tuple[NDArray[np.int64], Boxes]:
        """Return which boxes are kept, and the means that they become.

        Args:
            boxes: (N, 4) float array, xyxy in any unit.
            ranks: (N,) floats; a box excludes those of lower rank that overlap it, see `selection.select`.
            votes, sharpness: (N,) floats and the weight of their differences, see `selection.voted`.

        Returns:
            A (K,) int array of indices, the highest rank first, and a (K, 4) array.
        """
        kept = select(boxes, ranks, max_boxes=self.max_boxes, max_iou=self.max_iou, max_cover=self.max_cover)
        return kept, voted(boxes, votes, kept, min_iou=self.vote_iou, sharpness=sharpness)

    def run(self, observer: "Observer", image: Image.Image) -> list[Located]:
        """Return the boxes of an image and their scores for each of the observer's classes, see `locate`."""
        size = (image.height, image.width)
        found = self.observe(partial(observer.evidence, image))
        return [self.locate(of_class, size, observer.side) for of_class in found]


@dataclass(frozen=True, eq=False)
class GridEvidence:
    """The evidence of several views on one grid over the image.

    Attributes:
        grid: the cells.
        logits: K (rows, columns) arrays.
        class_maps: K (rows, columns) arrays in [0, 1].
        cells: K numbers, the size of a cell in the view as a share of the classifier's input side.
    """

    grid: Grid
    logits: Sequence[NDArray[np.float32]]
    class_maps: Sequence[NDArray[np.float32]]
    cells: Sequence[float]

    @classmethod
    def of(cls, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> "GridEvidence":
        """Return the evidence of K views on the grid of an image.

        Args:
            evidence: of K views.
            size: (height, width) of the image in pixels.
            side: longer side of the classifier's own input in pixels.
        """
        grid = Grid(size)
        return cls(
            grid,
            [grid.logits(each) for each in evidence],
            [grid.class_map(each) for each in evidence],
            [each.magnification * max(grid.cell) / side for each in evidence],
        )

    def fits(self, boxes: Boxes, rule: FitRule) -> NDArray[np.float64]:
        """Return how well boxes fit, see `box_fit.fits`: (N, 4) array, xyxy in cells -> (N,) array."""
        return fits(self.logits, self.class_maps, self.cells, boxes, rule)


def probability_of(evidence: Sequence[Evidence]) -> float:
    """Return the largest probability of the class over the views of an image."""
    return float(1 / (1 + np.exp(-max(each.logit for each in evidence))))
