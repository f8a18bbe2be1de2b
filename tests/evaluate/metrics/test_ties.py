"""The order of equal scores, and how far it moves AP."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.evaluate.metrics import TIES, VARIANTS, ap_over_ties, match, precision_recall, rank
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.cases import cases
from tests.support.references import aps_over_tied_orders

# What numpy 1.24.4 returned for numpy.argsort of 16, 17 and 40 equal numbers.
RECORDED_EQUAL = {
    16: list(range(16)),
    17: [0, 14, 13, 12, 11, 10, 9, 15, 8, 6, 5, 4, 3, 2, 1, 7, 16],
    40: [0, *range(22, 29), 21, 29, *range(31, 38), 30, 20, 19, 18, *range(1, 18), 38, 39],
}


def lopsided_keys():
    """200 keys on which the median of three is always a bad pivot, so that the sort falls back to a heap."""
    pairs = zip(range(0, 30, 2), [*range(129, 115, -1), 31], strict=True)
    start = [key for pair in pairs for key in pair]
    rest = [200, 197, 198, *range(196, 130, -1), *range(1, 30, 2), *range(115, 31, -1), 130, 30]
    return np.array(start + rest, dtype=float) // 2


def checksum(order):
    return zlib.crc32(order.astype("<i8").tobytes())


@pytest.mark.parametrize("length", RECORDED_EQUAL)
def test_introsort_of_equal_scores_is_numpys(length):
    assert rank(np.ones(length), "introsort").tolist() == RECORDED_EQUAL[length]


def test_introsort_is_numpys_on_longer_input():
    # Checksums of what numpy 1.24.4 returned for numpy.argsort(-scores).
    assert checksum(rank(np.ones(1000), "introsort")) == 3662454380
    assert checksum(rank((np.arange(1000) * 7919 % 13).astype(float), "introsort")) == 2442557974
    assert checksum(rank(-lopsided_keys(), "introsort")) == 95212145


@given(st.lists(st.integers(0, 8), max_size=80))
def test_introsort_sorts(values):
    scores = np.array(values, dtype=float)
    order = rank(scores, "introsort")
    assert sorted(order.tolist()) == list(range(len(values)))
    assert scores[order].tolist() == sorted(values, reverse=True)


@given(st.permutations(range(50)))
def test_the_rules_differ_only_where_scores_are_equal(values):
    scores = np.array(values, dtype=float)
    assert rank(scores, "introsort").tolist() == rank(scores, "stable").tolist()


def test_stable_keeps_the_order_of_equal_scores():
    assert rank(np.array([1.0, 2.0, 1.0, 2.0, -0.0, 0.0])).tolist() == [1, 3, 0, 2, 4, 5]


@given(cases(max_detections=6), st.sampled_from(VARIANTS), st.sampled_from(TIES))
def test_range_over_ties_equals_trying_every_order(case, variant, ties):
    truth, found = case
    every = list(aps_over_tied_orders(truth, found, 0.3, variant))
    span = ap_over_ties(match(truth, found, [0.3], ties=ties), 0.3, variant, n_orders=20)
    assert [span.low, span.high] == pytest.approx([min(every), max(every)], abs=1e-12, nan_ok=True)
    assert span.low <= span.expected <= span.high or np.isnan(span.low)


ONE, OTHER = [0, 0, 10, 10], [20, 0, 30, 10]


@pytest.mark.parametrize(
    ("boxes", "scores", "low"),
    [
        # The box with two claims goes first, so that its duplicate stands before the other box.
        ([OTHER, ONE, ONE], [1, 1, 1], (1 + 2 / 3) / 2),
        ([ONE, OTHER, OTHER], [1, 1, 1], (1 + 2 / 3) / 2),
        # A claim of a box that is won by a better score can only be false, so it goes before all others.
        ([ONE, OTHER, OTHER, OTHER, ONE], [2, 1, 1, 1, 1], (1 + 2 / 3) / 2),
    ],
)
def test_smallest_value_by_hand(boxes, scores, low):
    truth, found = GroundTruth.from_images([[ONE, OTHER]]), Detections.from_images([boxes], [scores])
    span = ap_over_ties(match(truth, found), 0.5)
    assert (span.low, span.high) == pytest.approx((low, 1))
    assert span.low == pytest.approx(min(aps_over_tied_orders(truth, found, 0.5, "all_point")))


@pytest.mark.slow
def test_expected_value_is_the_mean_over_all_orders():
    truth = GroundTruth.from_images([[[0, 0, 10, 10], [20, 0, 30, 10]], [[0, 0, 10, 10]]])
    found = Detections.from_images(
        [[[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], [[50, 0, 60, 9], [0, 0, 10, 10], [70, 0, 80, 9]]],
        [[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]],
    )
    every = list(aps_over_tied_orders(truth, found, 0.5, "all_point"))
    span = ap_over_ties(match(truth, found), 0.5, n_orders=4000)
    assert span.n_orders == 4000
    assert span.expected == pytest.approx(np.mean(every), abs=4 * span.standard_error)
    assert span.standard_error == pytest.approx(np.std(every) / 4000**0.5, rel=0.1)
    # 1.96 standard errors to both sides.
    interval = span.interval(0.95)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * span.standard_error, rel=1e-3)
    assert interval.low < span.expected < interval.high


def test_ignored_detections_do_not_move():
    truth = GroundTruth.from_images([[[0, 0, 10, 10], [20, 0, 30, 10]]], [[False, True]])
    found = Detections.from_images([[[20, 0, 30, 10], [0, 0, 10, 10]]], [[1.0, 1.0]])
    span = ap_over_ties(match(truth, found, difficult="ignored"), 0.5)
    assert (span.low, span.high, span.expected, span.width) == (1, 1, 1, 0)


def test_distinct_scores_leave_no_range():
    truth = GroundTruth.from_images([[[0, 0, 10, 10]]])
    found = Detections.from_images([[[50, 0, 60, 10], [0, 0, 10, 10]]], [[2.0, 1.0]])
    matches = match(truth, found)
    span = ap_over_ties(matches, 0.5)
    assert span.low == span.high == span.expected == precision_recall(matches, 0.5).average_precision()
    assert span.interval(0.95).low == span.interval(0.95).high == span.expected
    assert span.n_orders == 0
