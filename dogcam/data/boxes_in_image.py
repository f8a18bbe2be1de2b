"""Check boxes against their image, and turn them with it."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from dogcam.data.images import Header
from dogcam.errors import DataError
from dogcam.structures.images import LabelledObject
from dogcam.structures.rules import BadBoxes

Box = tuple[float, float, float, float]

TOLERANCE = 1e-6
"""Pixels by which a box may leave its image: fractions of a side are rounded when they are written."""


def checked_box(box: Box, size: tuple[int, int], on_bad_box: BadBoxes, what: str) -> Box | None:
    """Return a box that is not empty and lies inside its image.

    A box whose corners lie in 0..1, not all of them whole, is taken for fractions of the sides: a bad box.

    Args:
        box: half-open xyxy in pixels.
        size: (height, width) of the image.
        on_bad_box: what happens to a box that is empty or leaves the image.
        what: the file and the object, for the message.

    Returns:
        The box itself, the clipped box, or None if it is left out.

    Raises:
        DataError: for a bad box that is refused.
    """
    height, width = size
    x0, y0, x1, y1 = box
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    empty = not (inside[0] < inside[2] and inside[1] < inside[3])
    fractions = 0 <= min(box) <= max(box) <= 1 and not all(float(value).is_integer() for value in box)
    if not (empty or fractions) and max(abs(a - b) for a, b in zip(box, inside, strict=True)) <= TOLERANCE:
        return inside
    if on_bad_box == "refuse":
        shown = ", ".join(f"{value:g}" for value in box)
        fault = "is written in fractions of" if fractions else "is empty or leaves"
        raise DataError(
            f"{what} has the box [{shown}] (x0, y0, x1, y1, 0-based), which {fault} the image of "
            f"{width} x {height} pixels; correct it, or choose --on-bad-box clip or skip"
        )
    return None if empty or fractions or on_bad_box == "skip" else inside


def in_pixels(box: Box, size: tuple[int, int]) -> Box:
    """Return a box of fractions in pixels.

    Files hold fractions of six digits as a rule, so a corner is known to a millionth of the side: one that is
    so near to a whole pixel is that pixel.

    Args:
        box: half-open xyxy as fractions of the sides.
        size: (height, width) of the image.
    """
    height, width = size

    def snapped(fraction: float, side: int) -> float:
        value = fraction * side
        return float(round(value)) if abs(value - round(value)) <= side * 1e-6 else value

    x0, y0, x1, y1 = box
    return snapped(x0, width), snapped(y0, height), snapped(x1, width), snapped(y1, height)


def boxes_upright(objects: Sequence[LabelledObject], header: Header) -> list[LabelledObject]:
    """Turn the boxes of the stored pixels as the photograph is turned."""
    return [replace(thing, box=_turned(thing.box, header)) for thing in objects]


def _turned(box: Box, header: Header) -> Box:
    height, width = header.size
    x0, y0, x1, y1 = box
    left, right, top, bottom = width - x1, width - x0, height - y1, height - y0  # from the opposite side
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
