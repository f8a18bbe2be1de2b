"""Runs of a map that is enlarged bilinearly, without the enlarged map.

Between the centres of its cells the enlarged map is linear along each row of pixels. The foreground of a row
is therefore one interval in each segment between two centres, and its ends follow from the values at the ends
of the segment. The time depends on the height of the image and not on its number of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.components import Floats, Integers, Runs

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Relative slope by which the values of neighbouring pixels must differ to be in order despite rounding."""


@dataclass(frozen=True)
class _Axis:
    """The two cells between whose centres each of n pixels is, and their weights, as Pillow computes them."""

    cells: tuple[Integers, Integers]
    weights: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, n_cells: int, n_pixels: int) -> "_Axis":
        centre = (np.arange(n_pixels) + 0.5) * (n_cells / n_pixels)
        low = np.maximum((centre - 0.5).astype(np.int64), 0)
        high = np.minimum(low + 1, n_cells - 1)
        weights = [np.maximum(1 - np.abs(cell - centre + 0.5), 0) for cell in (low, high)]
        # Outside the outer centres there is one cell.
        weights[1][high == low] = 0
        total = weights[0] + weights[1]
        return cls((low, high), (weights[0] / total, weights[1] / total))


class InterpolatedMap:
    """The heat map of a class activation map, evaluated at single pixels.

    Its values are those of `dogcam.detection.boxes_from_maps.heat_map`.

    Args:
        cells: (h, w) float32 array in [0, 1], a normalised map.
        size: (height, width) in pixels, at least (h, w).
    """

    def __init__(self, cells: Floats, size: tuple[int, int]) -> None:
        self.size = size
        rows, columns = (_Axis.of(*lengths) for lengths in zip(cells.shape, size, strict=True))
        low, high = (cells[:, each].astype(np.float64) for each in columns.cells)
        # Pillow enlarges the width first and rounds to single precision after each direction.
        self._wide = (low * columns.weights[0] + high * columns.weights[1]).astype(np.float32)
        self._rows = rows
        one_cell = columns.weights[1] == 0
        changes = np.flatnonzero((np.diff(columns.cells[0]) != 0) | (np.diff(one_cell) != 0)) + 1
        self.starts, self.stops = np.append(0, changes), np.append(changes, size[1])
        self._peak = np.float32(1)
        row = np.arange(size[0])[:, None]
        first, last = (self.at(row, each[None]) for each in (self.starts, self.stops - 1))
        self.flat = self._flat_segments(first, last, ~one_cell[self.starts])
        peak = max([float(each.max()) for each in (first, last)] + [float(self.flat.high.max(initial=0))])
        if peak > 0:
            self._peak = np.float32(peak)
        self.first, self.last = first / self._peak, last / self._peak
        self.flat = replace(self.flat, low=self.flat.low / self._peak, high=self.flat.high / self._peak)

    def at(self, row: Integers, column: Integers) -> Floats:
        """Return the values at pixels: broadcastable int arrays -> float32 array."""
        (low, high), (one, other) = self._rows.cells, self._rows.weights
        upper, lower = self._wide[low[row], column], self._wide[high[row], column]
        return (upper * one[row] + lower * other[row]).astype(np.float32) / self._peak

    def _flat_segments(self, first: Floats, last: Floats, interpolated: NDArray[np.bool_]) -> "_Flat":
        """Evaluate all pixels of the segments that are so flat that rounding decides their order."""
        length = self.stops - self.starts
        flat = (np.abs(first - last) <= ROUNDING * length * np.maximum(first, last)) & (first > 0)
        row, segment = np.nonzero(flat & interpolated & (length > 1))
        columns = self.starts[segment][:, None] + np.arange(length.max())
        values = self.at(row[:, None], np.minimum(columns, self.stops[segment][:, None] - 1))
        return _Flat(row, segment, values.min(axis=1, initial=np.inf), values.max(axis=1, initial=0))


@dataclass(frozen=True)
class _Flat:
    """Segments that are flat but for rounding: row, segment, and their lowest and highest value."""

    row: Integers
    segment: Integers
    low: Floats
    high: Floats


def has_exact_runs(map_: InterpolatedMap, thresholds: Sequence[float]) -> bool:
    """Return whether the foreground of every segment is one interval: no flat one has a threshold inside."""
    levels = np.asarray(thresholds, dtype=np.float32)[:, None]
    return not ((map_.flat.low < levels) & (levels <= map_.flat.high)).any()


def runs_of_map(map_: InterpolatedMap, thresholds: Sequence[float]) -> Runs:
    """Return the runs of an enlarged map, those of `components.runs_of_heat` on its heat map.

    Args:
        map_: the map.
        thresholds: K values above 0; a pixel is foreground if it is at least as high.
    """
    levels = np.asarray(thresholds, dtype=np.float32)
    begins, ends = (each >= levels[:, None, None] for each in (map_.first, map_.last))
    threshold, row, segment = np.nonzero(begins | ends)
    opens, closes = begins[threshold, row, segment], ends[threshold, row, segment]
    # Intervals of adjacent segments that touch are one run.
    joined = np.zeros(len(row), dtype=bool)
    joined[1:] = closes[:-1] & opens[1:] & (np.diff(segment) == 1) & (np.diff(row) == 0)
    start, stop = map_.starts[segment], map_.stops[segment]
    low, high = map_.first[row, segment], map_.last[row, segment]
    for part, at_end in ((~opens, False), (~closes, True)):
        where = (levels[threshold[part]], row[part], segment[part])
        crossing = _crossing(map_, *where, rising=not at_end)
        (stop if at_end else start)[part] = crossing
        (high if at_end else low)[part] = map_.at(row[part], crossing - at_end)
    highest = np.maximum(low, high)
    if len(map_.flat.row):
        of_flat = np.zeros(map_.first.shape, dtype=np.float32)
        of_flat[map_.flat.row, map_.flat.segment] = map_.flat.high
        highest = np.maximum(highest, of_flat[row, segment])
    first = np.flatnonzero(~joined)
    last = np.append(first[1:], len(row)) - 1 if len(first) else first
    peak = np.maximum.reduceat(highest, first) if len(first) else highest
    return Runs(map_.size, len(levels), threshold[first], row[first], start[first], stop[last], peak)


def _crossing(
    map_: InterpolatedMap, level: Floats, row: Integers, segment: Integers, *, rising: bool
) -> Integers:
    """Return the first foreground pixel of rising segments, or the first background pixel of falling ones."""
    low, high = map_.starts[segment], map_.stops[segment] - 1
    before, after = map_.first[row, segment], map_.last[row, segment]
    share = (level - before) / (after - before)
    found = np.clip(low + np.ceil(share * (high - low)).astype(np.int64), low + 1, high)
    # The estimate may be off by rounding; single pixels decide.
    while True:
        early = (map_.at(row, found - 1) >= level) == rising
        late = (map_.at(row, found) >= level) != rising
        early &= found - 1 > low
        late &= ~early & (found < high)
        if not (early | late).any():
            return found
        found = found - early + late
