"""Failure types, the record of one failure, and counts by type."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.boxes import Boxes, as_boxes
from dogcam.structures.categories import FailureType, Subject

FAILURE_TYPES: tuple[FailureType, ...] = get_args(FailureType)


@dataclass(frozen=True, eq=False)
class OtherObjects:
    """The annotated objects of other classes than the one that is detected.

    Attributes:
        image: (K,) int array, the index of each object's image.
        boxes: (K, 4) float array, half-open xyxy in pixels.
        names: the K classes.
    """

    image: NDArray[np.int64]
    boxes: Boxes
    names: tuple[str, ...]

    @classmethod
    def from_images(
        cls, boxes: Sequence[ArrayLike] = (), names: Sequence[Sequence[str]] = ()
    ) -> "OtherObjects":
        """Gather the objects of image after image.

        Args:
            boxes: for each image a (K_i, 4) array, half-open xyxy in pixels; empty if there is none.
            names: for each image the classes of its objects.

        Raises:
            ValueError: if an image does not have as many names as boxes.
        """
        stacked = [as_boxes(each) for each in boxes]
        counts = [len(each) for each in stacked]
        if counts != [len(each) for each in names]:
            raise ValueError(
                f"the images have {counts} boxes and {[len(each) for each in names]} names; "
                "expected a name for each box"
            )
        return cls(
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate([np.zeros((0, 4)), *stacked]),
            tuple(name for each in names for name in each),
        )


@dataclass(frozen=True)
class Failure:
    """One false positive or one missed object at an operating point, with the box that belongs to it.

    Attributes:
        subject: `detection` for a false positive, `ground_truth` for a missed object. Each of them is the
            subject of exactly one failure; the other index names the box that explains it.
        image: index of the image.
        type: the failure type.
        detection: index into the detections; None if no detection explains a miss.
        ground_truth: index into the ground truth; None for a box without an object.
        score: of the detection; None without one.
        iou, covered, inside: overlap of the two boxes, each in [0, 1]; 0 if one of them is missing.
        held: indices of the objects of which the detection covers at least half; two or more if it is merged.
        other_class: class of the object that an `other_object` lies on; None for every other type.
    """

    subject: Subject
    image: int
    type: FailureType
    detection: int | None
    ground_truth: int | None
    score: float | None
    iou: float
    covered: float
    inside: float
    held: tuple[int, ...]
    other_class: str | None = None


@dataclass(frozen=True)
class Success:
    """One true positive at an operating point, with indices as in `Failure`."""

    image: int
    detection: int
    ground_truth: int
    score: float
    iou: float


@dataclass(frozen=True)
class TypeCount:
    """Number of false positives and of missed objects of one failure type."""

    type: FailureType
    n_detections: int
    n_missed: int


def count_types(failures: Iterable[Failure]) -> list[TypeCount]:
    """Count the failures of each type, in the order of `FAILURE_TYPES`, including types that do not occur."""
    pairs = [(failure.type, failure.subject) for failure in failures]
    return [
        TypeCount(each, pairs.count((each, "detection")), pairs.count((each, "ground_truth")))
        for each in FAILURE_TYPES
    ]
