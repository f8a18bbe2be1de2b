"""Ground-truth boxes and detections of one class over a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.boxes import Boxes, as_boxes

MAX_COORDINATE = 1e9
"""Maximum coordinate in pixels. Areas of larger boxes are inexact, and overflow from 1e154 on."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated boxes of one class.

    Args:
        image: (M,) int array, index of the image of each box, in [0, n_images), in any order.
        boxes: (M, 4) float array, half-open xyxy in pixels.
        difficult: (M,) bool array, VOC's flag; None if no box has it.
        n_images: number of images, including those without a box.
        crowd: (M,) bool array, COCO's flag; None if no box has it.

    Raises:
        ValueError: if shapes differ, a number is not finite, or an index is out of range.
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
        """Collect the boxes of a list of images.

        Args:
            boxes: for each image an (M_i, 4) array, half-open xyxy in pixels; empty if it has no box.
            difficult: for each image an (M_i,) bool array; None if no box has the flag.

        >>> truth = GroundTruth.from_images([[[0, 0, 10, 10]], [], [[5, 5, 9, 9], [1, 1, 2, 2]]])
        >>> truth.image.tolist(), truth.n_images
        ([0, 2, 2], 3)
        """
        image, stacked = _stack(boxes)
        return cls(image, stacked, None if difficult is None else _join(difficult, bool), len(boxes))


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes with scores, of one class.

    The order matters if scores are equal: a stable ranking keeps it.

    Args:
        image: (N,) int array, index of the image of each box, in any order.
        boxes: (N, 4) float array, half-open xyxy in pixels.
        scores: (N,) float array, finite; higher scores rank first.

    Raises:
        ValueError: if shapes differ, a number is not finite, or an index is negative.
    """

    image: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        boxes = _finite_boxes(self.boxes)
        scores = _column(self.scores, np.float64, len(boxes), "scores")
        if not np.isfinite(scores).all():
            first = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f"score {first} is {scores[first]}; expected finite scores")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "image", _image_indices(self.image, len(boxes)))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_images(cls, boxes: Sequence[ArrayLike], scores: Sequence[ArrayLike]) -> "Detections":
        """Collect the detections of a list of images.

        Args:
            boxes: for each image an (N_i, 4) array, half-open xyxy in pixels; empty if it has no box.
            scores: for each image an (N_i,) array.
        """
        image, stacked = _stack(boxes)
        return cls(image, stacked, _join(scores, np.float64))

    def above(self, score_threshold: float) -> "Detections":
        """Return the detections whose score is at least the threshold.

        >>> found = Detections.from_images([[[0, 0, 9, 9]], [[1, 1, 2, 2]]], [[0.5], [0.4]])
        >>> found.above(0.5).image.tolist()
        [0]
        """
        kept = self.scores >= score_threshold
        return Detections(self.image[kept], self.boxes[kept], self.scores[kept])


def check_images(image: NDArray[np.int64], n_images: int) -> None:
    """Raise ValueError if an image index is not in [0, n_images)."""
    if len(image) and image.max() >= n_images:
        raise ValueError(f"a box belongs to image {image.max()}, but there are {n_images} images")


def _finite_boxes(values: ArrayLike) -> Boxes:
    boxes = as_boxes(values)
    bad = ~(np.abs(boxes) <= MAX_COORDINATE).all(axis=1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"box {first} is {boxes[first].tolist()}; expected finite numbers, at most {MAX_COORDINATE:g}"
        )
    return boxes


def _image_indices(values: ArrayLike, length: int) -> NDArray[np.int64]:
    image = np.asarray(values)
    if image.size and not np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"image indices are {image.dtype}; expected integers")
    image = _column(image, np.int64, length, "image")
    if length and image.min() < 0:
        raise ValueError(f"an image index is {image.min()}; expected 0 or more")
    return image


def _column(values: ArrayLike, dtype: type, length: int, name: str) -> NDArray:
    column: NDArray = np.asarray(values, dtype=dtype)
    if column.shape != (length,):
        raise ValueError(f"{name} has shape {column.shape}; expected ({length},), one value for each box")
    return column


def _stack(boxes: Sequence[ArrayLike]) -> tuple[NDArray[np.int64], Boxes]:
    arrays = [as_boxes(each) for each in boxes]
    image = np.repeat(np.arange(len(arrays)), [len(each) for each in arrays])
    return image, np.concatenate(arrays) if arrays else np.zeros((0, 4))


def _join(columns: Sequence[ArrayLike], dtype: type) -> NDArray:
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(each, dtype) for each in columns)])
