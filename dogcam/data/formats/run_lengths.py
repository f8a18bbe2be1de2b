"""Boxes of COCO segmentations: polygons, and plain or compressed run lengths."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from dogcam.data.formats.base import coordinate

Box = tuple[float, float, float, float]

_MAX_RUNS = 10_000_000


def box_of_polygons(polygons: object, what: str) -> Box:
    """Return the box around polygons of the form [[x, y, x, y, ...], ...].

    Raises:
        ValueError: if they are malformed; the message states `what`.
    """
    if not isinstance(polygons, list) or not polygons:
        raise ValueError(f"{what} has neither a bbox nor a segmentation")
    xs: list[float] = []
    ys: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"{what} has a polygon that is not a list of three or more points")
        numbers = [coordinate(value, f"a polygon of {what}") for value in polygon]
        xs += numbers[::2]
        ys += numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def box_of_run_lengths(mask: Mapping[str, Any], size: tuple[int, int], what: str) -> Box:
    """Return the tight box of a run-length mask: runs along columns, the first one of zeros.

    Raises:
        ValueError: if the mask is malformed or empty, or has another size than the image.
    """
    counts, height = mask.get("counts"), size[0]
    if mask.get("size") != list(size):
        raise ValueError(f"{what} has a mask of size {mask.get('size')}; its image has {list(size)}")
    if isinstance(counts, str):
        counts = _decompressed(counts, what)
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        raise ValueError(f"{what} has run lengths that are not whole numbers")
    ends = list(accumulate(counts))
    if not ends or ends[-1] != size[0] * size[1]:
        raise ValueError(
            f"{what} has run lengths of {ends[-1] if ends else 0} pixels; expected {size[0] * size[1]}"
        )
    runs = [(start, stop - 1) for start, stop in zip(ends[::2], ends[1::2], strict=False) if stop > start]
    if not runs:
        raise ValueError(f"{what} has an empty mask")
    columns = [pixel // height for run in runs for pixel in run]
    # A run over several columns covers the last row of the first and the first row of the last.
    rows = [
        row
        for first, last in runs
        for row in ((first % height, last % height) if first // height == last // height else (0, height - 1))
    ]
    return float(min(columns)), float(min(rows)), float(max(columns) + 1), float(max(rows) + 1)


def _decompressed(text: str, what: str) -> list[int]:
    """Decode COCO's compressed run lengths: six bits per character; later runs are differences."""
    counts: list[int] = []
    position = 0
    while position < len(text) and len(counts) < _MAX_RUNS:
        value, shift, more = 0, 0, True
        while more:
            if position >= len(text) or shift > 30:
                raise ValueError(f"{what} has run lengths that end early")
            bits = ord(text[position]) - 48
            if not 0 <= bits < 64:
                raise ValueError(f"{what} has run lengths with the character {text[position]!r}")
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            position += 1
            shift += 5
            if not more and bits & 16:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts
