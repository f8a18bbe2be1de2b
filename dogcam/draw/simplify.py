"""Fewer points that look the same: what a drawing can leave out before it is drawn."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05)


def simplify_polyline(
    x: ArrayLike, y: ArrayLike, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out points of a line that lie within `tolerance` of the line through those that stay.

    This is the method of Ramer, Douglas and Peucker: keep the point that is farthest from the chord, and ask
    again on both sides of it.

    Args:
        x: (K,) numbers in units in which x and y are drawn alike.
        y: (K,) numbers; points that are not finite are left out.
        tolerance: the greatest distance that is not seen.

    Returns:
        x and y of the points that stay, the first and the last among them.
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
    """Return how far (K, 2) points are from the straight piece between two points."""
    chord = end - start
    length = chord @ chord
    along = np.clip((points - start) @ chord / length, 0, 1) if length > 0 else np.zeros(len(points))
    return np.linalg.norm(points - start - along[:, None] * chord, axis=1)


def spots(
    x: ArrayLike, y: ArrayLike, max_spots: int = 800
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Join points of the unit square that fall on one spot of a grid.

    Args:
        x: (N,) numbers in [0, 1].
        y: (N,) numbers in [0, 1].
        max_spots: the grid is the finest, from 0.002 to 0.05, that leaves at most so many; the coarsest
            leaves no more than 441.

    Returns:
        x and y of the K spots, and how many points each stands for, which add up to N.

    Raises:
        ValueError: where x and y differ in length or leave the unit square.
    """
    points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)
    if not ((points >= 0) & (points <= 1)).all():
        raise ValueError("a point lies outside the unit square; expected x and y from 0 to 1")
    for step in _STEPS:
        cells, counts = np.unique(np.round(points / step), axis=0, return_counts=True)
        if len(cells) <= max_spots:
            break
    return cells[:, 0] * step, cells[:, 1] * step, counts
