"""Which detection finds which ground-truth box, by the rule of the PASCAL VOC development kit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.ordering import Ties, rank
from dogcam.structures.boxes import Boxes, area
from dogcam.structures.defaults import IOU_THRESHOLDS
from dogcam.structures.detections import Detections, GroundTruth, check_images

Difficult = Literal["counted", "ignored", "absent"]
DIFFICULT: tuple[Difficult, ...] = get_args(Difficult)

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1
"""The kinds of a detection in `Matches.kind`."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of every detection at every IoU threshold.

    `order` is the only array in rank order; the others keep the order of `detections`.

    Args:
        ground_truth: what was to be found.
        detections: what was found.
        iou_thresholds: the T thresholds.
        order: (N,) int array, the detections' indices, the highest score first.
        best: (N,) int array, the index of the ground-truth box of the same image with the highest IoU,
            the first of several; -1 if none overlaps.
        best_iou: (N,) float array in [0, 1], its IoU; 0 if none overlaps.
        kind: (T, N) int8 array of TRUE_POSITIVE, FALSE_POSITIVE (duplicates included) and IGNORED.
        counted: (M,) bool array, the ground-truth boxes that there were to be found.
    """

    ground_truth: GroundTruth
    detections: Detections
    iou_thresholds: tuple[float, ...]
    order: NDArray[np.int64]
    best: NDArray[np.int64]
    best_iou: NDArray[np.float64]
    kind: NDArray[np.int8]
    counted: NDArray[np.bool_]

    @property
    def n_images(self) -> int:
        """How many images were looked at."""
        return self.ground_truth.n_images

    @property
    def n_ground_truth(self) -> int:
        """How many boxes there were to be found."""
        return int(self.counted.sum())

    def kind_at(self, iou_threshold: float) -> NDArray[np.int8]:
        """Return the kinds at one of the thresholds: (N,) int8 array in the order of `detections`.

        Raises:
            ValueError: if the matches were not made for this threshold.
        """
        if iou_threshold not in self.iou_thresholds:
            raise ValueError(f"no match was made at IoU {iou_threshold}; there are {self.iou_thresholds}")
        return self.kind[self.iou_thresholds.index(iou_threshold)]

    def ranked(self, iou_threshold: float) -> NDArray[np.int64]:
        """Return the indices of the detections that are not ignored, the highest score first.

        Returns:
            (K,) int array, K <= N.
        """
        return self.order[self.kind_at(iou_threshold)[self.order] != IGNORED]


def match(
    ground_truth: GroundTruth,
    detections: Detections,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    *,
    ties: Ties = "stable",
    difficult: Difficult = "counted",
    plus_one: bool = True,
    at_least: bool = False,
) -> Matches:
    """Match detections to ground truth by the rule of the VOC development kit.

    Detections are processed by descending score. Each claims the ground-truth box of its image with which it
    has the highest IoU, if that IoU is greater than the threshold. The first detection that claims a box is a
    true positive; the others are false positives (duplicates), even if they overlap another unclaimed box. A
    claim does not depend on other detections, so all are computed at once.

    Args:
        ground_truth: M boxes.
        detections: N boxes with scores.
        iou_thresholds: T numbers in [0, 1), or in (0, 1] if `at_least`.
        ties: how equal scores are ordered, see `ordering.rank`.
        difficult: objects marked difficult are `counted` like any other, `ignored` (VOC: neither they nor
            detections that claim them count), or `absent` (detections on them are false positives).
        plus_one: measure a box in whole pixels, `x1 - x0` of a half-open box, which is VOC's
            `xmax - xmin + 1`. Without it, as `xmax - xmin`, as tools do that take VOC's corners for
            continuous coordinates: every side is one pixel shorter.
        at_least: an IoU that equals the threshold matches, as in the development kit and in COCO. By default
            it does not, as in the published experiment.

    Raises:
        ValueError: for a threshold outside [0, 1), an unknown rule, or an image index out of range.
    """
    thresholds = tuple(float(value) for value in iou_thresholds)
    require_thresholds(thresholds, at_least)
    if difficult not in DIFFICULT:
        raise ValueError(f"difficult is {difficult!r}; expected one of {', '.join(DIFFICULT)}")
    check_images(detections.image, ground_truth.n_images)
    order = rank(detections.scores, ties)
    hard = ground_truth.difficult if difficult != "counted" else None
    hard = np.zeros(len(ground_truth), dtype=bool) if hard is None else hard
    present = np.flatnonzero(~hard) if difficult == "absent" else np.arange(len(ground_truth))
    best, best_iou = best_overlaps(ground_truth, detections, present, plus_one)
    kind = np.full((len(thresholds), len(detections)), FALSE_POSITIVE, dtype=np.int8)
    for row, threshold in zip(kind, thresholds, strict=True):
        claims = best_iou >= threshold if at_least else best_iou > threshold
        row[order[first_claims(best[order], claims[order])]] = TRUE_POSITIVE
        row[claims] = np.where(hard[best[claims]], IGNORED, row[claims])
    return Matches(ground_truth, detections, thresholds, order, best, best_iou, kind, ~hard)


def require_thresholds(thresholds: Sequence[float], at_least: bool) -> None:
    """Raise ValueError for an IoU threshold that all boxes or no boxes reach."""
    if not all(0 < value <= 1 if at_least else 0 <= value < 1 for value in thresholds):
        expected = "(0, 1]" if at_least else "[0, 1)"
        raise ValueError(f"IoU thresholds are {tuple(thresholds)}; expected numbers in {expected}")


def first_claims(best: NDArray[np.int64], claims: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places, in rank order, of the detections that are the first to claim their box.

    Args:
        best: (N,) int array, the ground-truth box that each detection claims, in rank order.
        claims: (N,) bool array, whether it overlaps it enough.
    """
    places = np.flatnonzero(claims)
    boxes = best[places]
    first = np.full(boxes.max(initial=-1) + 1, len(best))
    np.minimum.at(first, boxes, places)
    return places[first[boxes] == places]


def best_overlaps(
    ground_truth: GroundTruth, detections: Detections, present: NDArray[np.int64], plus_one: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find for every detection the ground-truth box of its image that it overlaps most.

    The k-th boxes of all images are compared at once, k = 0, 1, ...: as much work as there are pairs, but
    never more than a few numbers a detection in memory.

    Args:
        ground_truth: M boxes.
        detections: N boxes.
        present: (P,) int array, ascending, the ground-truth boxes to compare with.
        plus_one: as in `match`.

    Returns:
        (N,) int array of indices into `ground_truth`, -1 if none overlaps, and (N,) float array of the
        IoUs, 0 there.
    """
    by_image = present[np.argsort(ground_truth.image[present], kind="stable")]
    counts = np.bincount(ground_truth.image[by_image], minlength=ground_truth.n_images)
    starts = np.cumsum(counts) - counts
    # VOC's corners without the +1 are half-open boxes that begin one pixel later.
    shift = 0.0 if plus_one else np.array([1.0, 1.0, 0.0, 0.0])
    boxes, true_boxes = detections.boxes + shift, ground_truth.boxes + shift
    areas, true_areas = area(boxes), area(true_boxes)
    best = np.full(len(boxes), -1)
    best_iou = np.zeros(len(boxes))
    here = np.arange(len(boxes))
    for k in range(counts.max(initial=0)):
        here = here[counts[detections.image[here]] > k]
        there = by_image[starts[detections.image[here]] + k]
        iou = _paired_iou(boxes[here], true_boxes[there], areas[here], true_areas[there])
        better = iou > best_iou[here]
        best[here[better]] = there[better]
        best_iou[here[better]] = iou[better]
    return best, best_iou


def _paired_iou(
    boxes: Boxes, others: Boxes, areas: NDArray[np.float64], other_areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the IoU of each box with the other box in the same row: (N,) float array, 0 for no area."""
    width = np.minimum(boxes[:, 2], others[:, 2]) - np.maximum(boxes[:, 0], others[:, 0])
    height = np.minimum(boxes[:, 3], others[:, 3]) - np.maximum(boxes[:, 1], others[:, 1])
    shared = np.clip(width, 0.0, None) * np.clip(height, 0.0, None)
    union = areas + other_areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
