"""Runs of maps that are enlarged bilinearly, without the enlarged maps.

Between the centres of its cells an enlarged map is linear along each row of pixels. The foreground of a row
is therefore one interval in each segment between two centres, and its ends follow from the values at the ends
of the segment. The time depends on the height of the image and not on its number of pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.components import Floats, Integers, Runs

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Relative slope by which the values of neighbouring pixels must differ to be in order despite rounding."""


@dataclass(frozen=True)
class _Axis:
    """The two cells between whose centres each of n pixels is, and their weights, as Pillow computes them.

    Pixels between the same two centres are a segment; `interpolated` is False for a segment at the border,
    which is inside one cell.
    """

    cells: tuple[Integers, Integers]
    weights: tuple[NDArray[np.float64], NDArray[np.float64]]
    starts: Integers
    stops: Integers
    interpolated: NDArray[np.bool_]


@lru_cache(maxsize=64)
def _axis(n_cells: int, n_pixels: int) -> _Axis:
    centre = (np.arange(n_pixels) + 0.5) * (n_cells / n_pixels)
    low = np.maximum((centre - 0.5).astype(np.int64), 0)
    high = np.minimum(low + 1, n_cells - 1)
    weights = [np.maximum(1 - np.abs(cell - centre + 0.5), 0) for cell in (low, high)]
    # Outside the outer centres there is one cell.
    weights[1][high == low] = 0
    total = weights[0] + weights[1]
    one_cell = weights[1] == 0
    changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(one_cell) != 0)) + 1
    starts, stops = np.append(0, changes), np.append(changes, n_pixels)
    return _Axis((low, high), (weights[0] / total, weights[1] / total), starts, stops, ~one_cell[starts])


class InterpolatedMaps:
    """The heat maps of M class activation maps of one size, evaluated at single pixels.

    Their values are those of `dogcam.detection.boxes_from_maps.heat_map`.

    Args:
        cells: (M, h, w) float32 array in [0, 1], normalised maps.
        size: (height, width) in pixels, at least (h, w).

    Attributes:
        starts, stops: (S,) int arrays, the columns of the segments of a row; `stops` is exclusive.
        first, last, highest: (M, height, S + 1) float32 arrays, the values at both ends of each segment, and
            the highest value in it; -inf after the last segment, which ends the runs of each row.
        flat: the segments that are flat but for rounding.
    """

    def __init__(self, cells: Floats, size: tuple[int, int]) -> None:
        self.size = size
        self._rows, columns = (_axis(*each) for each in zip(cells.shape[1:], size, strict=True))
        self.starts, self.stops = columns.starts, columns.stops
        low, high = (cells.take(each, axis=2) for each in columns.cells)
        # Pillow enlarges the width first and rounds to single precision after each direction.
        self._wide = (low * columns.weights[0] + high * columns.weights[1]).astype(np.float32)
        self._peak = np.ones(len(cells), dtype=np.float32)
        first, last = (self._columns(each) for each in (self.starts, self.stops - 1))
        highest = np.maximum(first, last)
        flat = self._flat_segments(first, last, highest, columns.interpolated)
        highest[flat.map, flat.row, flat.segment] = flat.high
        peak = highest.max(axis=(1, 2), initial=0)
        self._peak[peak > 0] = peak[peak > 0]
        self.first, self.last, self.highest = (self._scaled(each) for each in (first, last, highest))
        scale = self._peak[flat.map]
        self.flat = replace(flat, low=flat.low / scale, high=flat.high / scale)

    def at(self, map_: Integers, row: Integers, column: Integers) -> Floats:
        """Return the values at pixels: broadcastable int arrays -> float32 array."""
        return self.along(map_, row)(column)

    def along(self, map_: Integers, row: Integers) -> Callable[[Integers], Floats]:
        """Return the function from columns to values on rows, for several columns of the same rows."""
        n_cells, n_columns = self._wide.shape[1:]
        upper, lower = ((map_ * n_cells + each[row]) * n_columns for each in self._rows.cells)
        one, other = (each[row] for each in self._rows.weights)
        peak = self._peak[map_]

        def values(column: Integers) -> Floats:
            between = self._wide.take(upper + column) * one + self._wide.take(lower + column) * other
            return between.astype(np.float32) / peak

        return values

    def _columns(self, column: Integers) -> Floats:
        """Return whole columns of the maps, before they are divided by their peaks."""
        wide = self._wide.take(column, axis=2)
        low, high = (wide.take(each, axis=1) for each in self._rows.cells)
        one, other = (each[:, None] for each in self._rows.weights)
        return (low * one + high * other).astype(np.float32)

    def _flat_segments(
        self, first: Floats, last: Floats, highest: Floats, interpolated: NDArray[np.bool_]
    ) -> "_Flat":
        """Evaluate all pixels of the segments that are so flat that rounding decides their order."""
        length = self.stops - self.starts
        tolerance = np.where(interpolated & (length > 1), ROUNDING * length, -1).astype(np.float32)
        map_, row, segment = np.nonzero((np.abs(first - last) <= tolerance * highest) & (first > 0))
        columns = self.starts[segment][:, None] + np.arange(length.max())
        columns = np.minimum(columns, self.stops[segment][:, None] - 1)
        values = self.at(map_[:, None], row[:, None], columns)
        return _Flat(map_, row, segment, values.min(axis=1, initial=np.inf), values.max(axis=1, initial=0))

    def _scaled(self, values: Floats) -> Floats:
        n_maps, n_rows, n_segments = values.shape
        scaled = np.full((n_maps, n_rows, n_segments + 1), -np.inf, dtype=np.float32)
        np.divide(values, self._peak[:, None, None], out=scaled[:, :, :-1])
        return scaled


@dataclass(frozen=True)
class _Flat:
    """Segments that are flat but for rounding: map, row, segment, and their lowest and highest value."""

    map: Integers
    row: Integers
    segment: Integers
    low: Floats
    high: Floats


def have_exact_runs(maps: InterpolatedMaps, thresholds: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each map whether the foreground of every segment is one interval at its thresholds.

    It is, unless a threshold is inside the range of a flat segment.
    """
    exact = []
    for number, levels in enumerate(thresholds):
        mine = maps.flat.map == number
        level = np.asarray(levels, dtype=np.float32)[:, None]
        exact.append(not ((maps.flat.low[mine] < level) & (level <= maps.flat.high[mine])).any())
    return exact


def runs_of_maps(maps: InterpolatedMaps, thresholds: Sequence[Sequence[float]]) -> Runs:
    """Return the runs of enlarged maps, those of `components.runs_of_heat` on their heat maps.

    Args:
        maps: M maps.
        thresholds: for each map its values above 0; a pixel is foreground if it is at least as high.

    Returns:
        The runs of the foregrounds of the first map, then of the second, and so on.
    """
    levels = np.concatenate([np.asarray(each, dtype=np.float32) for each in thresholds])
    owner = np.repeat(np.arange(len(thresholds)), [len(each) for each in thresholds])
    n_columns = maps.first.shape[2]
    n_places = maps.first[0].size
    begins, ends = (_reached(values, levels, owner) for values in (maps.first, maps.last))
    opened = begins | ends
    closed = opened.copy()
    # Intervals of adjacent segments that touch are one run.
    apart = ~(ends[:-1] & begins[1:])
    opened[1:] &= apart
    closed[:-1] &= apart
    first, last = np.flatnonzero(opened), np.flatnonzero(closed)
    foreground, place = np.divmod(first, n_places)
    row, segment = np.divmod(place, n_columns)
    level, of_map = levels[foreground], owner[foreground]
    offset = (of_map - foreground) * n_places
    start = maps.starts[segment]
    part = np.flatnonzero(~begins[first])
    start[part] = _crossing(
        maps, of_map[part], row[part], segment[part], (first + offset)[part], level[part], rising=True
    )
    segment = segment + (last - first)
    stop = maps.stops[segment]
    part = np.flatnonzero(~ends[last])
    stop[part] = _crossing(
        maps, of_map[part], row[part], segment[part], (last + offset)[part], level[part], rising=False
    )
    # The segment after the last one of a run belongs to no run of this foreground.
    bounds = np.column_stack([first + offset, last + offset + 1]).ravel()
    peak = np.maximum.reduceat(maps.highest.ravel(), bounds)[::2] if len(bounds) else maps.highest[0, 0, :0]
    return Runs(maps.size, len(levels), foreground, row, start, stop, peak)


def _reached(values: Floats, levels: Floats, owner: Integers) -> NDArray[np.bool_]:
    """Return for each threshold where the values of its map are at least as high, as one flat array."""
    flat = values.reshape(len(values), -1)
    reached = np.empty((len(levels), flat.shape[1]), dtype=bool)
    for out, level, number in zip(reached, levels, owner, strict=True):
        np.greater_equal(flat[number], level, out=out)
    return reached.ravel()


def _crossing(
    maps: InterpolatedMaps,
    map_: Integers,
    row: Integers,
    segment: Integers,
    place: Integers,
    level: Floats,
    *,
    rising: bool,
) -> Integers:
    """Return the first foreground pixel of rising segments, or the first background pixel of falling ones."""
    low, high = maps.starts[segment], maps.stops[segment] - 1
    before, after = maps.first.take(place), maps.last.take(place)
    share = (level - before) / (after - before)
    found = np.clip(low + np.ceil(share * (high - low)).astype(np.int64), low + 1, high)
    values = maps.along(map_, row)
    # The estimate may be off by rounding; single pixels decide.
    while True:
        early = (values(found - 1) >= level) == rising
        late = (values(found) >= level) != rising
        early &= found - 1 > low
        late &= ~early & (found < high)
        if not (early | late).any():
            return found
        found = found - early + late
