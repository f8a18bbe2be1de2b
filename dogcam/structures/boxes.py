"""Axis-aligned boxes as (N, 4) arrays: area, clipping, rescaling, intersection over union.

A box is `xyxy` in pixels, 0-based and half-open: it covers the pixels `x0 <= x < x1`, `y0 <= y < y1`, so its
width is `x1 - x0`. The readers in `dogcam.data.formats` convert from the conventions of files.

>>> truth, found = as_boxes([[0, 0, 10, 10]]), as_boxes([[5, 0, 15, 10], [20, 20, 30, 30]])
>>> iou(truth, found).round(3).tolist()
[[0.333, 0.0]]
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(values: ArrayLike) -> Boxes:
    """Return `values` as a float64 array of boxes.

    Args:
        values: (N, 4) numbers, xyxy in pixels, or any empty sequence.

    Returns:
        (N, 4) float64 array; (0, 4) for empty input.

    Raises:
        ValueError: if the shape is not (N, 4).
    """
    boxes = np.asarray(values, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}; expected (N, 4), one xyxy box in each row")
    return boxes


def area(boxes: Boxes) -> NDArray[np.float64]:
    """Return the area of each box.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.

    Returns:
        (N,) float array in square pixels; 0 for a box with swapped corners.
    """
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return sides[:, 0] * sides[:, 1]


def clip(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Clip boxes to the image.

    Args:
        boxes: (N, 4) float array, xyxy in pixels.
        size: (height, width) of the image in pixels.

    Returns:
        (N, 4) float array; a box outside of the image becomes a box of area 0 on its edge.
    """
    height, width = size
    return np.clip(boxes, 0.0, [width, height, width, height])


def rescale(boxes: Boxes, size: tuple[int, int], new_size: tuple[int, int]) -> Boxes:
    """Return boxes in the coordinates of the resized image.

    Args:
        boxes: (N, 4) float array, xyxy in pixels of an image of `size`.
        size: (height, width) before resizing, both positive.
        new_size: (height, width) after resizing.

    Returns:
        (N, 4) float array, xyxy in pixels of an image of `new_size`.
    """
    scale_y, scale_x = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * [scale_x, scale_y, scale_x, scale_y]


def intersection(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the area of the intersection of each box with each of the others.

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
        (N, M) float array in [0, 1]; 0 if the union is empty (two boxes of area 0).
    """
    shared = intersection(boxes, others)
    union = area(boxes)[:, None] + area(others)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
