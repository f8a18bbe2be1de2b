"""What is annotated of a finished picture: boxes, flags and the class mask, all from the instance map.

Rules. An object is annotated where at least a tenth of it is visible and its box measures at least 12 pixels
both ways; the rest becomes void in the mask. It is *difficult* where less than a quarter of it is visible or
the shorter side of its box is below 20 pixels, *truncated* where a part of it lies outside the picture, and
*occluded* where something in front hides more than a twentieth of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dogcam.data.sample.canvas import Canvas, Painted
from dogcam.data.sample.shapes import Box

CLASSES = ("ball", "cat", "chair", "dog", "fox", "horse", "person", "sheep", "sofa")
"""The annotated classes in alphabetical order; class i has the value i + 1 in a mask."""

VOID = 255
LEAST_VISIBLE, LEAST_SIDE = 0.1, 12
EASY_VISIBLE, EASY_SIDE = 0.25, 20


@dataclass(frozen=True)
class SceneObject:
    """One annotated object.

    Attributes:
        name: its class.
        number: the value of its pixels in the scene's instance map.
        box: x0, y0, x1, y1 around its visible pixels, 0-based half-open.
        whole_box: the same if nothing hid or cut it; it may leave the picture.
        visible: share of the object's pixels that are seen, 0 to 1.
        truncated: whether a part of it lies outside the picture.
        occluded: whether something in front hides a part of it.
        difficult: whether it is too small or too hidden to be asked for.
    """

    name: str
    number: int
    box: Box
    whole_box: Box
    visible: float
    truncated: bool
    occluded: bool
    difficult: bool


def annotate(canvas: Canvas) -> tuple[SceneObject, ...]:
    """Return the objects that are visible enough, in the order in which they were painted."""
    found = ndimage.find_objects(canvas.instances, max_label=len(canvas.painted))
    pixels = np.bincount(canvas.instances.ravel(), minlength=len(canvas.painted) + 1)
    things = (
        _annotate_one(painted, place, int(pixels[painted.number]))
        for painted, place in zip(canvas.painted, found, strict=True)
    )
    return tuple(thing for thing in things if thing is not None)


def _annotate_one(painted: Painted, place: tuple[slice, ...] | None, pixels: int) -> SceneObject | None:
    if place is None:
        return None
    rows, columns = place
    shorter = min(rows.stop - rows.start, columns.stop - columns.start)
    visible = min(1.0, pixels / painted.whole_area)
    if visible < LEAST_VISIBLE or shorter < LEAST_SIDE:
        return None
    return SceneObject(
        name=painted.name,
        number=painted.number,
        box=(columns.start, rows.start, columns.stop, rows.stop),
        whole_box=painted.whole_box,
        visible=visible,
        truncated=painted.truncated,
        occluded=pixels < 0.95 * painted.inside_area,
        difficult=visible < EASY_VISIBLE or shorter < EASY_SIDE,
    )


def class_mask(instances: NDArray[np.int16], objects: tuple[SceneObject, ...]) -> NDArray[np.uint8]:
    """Return the class of each pixel, as VOC's segmentation masks have it.

    Args:
        instances: (height, width) int16 array, 0 the background.
        objects: the annotated ones among the instances.

    Returns:
        (height, width) uint8 array: 0 background, `CLASSES.index(name) + 1`, and `VOID` on the two pixels
        that face each other across a border, and on objects that are not annotated.
    """
    values = np.full(int(instances.max()) + 1, VOID, np.uint8)
    values[0] = 0
    for thing in objects:
        values[thing.number] = CLASSES.index(thing.name) + 1
    mask = values[instances]
    for axis in (0, 1):
        border = np.diff(instances, axis=axis) != 0
        for pixels in (mask[:-1] if axis == 0 else mask[:, :-1], mask[1:] if axis == 0 else mask[:, 1:]):
            pixels[border] = VOID
    return mask
