"""Operating points: a score threshold with its true positives, false positives and false negatives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.precision_recall import PrecisionRecall, ratio


@dataclass(frozen=True)
class OperatingPoint:
    """The counts of the detections that score at least `score_threshold`.

    At a threshold of infinity nothing is detected.
    """

    score_threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); nan if nothing is detected."""
        return float(ratio(self.true_positives, self.true_positives + self.false_positives))

    @property
    def recall(self) -> float:
        """TP / (TP + FN); nan without ground truth."""
        return float(ratio(self.true_positives, self.true_positives + self.false_negatives))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of both; nan without detections and ground truth."""
        errors = self.false_positives + self.false_negatives
        return float(ratio(2 * self.true_positives, 2 * self.true_positives + errors))


def operating_point(curve: PrecisionRecall, score_threshold: float) -> OperatingPoint:
    """Return the counts at a score threshold that was chosen on other images."""
    kept = int(np.searchsorted(-curve.scores, -score_threshold, side="right"))
    return _point(curve, kept - 1, score_threshold)


def best_f1_point(curve: PrecisionRecall) -> OperatingPoint:
    """Choose the threshold with the highest F1; of equals the highest threshold.

    The curve must be that of the tuning split: a threshold chosen on reported images biases the result. If no
    threshold gives a true positive, the threshold is infinity.
    """
    ends = _ends_of_ties(curve)
    found = curve.true_positives[ends]
    # 2 TP + FP + FN is the number of detections plus the number of boxes.
    f1 = 2 * found / (ends + 1 + curve.n_ground_truth)
    if not f1.any():
        return _point(curve, -1, np.inf)
    return _at(curve, ends[np.argmax(f1)])


def precision_at_least(curve: PrecisionRecall, precision: float) -> OperatingPoint:
    """Choose the threshold with the highest recall among those with at least this precision.

    Of equals the highest threshold is chosen. If no threshold has this precision and a true positive, the
    threshold is infinity.
    """
    ends = _ends_of_ties(curve)
    found = np.where(curve.precision[ends] >= precision, curve.true_positives[ends], 0)
    if not found.any():
        return _point(curve, -1, np.inf)
    return _at(curve, ends[np.argmax(found)])


def best_precision(curve: PrecisionRecall) -> float:
    """Return the highest precision of all thresholds, in [0, 1]; 0 without detections."""
    return float(curve.precision[_ends_of_ties(curve)].max(initial=0.0))


def _ends_of_ties(curve: PrecisionRecall) -> NDArray[np.int64]:
    """Return the index of the last of each block of equal scores: the possible thresholds."""
    return np.flatnonzero(np.append(curve.scores[1:] != curve.scores[:-1], True)[: len(curve)])


def _at(curve: PrecisionRecall, last: np.int64) -> OperatingPoint:
    return _point(curve, int(last), float(curve.scores[last]))


def _point(curve: PrecisionRecall, last: int, score_threshold: float) -> OperatingPoint:
    """Build the point whose last detection has this index on the curve; -1 for none."""
    found = int(curve.true_positives[last]) if last >= 0 else 0
    false = int(curve.false_positives[last]) if last >= 0 else 0
    return OperatingPoint(float(score_threshold), found, false, curve.n_ground_truth - found)
