"""Compute the annotation of a rendered image from its instance map: boxes, flags and the class mask.

An object is annotated if at least a tenth of it is visible and both sides of its box have at least 12 pixels;
other objects are void in the mask. It is *difficult* if less than a quarter of it is visible or the shorter
side of its box is below 20 pixels, *truncated* if a part of it is outside the image, and *occluded* if more
than a twentieth of its part inside the image is covered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dogcam.data.sample.canvas import Canvas, PaintedObject
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
        number: value of its pixels in the instance map.
        box: x0, y0, x1, y1 around its visible pixels, 0-based half-open.
        whole_box: the box without occlusion and truncation; it may extend beyond the image.
        visible: visible share of its pixels, in [0, 1].
        truncated: whether a part of it is outside the image.
        occluded: whether another object covers a part of it.
        difficult: whether it is too small or too occluded to count in the evaluation.
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
    """Return the annotated objects in the order in which they were painted."""
    found = ndimage.find_objects(canvas.instances, max_label=len(canvas.painted))
    pixels = np.bincount(canvas.instances.ravel(), minlength=len(canvas.painted) + 1)
    things = (
        _annotate_one(painted, extent, int(pixels[painted.number]))
        for painted, extent in zip(canvas.painted, found, strict=True)
    )
    return tuple(thing for thing in things if thing is not None)


def _annotate_one(
    painted: PaintedObject, extent: tuple[slice, ...] | None, pixels: int
) -> SceneObject | None:
    if extent is None:
        return None
    rows, columns = extent
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
    """Return the class of each pixel, as in VOC's segmentation masks.

    Args:
        instances: (height, width) int16 array, 0 for background.
        objects: the annotated objects.

    Returns:
        (height, width) uint8 array: 0 for background, else `CLASSES.index(name) + 1`; `VOID` for both pixels
        at a border between instances, and for objects that are not annotated.
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
