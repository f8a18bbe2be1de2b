"""The evidence of several views of an image on one grid, and how well boxes fit it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.box_fit import FitRule, fits
from dogcam.detection.evidence import Evidence, Grid
from dogcam.structures.boxes import Boxes


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
