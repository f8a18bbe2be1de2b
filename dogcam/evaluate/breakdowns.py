"""Recall of groups of objects: by size, aspect ratio, number, border and other classes in the image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import TRUE_POSITIVE, Estimate, Matches, Resampler, estimate
from dogcam.structures.boxes import area, iou
from dogcam.structures.categories import Size
from dogcam.structures.detections import GroundTruth

SIZES: dict[Size, float] = {"small": 0.0, "medium": 0.1, "large": 0.3}
"""Lower bounds of the size classes: the share of the image's area that a box covers."""

ASPECTS = {"tall": 0.0, "square": 0.8, "wide": 1.25}
"""Lower bounds of the aspect classes: width over height of a box."""

N_INSTANCES = {"alone": 1, "two together": 2, "three or more": 3}
"""Lower bounds of the number of objects of the class in the image, the object itself included."""

EDGE = 1.0
"""A box nearer to the border of its image than this, in pixels, touches it."""

FEW = 10
"""A group of fewer objects is marked: its recall is uncertain."""


def size_of(share: float) -> Size:
    """Return the size class of a box that covers this share of its image."""
    return [name for name, low in SIZES.items() if share >= low][-1]


@dataclass(frozen=True, eq=False)
class Group:
    """Objects with a property in common.

    Attributes:
        name: the group's name.
        members: (M,) bool array over the ground truth's boxes.
        low, high: the half-open interval [low, high) of the measured property; None if there is no such end,
            or nothing is measured.
    """

    name: str
    members: NDArray[np.bool_]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class GroupResult:
    """The recall of a group at an operating point.

    Attributes:
        n_objects, n_images: the number of objects, and of images that show them.
        n_found: the number of objects that were found.
        recall: the share of them; None for an empty group.
        overlap: mean over the objects of the IoU with the kept detection that fits best, 0 without one.
    """

    n_objects: int
    n_images: int
    n_found: int
    recall: Estimate
    overlap: Estimate

    @property
    def few(self) -> bool:
        """Whether there are fewer than `FEW` objects."""
        return self.n_objects < FEW


def by_size(truth: GroundTruth, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Group objects by the share of the image that their boxes cover.

    Args:
        truth: M boxes.
        sizes: for each image (height, width) in pixels.
    """
    pixels = np.array([height * width for height, width in sizes], dtype=np.float64)
    return _binned(area(truth.boxes) / pixels[truth.image], SIZES)


def by_aspect(truth: GroundTruth) -> list[Group]:
    """Group objects by width over height, which is infinite for a box without height."""
    width, height = (truth.boxes[:, 2:] - truth.boxes[:, :2]).T
    ratio = np.divide(width, height, out=np.full(len(width), np.inf), where=height > 0)
    return _binned(ratio, ASPECTS)


def by_n_instances(truth: GroundTruth) -> list[Group]:
    """Group objects by the number of objects of their class in the image."""
    together = np.bincount(truth.image, minlength=truth.n_images)[truth.image]
    return _binned(together, N_INSTANCES)


def by_edge(truth: GroundTruth, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Group objects by whether their boxes touch the border of the image and may be truncated."""
    height, width = np.array(sizes, dtype=np.float64).reshape(-1, 2)[truth.image].T
    x0, y0, x1, y1 = truth.boxes.T
    nearest = np.min([x0, y0, width - x1, height - y1], axis=0, initial=np.inf)
    touches = nearest < EDGE
    return [Group("touches the border", touches), Group("whole inside", ~touches)]


def by_other_class(truth: GroundTruth, labels: Mapping[str, NDArray[np.bool_]]) -> list[Group]:
    """Group objects by the other classes in the image; an object may be in several of these groups.

    Args:
        truth: M boxes.
        labels: for each other class an (n_images,) bool array, whether the image shows it.

    Returns:
        A group for each class that occurs together with an object, the most frequent first, and last a group
        of the objects without another class.
    """
    groups = [Group(name, present[truth.image]) for name, present in labels.items()]
    groups = sorted((g for g in groups if g.members.any()), key=lambda g: (-g.members.sum(), g.name))
    accompanied = np.any([g.members for g in groups], axis=0) if groups else np.zeros(len(truth), dtype=bool)
    return [*groups, Group("no other class", ~accompanied)]


def measure_groups(
    matches: Matches,
    groups: Sequence[Group],
    *,
    iou_threshold: float,
    score_threshold: float,
    resampler: Resampler,
) -> list[GroupResult]:
    """Return the recall of each group at an operating point.

    Args:
        matches: of all images; boxes that do not count belong to no group.
        groups: the groups, which may overlap.
        iou_threshold: one of the matches' thresholds.
        score_threshold: detections of a lower score are ignored.
        resampler: of the same images.
    """
    kept = matches.detections.scores >= score_threshold
    right = kept & (matches.kind_at(iou_threshold) == TRUE_POSITIVE)
    found = np.zeros(len(matches.ground_truth), dtype=bool)
    found[matches.best[right]] = True
    overlap = _best_overlaps(matches, kept)
    return [
        _measure(matches.ground_truth, group.members & matches.counted, found, overlap, resampler)
        for group in groups
    ]


def _measure(
    truth: GroundTruth,
    members: NDArray[np.bool_],
    found: NDArray[np.bool_],
    overlap: NDArray[np.float64],
    resampler: Resampler,
) -> GroupResult:
    image = truth.image[members]

    def per_image(weights: NDArray) -> NDArray[np.float64]:
        return np.bincount(image, weights[members], truth.n_images).astype(np.float64)

    def mean(values: NDArray) -> Estimate:
        value = values[members].mean() if n_objects else float("nan")
        return estimate(value, resampler.ratio(per_image(values), counts))

    n_objects = int(members.sum())
    counts = per_image(np.ones(len(truth)))
    n_found = int(found[members].sum())
    return GroupResult(n_objects, int((counts > 0).sum()), n_found, mean(found), mean(overlap))


def _best_overlaps(matches: Matches, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU of each object with the kept detection of its image that fits best: (M,) floats."""
    truth, found = matches.ground_truth, matches.detections
    best = np.zeros(len(truth))
    for image in np.unique(truth.image):
        objects, boxes = truth.image == image, found.boxes[kept & (found.image == image)]
        best[objects] = iou(truth.boxes[objects], boxes).max(axis=1, initial=0.0)
    return best


def _binned(values: NDArray, names: Mapping[Any, float]) -> list[Group]:
    """Group objects by the class of a value; the last class has no upper bound."""
    ends = [*names.values(), np.inf]
    return [
        Group(
            name,
            (values >= low) & ((values < high) | np.isinf(high)),
            float(low) if low > ends[0] else None,
            float(high) if np.isfinite(high) else None,
        )
        for name, low, high in zip(names, ends, ends[1:], strict=False)
    ]
