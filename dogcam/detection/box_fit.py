"""How well a box fits the evidence: the expected overlap with the object at the scale of the box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.structures.boxes import Boxes, area


def integral(map_: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the summed-area table of a map: (rows, columns) -> (rows + 1, columns + 1), zeros first."""
    table = np.zeros((map_.shape[0] + 1, map_.shape[1] + 1))
    table[1:, 1:] = np.cumsum(np.cumsum(map_, axis=0, dtype=np.float64), axis=1)
    return table


def box_sums(table: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    """Return the sum of a map inside each box; cells that a box covers in part count in part.

    Args:
        table: from `integral`.
        boxes: (N, 4) float array, half-open xyxy in cells; what exceeds the map adds nothing.

    Returns:
        (N,) float64 array.
    """
    x0, y0, x1, y1 = boxes.T
    return _at(table, y1, x1) - _at(table, y0, x1) - _at(table, y1, x0) + _at(table, y0, x0)


def grown(boxes: Boxes, fraction: float) -> Boxes:
    """Return boxes whose sides are moved outwards by a fraction of the box's width and height."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * fraction
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


@dataclass(frozen=True)
class FitRule:
    """The numbers of the fit of a box.

    Attributes:
        midpoints: logits at which a position belongs to the object with a probability of one half; the
            fits of several are averaged.
        ring: width of the surroundings in which evidence counts against a box, as a fraction of its sides.
        side: geometric mean of the sides of a box at which views fit best, as a share of the classifier's
            own input side.
        octaves: standard deviation of the weights of views, in factors of two away from `side`.
        fill: share of a box that fits which positions of the object cover, in (0, 1].
        map_weight: weight of the class activation map, the rest being that of the logits, in [0, 1].
        map_fill: mean of the relative class activation map in a box that fits, in (0, 1].

    Raises:
        ValueError: if a number is out of its range.
    """

    midpoints: tuple[float, ...] = (1.0,)
    ring: float = 1.0
    side: float = 0.31
    octaves: float = 0.5
    fill: float = 1.0
    map_weight: float = 0.5
    map_fill: float = 0.4

    def __post_init__(self) -> None:
        positive = min(self.ring, self.side, self.octaves, self.fill, self.map_fill) > 0
        if (
            not positive
            or not self.midpoints
            or not 0 <= self.map_weight <= 1
            or max(self.fill, self.map_fill) > 1
        ):
            raise ValueError(
                f"{self}; expected map_weight in [0, 1], fill and map_fill in (0, 1], and ring, side and "
                "octaves above 0, and at least one midpoint"
            )


def fits(
    logits: Sequence[NDArray[np.float32]],
    class_maps: Sequence[NDArray[np.float32]],
    cells: Sequence[float],
    boxes: Boxes,
    rule: FitRule,
) -> NDArray[np.float64]:
    """Return how well each box fits the evidence of several views.

    With the evidence e of a position in [0, 1] and the ring around a box b, a view's fit is the expected
    share of the intersection in the union,

        F(b) = sum of e in b / (fill |b| + sum of e in the ring).

    It is taken of the probability of each position by itself (`fill`) and of the relative class activation
    map (`map_fill`), and both are averaged. Views are averaged with the weights
    exp(-log2(s / side)^2 / (2 octaves^2)), s the side of the box in the view: the blur of a map is a third of
    the classifier's own input; small objects therefore need magnified views.

    Args:
        logits: K (rows, columns) arrays on one grid.
        class_maps: K (rows, columns) arrays on the same grid, in [0, 1].
        cells: K numbers, the size of a cell in the view as a share of the classifier's input side.
        boxes: (N, 4) float array, half-open xyxy in cells.
        rule: the numbers.

    Returns:
        (N,) float64 array, at least 0.
    """
    total, weight = np.zeros(len(boxes)), np.full(len(boxes), 1e-12)
    sides = np.sqrt(area(boxes))
    for logit_map, class_map, cell in zip(logits, class_maps, cells, strict=True):
        octaves = np.log2(np.maximum(sides * cell, 1e-6) / rule.side) / rule.octaves
        # A floor, so that a box far from the best side of every view is judged by all of them.
        share = np.exp(-(octaves**2) / 2) + 1e-4
        parts = [
            _overlap(_sigmoid(logit_map - midpoint), boxes, rule.fill, rule.ring)
            for midpoint in rule.midpoints
        ]
        fit = (1 - rule.map_weight) * np.mean(parts, axis=0)
        fit += rule.map_weight * _overlap(class_map, boxes, rule.map_fill, rule.ring)
        total += share * fit
        weight += share
    return total / weight


def _sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _overlap(evidence: NDArray[np.floating], boxes: Boxes, fill: float, ring: float) -> NDArray[np.float64]:
    table = integral(evidence)
    inside = box_sums(table, boxes)
    around = box_sums(table, grown(boxes, ring)) - inside
    return inside / np.maximum(fill * area(boxes) + around, 1e-9)


def _at(table: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a summed-area table bilinearly: exact for cells that are covered in part."""
    y, x = (np.clip(each, 0, n - 1) for each, n in zip((y, x), table.shape, strict=True))
    top, left = (np.minimum(each.astype(int), n - 2) for each, n in zip((y, x), table.shape, strict=True))
    down, right = y - top, x - left
    upper = table[top, left] * (1 - right) + table[top, left + 1] * right
    lower = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down
