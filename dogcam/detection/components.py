"""Connected components of thresholded maps, from runs of pixels instead of label images.

A run is a maximal horizontal interval of foreground pixels. Runs of adjacent rows that share a side or a
corner belong to one component. A graph with a few runs in each row replaces an image of labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from dogcam.structures.boxes import Boxes

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Runs:
    """The runs of K foregrounds of one size, such as a map at K thresholds.

    They are sorted by foreground, row and column.

    Attributes:
        size: (height, width) in pixels.
        n_foregrounds: K.
        foreground, row, start, stop: (N,) int arrays; `foreground` is an index, `stop` is exclusive.
        peak: (N,) float32 array, the highest value of each run.
    """

    size: tuple[int, int]
    n_foregrounds: int
    foreground: Integers
    row: Integers
    start: Integers
    stop: Integers
    peak: Floats


@dataclass(frozen=True)
class FoundComponents:
    """The N connected components of K foregrounds.

    Those of one foreground are in the order of their first pixel, row by row.

    Attributes:
        boxes: (N, 4) float64 array, half-open xyxy in pixels.
        areas: (N,) int array, in pixels.
        peaks: (N,) float32 array, the highest value of each component.
        foreground: (N,) int array, ascending, the index of its foreground.
        bounds: (K + 1,) int array; the components of foreground k are those from `bounds[k]` to
            `bounds[k + 1]`.
    """

    boxes: Boxes
    areas: Integers
    peaks: Floats
    foreground: Integers
    bounds: Integers


def runs_of_heat(heat: Floats, thresholds: Sequence[float]) -> Runs:
    """Return the runs of a heat map.

    Args:
        heat: (height, width) float32 array.
        thresholds: K values; a pixel is foreground if it is at least as high.
    """
    height, width = heat.shape
    # A column of background ends the runs of each row.
    padded = np.full((height, width + 1), -np.inf, dtype=np.float32)
    padded[:, :width] = heat
    flat = padded.ravel()
    parts = []
    for number, threshold in enumerate(thresholds):
        inside = np.concatenate([[False], flat >= threshold])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, stops = edges[::2], edges[1::2]
        peaks = np.maximum.reduceat(flat, edges)[::2] if len(edges) else flat[:0]
        row = starts // (width + 1)
        offset = row * (width + 1)
        parts.append((np.full(len(row), number), row, starts - offset, stops - offset, peaks))
    foreground, row, start, stop, peak = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Runs((height, width), len(thresholds), foreground, row, start, stop, peak)


def components_of(runs: Runs) -> FoundComponents:
    """Return the components of all foregrounds; pixels that share a corner are connected."""
    label = _labels(runs)
    order = np.argsort(label, kind="stable")
    first = np.flatnonzero(np.diff(label[order], prepend=-1))
    start, stop, row = runs.start[order], runs.stop[order], runs.row[order]
    foreground = runs.foreground[order][first]
    bounds = np.searchsorted(foreground, np.arange(runs.n_foregrounds + 1))
    if not len(first):
        return FoundComponents(np.zeros((0, 4)), first, runs.peak, foreground, bounds)
    last = np.append(first[1:], len(order)) - 1
    left, right = np.minimum.reduceat(start, first), np.maximum.reduceat(stop, first)
    # Rows increase within a component.
    boxes = np.stack([left, row[first], right, row[last] + 1], axis=1).astype(np.float64)
    areas = np.add.reduceat(stop - start, first)
    peaks = np.maximum.reduceat(runs.peak[order], first)
    return FoundComponents(boxes, areas, peaks, foreground, bounds)


def _labels(runs: Runs) -> Integers:
    """Return the number of the component of each run; components are numbered by their first run."""
    height, width = runs.size
    n = len(runs.row)
    # Positions in one sequence of all rows of all foregrounds; an empty row separates the foregrounds.
    line = (runs.foreground * (height + 1) + runs.row) * (width + 2)
    starts, stops, below = line + runs.start, line + runs.stop, line + width + 2
    low = np.searchsorted(stops, below + runs.start, side="left")
    counts = np.maximum(np.searchsorted(starts, below + runs.stop, side="right") - low, 0)
    ends = np.cumsum(counts)
    touching = np.arange(counts.sum()) + np.repeat(low - ends + counts, counts)
    graph = csr_array((np.ones(len(touching)), touching, np.append(0, ends)), shape=(n, n))
    # Nodes are visited in order, so that components are numbered by their first run.
    return connected_components(graph, directed=False)[1].astype(np.int64)
