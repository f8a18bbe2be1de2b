"""The words of the taxonomy: the kinds, what is told of one failure, and how failures are counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.boxes import Boxes, as_boxes

FailureType = Literal[
    "missed",
    "background",
    "other_object",
    "too_small",
    "too_large",
    "merged",
    "split",
    "duplicate",
    "poor_overlap",
]
Subject = Literal["detection", "ground_truth"]

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
            boxes: one (K_i, 4) array an image, half-open xyxy in pixels; empty where there is none.
            names: for each image the classes of its objects.

        Raises:
            ValueError: where an image has not as many names as boxes.
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
    """One false positive or one missed object at an operating point, with the box that goes with it.

    Attributes:
        subject: what failed. Count rows by it: each false positive is the `detection` of exactly one row of
            its own, each missed object the `ground_truth` of one; the other index names what explains it.
        image: index of the image.
        kind: why.
        detection: index into the detections; None where no detection explains a miss.
        ground_truth: index into the ground truth; None for a box that says nothing of any object.
        score: the detection's; None without one.
        iou, covered, inside: how the two boxes overlap, each in [0, 1]; 0 where one of them is missing.
        held: indices of the objects of which at least half is in the detection; two or more where it merges.
        other_class: the class of the object that a look-alike lies on; None for every other kind.
    """

    subject: Subject
    image: int
    kind: FailureType
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
    """One object that was found at an operating point, by indices as in `Failure`, and how well."""

    image: int
    detection: int
    ground_truth: int
    score: float
    iou: float


@dataclass(frozen=True)
class TypeCount:
    """How many false positives and how many missed objects are of one kind."""

    kind: FailureType
    n_detections: int
    n_missed: int


def count_types(failures: Iterable[Failure]) -> list[TypeCount]:
    """Count the failures of each kind, in the order of `FAILURE_TYPES`; kinds that do not occur count 0."""
    pairs = [(failure.kind, failure.subject) for failure in failures]
    return [
        TypeCount(kind, pairs.count((kind, "detection")), pairs.count((kind, "ground_truth")))
        for kind in FAILURE_TYPES
    ]
