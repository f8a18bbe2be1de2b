"""Range of the average precision over all orders of equal scores."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.estimates import Interval, undefined
from dogcam.evaluate.metrics.matching import TRUE_POSITIVE, Matches, first_claims
from dogcam.evaluate.metrics.precision_recall import Variant, curve_of


@dataclass(frozen=True)
class TieRange:
    """The average precision over all orders of detections with equal scores.

    Args:
        low: the minimum, exact.
        high: the maximum, exact.
        expected: the mean over random orders; exact if `low` equals `high`, else estimated.
        standard_error: of `expected`; 0 if it is exact.
        n_orders: number of random orders; 0 if `expected` is exact.
    """

    low: float
    high: float
    expected: float
    standard_error: float
    n_orders: int

    @property
    def width(self) -> float:
        """Difference of the maximum and the minimum."""
        return self.high - self.low

    def interval(self, level: float) -> Interval:
        """Return the interval of the mean over all orders, by the normal approximation."""
        if math.isnan(self.expected):
            return undefined(level)
        half = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        # The mean over all orders is between the extremes, which are exact.
        ends = max(self.low, self.expected - half), min(self.high, self.expected + half)
        return Interval(*ends, level)


def ap_over_ties(
    matches: Matches,
    iou_threshold: float,
    variant: Variant = "all_point",
    *,
    n_orders: int = 200,
    seed: int = 0,
) -> TieRange:
    """Return the minimum, maximum and expected average precision over all orders of tied scores.

    The number of true positives in a block of equal scores does not depend on their order: one for each box
    that is first claimed in the block. Interpolated precision depends only on the number of false positives
    before each true positive, and every variant decreases with that number.

    - Maximum: in each block one claim of every box comes first, then the rest.
    - Minimum: detections that can only be false come first. Of several claims of one box the first is the
    true
      positive, whichever it is. Boxes with the most claims come first, each followed by its duplicates, which
      puts the maximum number of false positives before every later true positive.
    - Expected value: there is no short formula because of the maximum in the interpolation, so random orders
      are drawn.

    Args:
        matches: the result of `match`, with any rule for ties.
        iou_threshold: one of its thresholds.
        variant: of the average precision.
        n_orders: number of random orders for the expected value.
        seed: random seed of the orders.

    Returns:
        The three values; all nan without ground truth, all 0 without detections.

    Raises:
        ValueError: if the variant is unknown or the matches do not have this threshold.
    """
    ranked = matches.ranked(iou_threshold)
    scores = matches.detections.scores[ranked]
    block = np.cumsum(np.diff(scores, prepend=scores[:1]) != 0)
    best = matches.best[ranked]
    claims = matches.best_iou[ranked] > iou_threshold

    def value(order: NDArray[np.int64]) -> float:
        correct = np.zeros(len(order), dtype=bool)
        correct[first_claims(best[order], claims[order])] = True
        curve = curve_of(iou_threshold, scores, correct, matches.n_ground_truth)
        return curve.average_precision(variant)

    correct = matches.kind_at(iou_threshold)[ranked] == TRUE_POSITIVE
    high = value(np.lexsort((~correct, block)))
    low = value(_worst_order(block, best, claims, correct))
    if high == low or np.isnan(high):
        return TieRange(low, high, high, 0.0, 0)
    rng = np.random.default_rng(seed)
    undecided = _mixed(block, correct)
    drawn = [value(_shuffled(block, undecided, rng)) for _ in range(n_orders)]
    return TieRange(low, high, float(np.mean(drawn)), float(np.std(drawn, ddof=1) / n_orders**0.5), n_orders)


def _worst_order(
    block: NDArray[np.int64],
    best: NDArray[np.int64],
    claims: NDArray[np.bool_],
    correct: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Order each block so that as many false positives as possible come before each true positive."""
    n_boxes = best.max(initial=-1) + 1
    block_of_box = np.full(n_boxes, -1)
    block_of_box[best[correct]] = block[correct]
    # Claims of a box that a higher block has found are false in any order, as are detections without a box.
    contests = claims.copy()
    contests[claims] = block_of_box[best[claims]] == block[claims]
    n_claims = np.bincount(best[contests], minlength=n_boxes)
    rivals = np.zeros(len(best), dtype=np.int64)
    rivals[contests] = n_claims[best[contests]]
    return np.lexsort((~correct, best, -rivals, contests, block))


def _mixed(block: NDArray[np.int64], correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the indices in blocks with true and false positives; in other blocks the order has no effect."""
    right, wrong = np.bincount(block, correct), np.bincount(block, ~correct)
    return np.flatnonzero(((right > 0) & (wrong > 0))[block])


def _shuffled(
    block: NDArray[np.int64], places: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return an order in which the detections at these indices are shuffled within their blocks."""
    order = np.arange(len(block))
    order[places] = places[np.lexsort((rng.random(len(places)), block[places]))]
    return order
