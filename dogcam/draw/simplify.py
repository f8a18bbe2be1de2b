"""Fewer points for a drawing: polyline simplification and binning."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05)


def simplify_polyline(
    x: ArrayLike, y: ArrayLike, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Simplify a polyline: drop points within `tolerance` of the line through the remaining points.

    Ramer-Douglas-Peucker: keep the point farthest from the chord, and repeat on both sides of it.

    Args:
        x: (K,) numbers, in the unit of length of y.
        y: (K,) numbers; points that are not finite are dropped.
        tolerance: largest distance of a dropped point.

    Returns:
        x and y of the remaining points, including the first and the last.
    """
    points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1] if len(points) else []] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        farthest = first + 1 + int(distances.argmax())
        if distances.max() > tolerance:
            kept[farthest] = True
            spans += [(first, farthest), (farthest, last)]
    return points[kept, 0], points[kept, 1]


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distances of (K, 2) points from the segment between two points."""
    chord = end - start
    length = chord @ chord
    along = np.clip((points - start) @ chord / length, 0, 1) if length > 0 else np.zeros(len(points))
    return np.linalg.norm(points - start - along[:, None] * chord, axis=1)


def bin_points(
    x: ArrayLike, y: ArrayLike, max_bins: int = 800
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Bin points of the unit square on a grid.

    Args:
        x: (N,) numbers in [0, 1].
        y: (N,) numbers in [0, 1].
        max_bins: most bins that hold points; the step of the grid is the smallest from 0.002 to 0.05 that
            satisfies it. The largest step gives at most 441.

    Returns:
        x, y and the number of points of each of K bins; the numbers sum to N.

    Raises:
        ValueError: if x and y differ in length or a point is outside the unit square.
    """
    points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)
    if not ((points >= 0) & (points <= 1)).all():
        raise ValueError("a point is outside the unit square; expected x and y from 0 to 1")
    for step in _STEPS:
        cells, counts = np.unique(np.round(points / step), axis=0, return_counts=True)
        if len(cells) <= max_bins:
            break
    return cells[:, 0] * step, cells[:, 1] * step, counts
