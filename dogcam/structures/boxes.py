"""Axis-aligned boxes as (N, 4) arrays: area, clipping, rescaling, intersection over union.

A box is `xyxy` in pixels, 0-based and half-open: it covers the pixels `x0 <= x < x1`, `y0 <= y < y1`, so its
width is `x1 - x0`. The readers in `dogcam.data.formats` convert from
the conventions of files.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(values: ArrayLike) -> Boxes:
    """Return `values` as a float64 array of boxes.

    Args:
        values: (N, 4) numbers, or anything empty.

    Returns:
        (N, 4) float64 array; (0, 4) for empty input.

    Raises:
        ValueError: if the shape is not (N, 4).
    """
    boxes = np.asarray(values, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}; expected (N, 4), one xyxy box a row")
    return boxes


def area(boxes: Boxes) -> NDArray[np.float64]:
    """Return the area of each box.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.

    Returns:
        (N,) float array in square pixels; 0 for a box that is turned inside out.
    """
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return sides[:, 0] * sides[:, 1]


def clip(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Return the boxes cut off at the image's edge.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.
        size: (height, width) of the image in pixels.

    Returns:
        (N, 4) float array; a box wholly outside becomes one of zero area on the edge.
    """
    height, width = size
    return np.clip(boxes, 0.0, [width, height, width, height])


def rescale(boxes: Boxes, size: tuple[int, int], new_size: tuple[int, int]) -> Boxes:
    """Return the boxes in the coordinates of the resized image.

    Args:
        boxes: (N, 4) float array, xyxy in pixels of an image of `size`.
        size: (height, width) before the resize, both positive.
        new_size: (height, width) after it.

    Returns:
        (N, 4) float array, xyxy in pixels of an image of `new_size`.
    """
    scale_y, scale_x = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * [scale_x, scale_y, scale_x, scale_y]


def intersection(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the area that each box shares with each of the others.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.
        others: (M, 4) float array, xyxy in pixels.

    Returns:
        (N, M) float array in square pixels.
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0.0, None)
    return sides[..., 0] * sides[..., 1]


def iou(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union of each box with each of the others.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.
        others: (M, 4) float array, xyxy in pixels.

    Returns:
        (N, M) float array in [0, 1]; 0 where the union is empty (two boxes without area).
    """
    shared = intersection(boxes, others)
    union = area(boxes)[:, None] + area(others)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
