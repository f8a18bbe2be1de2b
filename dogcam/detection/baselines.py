"""Baselines: boxes that use no map."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.boxes import Boxes
from dogcam.structures.detections import Detections


def centre_boxes(sizes: ArrayLike, area_fraction: float = 0.5) -> Boxes:
    """Return a box in the middle of each image, of the image's own shape.

    Each side is `sqrt(area_fraction)` of the image's, and no corner is rounded to a pixel. With half-open
    boxes counted from 0, this construction gives the published CENTERBOX figures to the last digit.

    Args:
        sizes: (n_images, 2) numbers, (height, width) in pixels.
        area_fraction: share of the image's area that the box covers, in (0, 1].

    Returns:
        (n_images, 4) float array, half-open xyxy in pixels.

    Raises:
        ValueError: if `sizes` has another shape or the fraction is out of range.
    """
    if not 0 < area_fraction <= 1:
        raise ValueError(f"area_fraction is {area_fraction}; expected a share in (0, 1]")
    sides = _as_sizes(sizes)[:, ::-1]
    margin = sides * (1 - np.sqrt(area_fraction)) / 2
    return np.hstack([margin, sides - margin])


def full_boxes(sizes: ArrayLike) -> Boxes:
    """Return the box that covers each image: (n_images, 4) float array."""
    return centre_boxes(sizes, area_fraction=1.0)


def centerbox(sizes: ArrayLike) -> Detections:
    """CENTERBOX: the centre box in every image, each with the score 1.

    Args:
        sizes: (n_images, 2) numbers, (height, width) in pixels.
    """
    return scored_centre_box(sizes, np.ones(len(_as_sizes(sizes))))


def cheating_centerbox(sizes: ArrayLike, has_object: ArrayLike) -> Detections:
    """CHEATING CENTERBOX: the centre box, only in the images that hold an object, each with the score 1.

    Args:
        sizes: (n_images, 2) numbers, (height, width) in pixels.
        has_object: (n_images,) bools.
    """
    image = np.flatnonzero(np.asarray(has_object, dtype=bool))
    return Detections(image, centre_boxes(sizes)[image], np.ones(len(image)))


def scored_centre_box(sizes: ArrayLike, scores: ArrayLike) -> Detections:
    """Return the centre box in every image, scored by the classifier.

    Args:
        sizes: (n_images, 2) numbers, (height, width) in pixels.
        scores: (n_images,) finite numbers.
    """
    return Detections(np.arange(len(_as_sizes(sizes))), centre_boxes(sizes), np.asarray(scores))


def scored_full_image(sizes: ArrayLike, scores: ArrayLike) -> Detections:
    """Return the whole image as one box per image, scored by the classifier.

    Args:
        sizes: (n_images, 2) numbers, (height, width) in pixels.
        scores: (n_images,) finite numbers.
    """
    return Detections(np.arange(len(_as_sizes(sizes))), full_boxes(sizes), np.asarray(scores))


def _as_sizes(sizes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(sizes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"sizes have shape {array.shape}; expected (n_images, 2), (height, width) a row")
    return array
