"""Precision and recall along the ranking, and the average precision, always with its variant named."""

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
    # COCO's own floats, some of them a hair above their hundredth (57 * 0.01 > 0.57): the reason why the
    # digits of libraries that take the exact hundredths differ from COCO's.
    "coco_101point": np.linspace(0.0, 1.0, 101),
}


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """The counts along the ranking of the detections of one class at one IoU threshold.

    Element k speaks of the k + 1 best detections that count; ignored ones are left out.

    Args:
        iou_threshold: what a match had to exceed.
        scores: (K,) float array, descending.
        true_positives: (K,) int array, how many of the detections so far are true positives.
        false_positives: (K,) int array, how many are false positives.
        n_ground_truth: how many boxes there were to be found.
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
        """Correct detections among the detections so far: (K,) float array in [0, 1]."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Boxes found among all boxes: (K,) float array in [0, 1]; nan where there is no ground truth."""
        return ratio(self.true_positives, self.n_ground_truth)

    @property
    def n_found(self) -> int:
        """How many boxes are found by all detections together."""
        return int(self.true_positives[-1]) if len(self) else 0

    @property
    def n_false_positives(self) -> int:
        """How many of all detections are false."""
        return int(self.false_positives[-1]) if len(self) else 0

    @property
    def total_recall(self) -> float:
        """The recall of all detections together; nan where there is no ground truth."""
        return float(ratio(self.n_found, self.n_ground_truth))

    def average_precision(self, variant: Variant = "all_point") -> float:
        """Return the area under the curve; 0 without detections, nan without ground truth."""
        if self.n_ground_truth == 0:
            return float("nan")
        return float(average_precision(self.recall, self.precision, variant))


def precision_recall(matches: Matches, iou_threshold: float) -> PrecisionRecall:
    """Count along the ranking.

    Args:
        matches: what `match` returned.
        iou_threshold: one of the thresholds that the matches were made for.

    Raises:
        ValueError: where it is none of them.
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
    """Count along a ranking that is given as (K,) scores and (K,) flags of the true positives."""
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
        variant: which of the three.

    Returns:
        (...) floats in [0, 1]; 0 for empty curves, nan where the recall is nan.

    Raises:
        ValueError: for an unknown variant or differing shapes.
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
    """Return the interpolated precision at each point: the best there or further along the last axis."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def _rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])


def _mean_at(grid: NDArray[np.float64], recall: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    if len(recall) and np.isnan(recall[-1]):
        return float("nan")
    places = np.searchsorted(recall, grid)
    return float(np.append(heights, 0.0)[places].mean())


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Divide counts; nan, and no warning, where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
