"""Check boxes against their image, and apply its EXIF orientation to them."""

import math
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from dogcam.data.images import Header
from dogcam.errors import DataError
from dogcam.structures.images import LabelledObject
from dogcam.structures.rules import BadBoxes

Box = tuple[float, float, float, float]

TOLERANCE = 1e-6
"""Pixels by which a box may extend beyond its image, because fractions are rounded in files."""


def checked_box(box: Box, size: tuple[int, int], on_bad_box: BadBoxes, what: str) -> Box | None:
    """Return a box that is not empty and inside its image.

    A box in fractions of the sides is bad, see `are_fractions`.

    Args:
        box: half-open xyxy in pixels.
        size: (height, width) of the image.
        on_bad_box: how a box is treated that is empty or extends beyond the image.
        what: the file and the object, for the message.

    Returns:
        The box, the clipped box, or None if it is skipped.

    Raises:
        DataError: if a bad box is refused.

    >>> checked_box((5.0, 5.0, 30.0, 20.0), (24, 28), "clip", "a.xml: a dog")
    (5.0, 5.0, 28.0, 20.0)
    """
    height, width = size
    x0, y0, x1, y1 = box
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    empty = not (inside[0] < inside[2] and inside[1] < inside[3])
    fractions = are_fractions(box)
    if not (empty or fractions) and max(abs(a - b) for a, b in zip(box, inside, strict=True)) <= TOLERANCE:
        return inside
    if on_bad_box == "refuse":
        shown = ", ".join(f"{value:g}" for value in box)
        fault = "is in fractions of" if fractions else "is empty or extends beyond"
        raise DataError(
            f"{what} has the box [{shown}] (x0, y0, x1, y1, 0-based), which {fault} the image of "
            f"{width} x {height} pixels; correct it, or choose --on-bad-box clip or skip"
        )
    return None if empty or fractions or on_bad_box == "skip" else inside


def are_fractions(box: Box) -> bool:
    """Check for corners that are fractions of the sides: in [0, 1] and not all integers.

    The first corner is in [-1, 0] if the fractions were read as 1-based inclusive pixels.

    >>> are_fractions((0.2, 0.3, 0.7, 0.9)), are_fractions((0.2 - 1, 0.3 - 1, 0.7, 0.9))
    (True, True)
    """
    x0, y0, x1, y1 = box
    whole = all(float(value).is_integer() for value in box)
    return min(x0, y0) >= -1 and min(x1, y1) >= 0 and max(box) <= 1 and not whole


def in_pixels(box: Box, size: tuple[int, int]) -> Box:
    """Convert a box of fractions to pixels.

    Files usually have fractions of six digits, so a corner has a precision of a millionth of the side. A
    corner within this precision of a whole pixel is rounded to it.

    Args:
        box: half-open xyxy in fractions of the sides.
        size: (height, width) of the image.
    """
    height, width = size

    def snapped(fraction: float, side: int) -> float:
        value = fraction * side
        if not math.isfinite(value):  # of 308 digits: refused later, as any box that leaves its image
            return value
        return float(round(value)) if abs(value - round(value)) <= side * 1e-6 else value

    x0, y0, x1, y1 = box
    return snapped(x0, width), snapped(y0, height), snapped(x1, width), snapped(y1, height)


def boxes_upright(objects: Sequence[LabelledObject], header: Header) -> list[LabelledObject]:
    """Convert boxes of the stored pixels to boxes of the upright image."""
    return [replace(thing, box=_turned(thing.box, header)) for thing in objects]


def _turned(box: Box, header: Header) -> Box:
    height, width = header.size
    x0, y0, x1, y1 = box
    left, right, top, bottom = (
        width - x1,
        width - x0,
        height - y1,
        height - y0,
    )  # distances from the opposite side
    turns = Image.Transpose
    turned: dict[Image.Transpose | None, Box] = {
        None: box,
        turns.FLIP_LEFT_RIGHT: (left, y0, right, y1),
        turns.ROTATE_180: (left, top, right, bottom),
        turns.FLIP_TOP_BOTTOM: (x0, top, x1, bottom),
        turns.TRANSPOSE: (y0, x0, y1, x1),
        turns.ROTATE_270: (top, x0, bottom, x1),
        turns.TRANSVERSE: (top, left, bottom, right),
        turns.ROTATE_90: (y0, left, y1, right),
    }
    return turned[header.turn]
