"""A score threshold with what it finds, what it misses and what it invents."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.precision_recall import PrecisionRecall, ratio


@dataclass(frozen=True)
class OperatingPoint:
    """The counts of the detections that score at least `score_threshold`.

    A threshold of infinity stands for detecting nothing.
    """

    score_threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); nan where nothing is detected."""
        return float(ratio(self.true_positives, self.true_positives + self.false_positives))

    @property
    def recall(self) -> float:
        """TP / (TP + FN); nan where there is no ground truth."""
        return float(ratio(self.true_positives, self.true_positives + self.false_negatives))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of the two; nan where there is nothing at all."""
        errors = self.false_positives + self.false_negatives
        return float(ratio(2 * self.true_positives, 2 * self.true_positives + errors))


def operating_point(curve: PrecisionRecall, score_threshold: float) -> OperatingPoint:
    """Return what a threshold that was chosen elsewhere, on training images say, does here."""
    kept = int(np.searchsorted(-curve.scores, -score_threshold, side="right"))
    return _point(curve, kept - 1, score_threshold)


def best_f1_point(curve: PrecisionRecall) -> OperatingPoint:
    """Choose the threshold with the highest F1, the highest threshold of several.

    Only a curve over training images may be asked: a threshold chosen on the images that are reported on
    flatters the result. Where no threshold finds anything, nothing is detected.
    """
    ends = _ends_of_ties(curve)
    found = curve.true_positives[ends]
    # 2 TP + FP + FN is the number of detections plus the number of boxes.
    f1 = 2 * found / (ends + 1 + curve.n_ground_truth)
    if not f1.any():
        return _point(curve, -1, np.inf)
    return _at(curve, ends[np.argmax(f1)])


def precision_at_least(curve: PrecisionRecall, precision: float) -> OperatingPoint:
    """Choose the threshold with the highest recall among those with this precision or a better one.

    Of several thresholds with the same recall the highest is taken; where none is precise enough, or none of
    these finds anything, nothing is detected.
    """
    ends = _ends_of_ties(curve)
    found = np.where(curve.precision[ends] >= precision, curve.true_positives[ends], 0)
    if not found.any():
        return _point(curve, -1, np.inf)
    return _at(curve, ends[np.argmax(found)])


def best_precision(curve: PrecisionRecall) -> float:
    """Return the best precision in [0, 1] that any threshold reaches; 0 where nothing is detected."""
    return float(curve.precision[_ends_of_ties(curve)].max(initial=0.0))


def _ends_of_ties(curve: PrecisionRecall) -> NDArray[np.int64]:
    """Return where a threshold can cut: behind the last of several equal scores, never between them."""
    return np.flatnonzero(np.append(curve.scores[1:] != curve.scores[:-1], True)[: len(curve)])


def _at(curve: PrecisionRecall, last: np.int64) -> OperatingPoint:
    return _point(curve, int(last), float(curve.scores[last]))


def _point(curve: PrecisionRecall, last: int, score_threshold: float) -> OperatingPoint:
    """Build the point whose last detection has this place on the curve; -1 for none."""
    found = int(curve.true_positives[last]) if last >= 0 else 0
    false = int(curve.false_positives[last]) if last >= 0 else 0
    return OperatingPoint(float(score_threshold), found, false, curve.n_ground_truth - found)
