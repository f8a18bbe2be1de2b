"""Precision-recall curves, and average precision in three variants."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.evaluate.metrics.matching import TRUE_POSITIVE, Matches

Variant = Literal["all_point", "voc07_11point", "coco_101point"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_GRIDS = {
    # Tenths as the nearest floats, so that a recall of exactly 3/10 reaches the point 0.3.
    "voc07_11point": np.arange(11) / 10,
    # The floats of COCO, some of them slightly above their hundredth (57 * 0.01 > 0.57). Libraries with exact
    # hundredths differ from COCO for this reason.
    "coco_101point": np.linspace(0.0, 1.0, 101),
}


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Cumulative counts along the ranking of the detections of one class at one IoU threshold.

    Element k is for the k + 1 highest-ranked detections; ignored detections are excluded.

    Args:
        iou_threshold: the IoU that a match exceeds.
        scores: (K,) float array, descending.
        true_positives: (K,) int array, number of true positives so far.
        false_positives: (K,) int array, number of false positives so far.
        n_ground_truth: number of ground-truth boxes that count.
    """

    iou_threshold: float
    scores: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    n_ground_truth: int

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of true positives of the detections so far: (K,) float array in [0, 1]."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of found ground-truth boxes: (K,) float array in [0, 1]; nan without ground truth."""
        return ratio(self.true_positives, self.n_ground_truth)

    @property
    def n_found(self) -> int:
        """Number of ground-truth boxes found by all detections."""
        return int(self.true_positives[-1]) if len(self) else 0

    @property
    def n_false_positives(self) -> int:
        """Number of false positives of all detections."""
        return int(self.false_positives[-1]) if len(self) else 0

    @property
    def total_recall(self) -> float:
        """Recall of all detections; nan without ground truth."""
        return float(ratio(self.n_found, self.n_ground_truth))

    def average_precision(self, variant: Variant = "all_point") -> float:
        """Return the area under the curve; 0 without detections, nan without ground truth."""
        if self.n_ground_truth == 0:
            return float("nan")
        return float(average_precision(self.recall, self.precision, variant))


def precision_recall(matches: Matches, iou_threshold: float) -> PrecisionRecall:
    """Return the precision-recall curve of matches.

    Args:
        matches: the result of `match`.
        iou_threshold: one of its thresholds.

    Raises:
        ValueError: if the matches do not have this threshold.
    """
    ranked = matches.ranked(iou_threshold)
    correct = matches.kind_at(iou_threshold)[ranked] == TRUE_POSITIVE
    return curve_of(iou_threshold, matches.detections.scores[ranked], correct, matches.n_ground_truth)


def curve_of(
    iou_threshold: float,
    scores: NDArray[np.float64],
    correct: NDArray[np.bool_],
    n_ground_truth: int,
) -> PrecisionRecall:
    """Return the curve of a ranking, given as (K,) scores and (K,) flags of the true positives."""
    return PrecisionRecall(iou_threshold, scores, np.cumsum(correct), np.cumsum(~correct), n_ground_truth)


def average_precision(
    recall: ArrayLike, precision: ArrayLike, variant: Variant = "all_point"
) -> NDArray[np.float64]:
    """Return the area under the interpolated precision-recall curve.

    The interpolated precision at recall r is `p(r) = max over r' >= r of precision(r')`, 0 beyond the largest
    recall (Everingham et al. 2010, eq. 2).

    - `all_point` (VOC from 2010 on): the integral of p, a sum over the steps of recall.
    - `voc07_11point` (VOC up to 2009): the mean of p at the recalls 0, 0.1, ... 1.
    - `coco_101point` (COCO): the mean of p at the recalls 0, 0.01, ... 1.

    Args:
        recall: (..., K) floats, not descending along the last axis; any leading axes are separate curves.
        precision: (..., K) floats in [0, 1].
        variant: one of the three.

    Returns:
        (...) floats in [0, 1]; 0 for empty curves, nan if the recall is nan.

    Raises:
        ValueError: if the variant is unknown or the shapes differ.
    """
    recall, precision = np.asarray(recall, dtype=np.float64), np.asarray(precision, dtype=np.float64)
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}; expected one of {', '.join(VARIANTS)}")
    if recall.shape != precision.shape or recall.ndim == 0:
        raise ValueError(f"recall and precision have shapes {recall.shape}, {precision.shape}; expected one")
    heights = envelope(precision)
    if variant == "all_point":
        return (np.diff(recall, axis=-1, prepend=0.0) * heights).sum(axis=-1)
    means = np.array(
        [
            _mean_at(_GRIDS[variant], row, row_heights)
            for row, row_heights in zip(_rows(recall), _rows(heights), strict=True)
        ]
    )
    return means.reshape(recall.shape[:-1])


def envelope(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the interpolated precision: the maximum from each point to the end of the last axis."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def _rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])


def _mean_at(grid: NDArray[np.float64], recall: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    if len(recall) and np.isnan(recall[-1]):
        return float("nan")
    places = np.searchsorted(recall, grid)
    return float(np.append(heights, 0.0)[places].mean())


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Divide counts; nan without a warning if the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
