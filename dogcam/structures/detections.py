"""What is compared: the ground-truth boxes and the detections of one class over a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.boxes import Boxes, as_boxes

MAX_COORDINATE = 1e9
"""Pixels; areas of larger boxes lose whole pixels, and those from 1e154 overflow."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated boxes of one class.

    Args:
        image: (M,) int array, the index of each box's image, in [0, n_images), in any order.
        boxes: (M, 4) float array, half-open xyxy in pixels.
        difficult: (M,) bool array, VOC's flag; `None` if nothing is marked.
        n_images: number of images, those without a box included.
        crowd: (M,) bool array, COCO's flag; `None` if nothing is marked.

    Raises:
        ValueError: where shapes disagree, a number is not finite or an index is out of range.
    """

    image: NDArray[np.int64]
    boxes: Boxes
    difficult: NDArray[np.bool_] | None
    n_images: int
    crowd: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        boxes = _finite_boxes(self.boxes)
        crowd = np.zeros(len(boxes), dtype=bool) if self.crowd is None else self.crowd
        object.__setattr__(self, "crowd", _column(crowd, bool, len(boxes), "crowd"))
        marks = np.zeros(len(boxes), dtype=bool) if self.difficult is None else self.difficult
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "image", _image_indices(self.image, len(boxes)))
        object.__setattr__(self, "difficult", _column(marks, bool, len(boxes), "difficult"))
        check_images(self.image, self.n_images)

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_images(
        cls, boxes: Sequence[ArrayLike], difficult: Sequence[ArrayLike] | None = None
    ) -> "GroundTruth":
        """Gather the boxes of image after image.

        Args:
            boxes: one (M_i, 4) array an image, half-open xyxy in pixels; empty where there is none.
            difficult: one (M_i,) bool array an image, or `None`.
        """
        image, stacked = _stack(boxes)
        return cls(image, stacked, None if difficult is None else _join(difficult, bool), len(boxes))


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes with scores, of one class.

    Their order matters where scores are equal: it is the order that a stable ranking keeps.

    Args:
        image: (N,) int array, the index of each box's image, in any order.
        boxes: (N, 4) float array, half-open xyxy in pixels.
        scores: (N,) finite float array, the higher the surer.

    Raises:
        ValueError: where shapes disagree, a number is not finite or an index is negative.
    """

    image: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        boxes = _finite_boxes(self.boxes)
        scores = _column(self.scores, np.float64, len(boxes), "scores")
        if not np.isfinite(scores).all():
            place = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f"score {place} is {scores[place]}; a ranking needs finite scores")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "image", _image_indices(self.image, len(boxes)))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_images(cls, boxes: Sequence[ArrayLike], scores: Sequence[ArrayLike]) -> "Detections":
        """Gather the detections of image after image.

        Args:
            boxes: one (N_i, 4) array an image, half-open xyxy in pixels; empty where there is none.
            scores: one (N_i,) array an image.
        """
        image, stacked = _stack(boxes)
        return cls(image, stacked, _join(scores, np.float64))


def check_images(image: NDArray[np.int64], n_images: int) -> None:
    """Raise ValueError where an image index does not lie in [0, n_images)."""
    if len(image) and image.max() >= n_images:
        raise ValueError(f"a box belongs to image {image.max()}, but there are {n_images} images")


def _finite_boxes(values: ArrayLike) -> Boxes:
    boxes = as_boxes(values)
    if not np.isfinite(boxes).all():
        place = int(np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0])
        raise ValueError(f"box {place} is {boxes[place].tolist()}; expected finite numbers")
    if np.abs(boxes).max(initial=0) > MAX_COORDINATE:
        place = int(np.flatnonzero((np.abs(boxes) > MAX_COORDINATE).any(axis=1))[0])
        raise ValueError(
            f"box {place} is {boxes[place].tolist()}; expected at most {MAX_COORDINATE:g} pixels"
        )
    return boxes


def _image_indices(values: ArrayLike, length: int) -> NDArray[np.int64]:
    image = np.asarray(values)
    if image.size and not np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"image indices are {image.dtype}; expected integers")
    image = _column(image, np.int64, length, "image")
    if length and image.min() < 0:
        raise ValueError(f"an image index is {image.min()}; images are counted from 0")
    return image


def _column(values: ArrayLike, dtype: type, length: int, name: str) -> NDArray:
    column: NDArray = np.asarray(values, dtype=dtype)
    if column.shape != (length,):
        raise ValueError(f"{name} has shape {column.shape}; expected ({length},), one value a box")
    return column


def _stack(boxes: Sequence[ArrayLike]) -> tuple[NDArray[np.int64], Boxes]:
    arrays = [as_boxes(each) for each in boxes]
    image = np.repeat(np.arange(len(arrays)), [len(each) for each in arrays])
    return image, np.concatenate(arrays) if arrays else np.zeros((0, 4))


def _join(columns: Sequence[ArrayLike], dtype: type) -> NDArray:
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(each, dtype) for each in columns)])
