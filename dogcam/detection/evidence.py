"""Views of an image, the evidence for a class at each spatial position of a view, and the grid of all views.

Without torch: the processes that locate boxes import these types.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.structures.boxes import Boxes

Window = tuple[float, float, float, float]
"""A part of an image, half-open xyxy in pixels."""

GRID_SIDE = 96
"""Cells of the longer side of the grid on which the maps of all views are compared."""


@dataclass(frozen=True)
class View:
    """How an image, or a part of it, is given to the network.

    Attributes:
        scale: length of the longer side, as a multiple of the classifier's own input side.
        keep_aspect: keep the aspect ratio, up to rounding to the network's stride; otherwise the input is a
            square.
        dense: run the network without its last stride: maps have twice the resolution. A network that cannot
            be dilated, such as one with squeeze-and-excitation, makes a plain view.
        mirrored: mirror the image, and mirror the map back.
        regressed: regress a box at each position, by the localiser of the observer.

    Raises:
        ValueError: if the scale is not above 0.
    """

    scale: float
    keep_aspect: bool = True
    dense: bool = True
    mirrored: bool = False
    regressed: bool = False

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"the scale of a view is {self.scale}; expected a number above 0")

    @property
    def name(self) -> str:
        """A short name that differs between views: `1.25 dense mirrored`."""
        flags = {
            "squashed": not self.keep_aspect, "dense": self.dense, "mirrored": self.mirrored,
            "regressed": self.regressed,
        }  # fmt: skip
        return " ".join([f"{self.scale:g}", *(word for word, used in flags.items() if used)])

    def input_size(self, size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
        """Return the (height, width) of the network's input in pixels.

        Args:
            size: (height, width) of what is shown, in pixels.
            side: longer side of the classifier's own input in pixels.
            stride: total stride of the network; both sides of the input are multiples, at least two.
        """
        longest = self.scale * side
        wanted = [each * longest / max(size) for each in size] if self.keep_aspect else [longest, longest]
        height, width = (max(2, round(each / stride)) * stride for each in wanted)
        return height, width


@dataclass(frozen=True, eq=False)
class RegressedBoxes:
    """The boxes that a localiser regressed at positions of one view.

    Attributes:
        boxes: (P, 4) float64 array, half-open xyxy in pixels of the image, inside the window.
        overlaps: (P,) float32 array in (0, 1), the expected IoU of each box with an object.
        logits: (P,) float32 array, the logit of the class if the position is classified by itself.
    """

    boxes: Boxes
    overlaps: NDArray[np.float32]
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence for one class at each position of one view.

    Attributes:
        logits: (h, w) float32 array, the logit of the class if a position is classified by itself.
        class_map: (h, w) float32 array, the class activation map: the weighted sum of activations.
        logit: of the view.
        window: the part of the image that the view shows, half-open xyxy in pixels.
        input_size: (height, width) of the network's input in pixels.
        offset: (y, x), the centre of the first position in pixels of the input.
        step: distance of neighbouring positions in pixels of the input.
        regressed: the boxes of a localiser; None if the view asks for none.
    """

    logits: NDArray[np.float32]
    class_map: NDArray[np.float32]
    logit: float
    window: Window
    input_size: tuple[int, int]
    offset: tuple[float, float]
    step: float
    regressed: RegressedBoxes | None = None

    @property
    def magnification(self) -> float:
        """Pixels of the input for one pixel of the image, along the longer side of the input."""
        x0, y0, x1, y1 = self.window
        return max(self.input_size) / max(x1 - x0, y1 - y0)


@dataclass(frozen=True)
class Grid:
    """Square cells over an image, on which maps of different views are compared.

    Attributes:
        size: (height, width) of the image in pixels.
        side: cells of the longer side.
    """

    size: tuple[int, int]
    side: int = GRID_SIDE

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid."""
        rows, columns = (max(8, round(each * self.side / max(self.size))) for each in self.size)
        return rows, columns

    @property
    def cell(self) -> tuple[float, float]:
        """(height, width) of a cell in pixels of the image."""
        return self.size[0] / self.shape[0], self.size[1] / self.shape[1]

    def to_pixels(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes in pixels of the image: (N, 4) float array of boxes in cells -> (N, 4)."""
        return boxes * [self.cell[1], self.cell[0], self.cell[1], self.cell[0]]

    def to_cells(self, boxes: Boxes) -> Boxes:
        """Return boxes in cells: (N, 4) float array of boxes in pixels of the image -> (N, 4)."""
        return boxes / [self.cell[1], self.cell[0], self.cell[1], self.cell[0]]

    def logits(self, evidence: Evidence) -> NDArray[np.float32]:
        """Return the logits at the centres of the cells, interpolated bilinearly between positions.

        Beyond the outermost positions the nearest value is repeated; outside the window of the evidence
        this has no meaning.

        Returns:
            (rows, columns) float32 array.
        """
        return self._resample(evidence.logits, evidence)

    def class_map(self, evidence: Evidence) -> NDArray[np.float32]:
        """Return the positive part of the class activation map at the cells, divided by its peak.

        Returns:
            (rows, columns) float32 array in [0, 1]; 0 everywhere if the map is nowhere positive.
        """
        positive = np.maximum(self._resample(evidence.class_map, evidence), 0.0)
        peak = positive.max()
        return positive / peak if peak > 0 else positive

    def _resample(self, values: NDArray[np.float32], evidence: Evidence) -> NDArray[np.float32]:
        left, top, right, bottom = evidence.window
        weights = []
        for axis, (low, high) in enumerate(((top, bottom), (left, right))):
            pixel = (high - low) / evidence.input_size[axis]
            centres = (np.arange(self.shape[axis]) + 0.5) * self.cell[axis]
            places = ((centres - low) / pixel - evidence.offset[axis]) / evidence.step
            weights.append(_interpolation(places, values.shape[axis]))
        rows, columns = weights
        return rows @ values.astype(np.float32) @ columns.T


def _interpolation(places: NDArray[np.floating], n_positions: int) -> NDArray[np.float32]:
    """Return the weights of positions 0, 1, ... at places: (n_places, n_positions) array, rows sum to 1."""
    at = np.clip(places, 0, n_positions - 1)
    first = np.minimum(at.astype(int), max(n_positions - 2, 0))
    weights = np.zeros((len(places), n_positions), dtype=np.float32)
    row = np.arange(len(places))
    weights[row, first] = 1 - (at - first)
    if n_positions > 1:
        weights[row, first + 1] += at - first
    return weights
