"""What the oracle fix of a failure type gains: hand-computed cases, slow loops, and what must always hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.evaluate.errors import FAILURE_TYPES, ap_gains, classify_failures, fix
from dogcam.evaluate.metrics import Resampler, match, precision_recall
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.cases import IOU_THRESHOLDS, SCORES, cases
from tests.support.references_errors import fixed_ap_by_loops

DOG = (0, 0, 30, 30)
SECOND_DOG = (40, 0, 70, 30)
POINT = {"iou_threshold": 0.5, "score_threshold": 0.5}


def gains_of(dogs, boxes, scores):
    """The gains by type at `POINT`; a list of boxes for each image."""
    matches = match(GroundTruth.from_images(dogs), Detections.from_images(boxes, scores), [0.5])
    failures = classify_failures(matches, **POINT)
    return {
        gain.type: gain for gain in ap_gains(matches, failures, **POINT, resampler=Resampler(len(dogs), 100))
    }


def test_a_false_alarm_is_removed_and_a_part_corrected():
    """The ranking is wrong, right, part: AP 1/2 x 1/2; without the alarm 1/2; with the part fixed 2/3."""
    gains = gains_of([[], [DOG], [DOG]], [[DOG], [DOG], [(0, 0, 9, 9)]], [[0.9], [0.8], [0.7]])
    assert gains["background"].ap.value == pytest.approx(1 / 4)
    assert gains["too_small"].ap.value == pytest.approx(2 / 3 - 1 / 4)
    others = [gain for failure_type, gain in gains.items() if failure_type not in ("background", "too_small")]
    assert len(others) == len(FAILURE_TYPES) - 2
    for gain in others:
        assert (gain.ap.value, gain.ap.interval.low, gain.ap.interval.high) == (0.0, 0.0, 0.0)


def test_a_missed_dog_is_found_as_the_last_of_the_operating_point():
    """Right, then wrong, then the dog that was passed over; what stands below the point does not count."""
    gains = gains_of([[DOG], [], [DOG], []], [[DOG], [DOG], [], [DOG]], [[0.9], [0.8], [], [0.4]])
    assert gains["missed"].ap.value == pytest.approx(1 / 2 * 2 / 3)


def test_a_box_around_two_dogs_becomes_two_boxes():
    gains = gains_of([[DOG, SECOND_DOG], []], [[(0, 0, 80, 30)], [DOG]], [[0.8], [0.9]])
    assert gains["merged"].ap.value == pytest.approx(2 / 3)


def test_a_box_that_found_one_dog_finds_its_puppy_as_surely():
    gains = gains_of([[DOG, (20, 20, 30, 30)], []], [[DOG], [DOG]], [[0.9], [0.8]])
    assert gains["merged"].ap.value == pytest.approx(1 / 2)


def test_a_dog_in_two_pieces_becomes_one_box():
    """Head and tail are one dog: one box is corrected, the other goes, so that the next dog moves up."""
    pieces, scores = [(0, 0, 8, 8), (20, 20, 30, 30)], [0.9, 0.8]
    gains = gains_of([[DOG], [DOG]], [pieces, [DOG]], [scores, [0.7]])
    assert gains["split"].ap.value == pytest.approx(1 - 1 / 2 * 1 / 3)


def test_a_duplicate_is_removed():
    gains = gains_of([[DOG], [DOG]], [[DOG, (0, 0, 30, 28)], [DOG]], [[0.9, 0.8], [0.7]])
    assert gains["duplicate"].ap.value == pytest.approx(1 - (1 / 2 + 1 / 2 * 2 / 3))


def test_a_box_below_the_operating_point_moves_up_with_what_it_found():
    """The dog was found, but not surely enough; fixed, it is one true positive and not two."""
    gains = gains_of([[DOG], []], [[DOG], [DOG, DOG]], [[0.2], [0.9, 0.4]])
    # missed at the point; before: wrong, wrong, right; after: wrong, right, wrong
    assert gains["missed"].ap.value == pytest.approx(1 / 2 - 1 / 3)


def test_where_nothing_is_detected_what_is_missed_comes_first():
    gains = gains_of([[DOG], []], [[], [DOG]], [[], [0.1]])
    assert gains["missed"].ap.value == 1.0


def test_without_any_object_no_gain_is_defined():
    gains = gains_of([[]], [[DOG]], [[0.9]])
    for gain in gains.values():
        assert gain.ap.value is None
        assert gain.ap.interval.low is None


def test_a_gain_s_interval_is_that_of_the_paired_difference():
    rng = np.random.default_rng(5)
    dogs = [[DOG] if place % 2 else [] for place in range(20)]
    boxes = [[DOG] if place % 3 else [(0, 0, 9, 9)] for place in range(20)]
    truth, found = GroundTruth.from_images(dogs), Detections.from_images(boxes, rng.random((20, 1)))
    matches = match(truth, found, [0.3, 0.5])
    failures = classify_failures(matches, **POINT)
    resampler = Resampler(20, 300, seed=3)
    gains = {g.type: g for g in ap_gains(matches, failures, **POINT, resampler=resampler)}
    (interval,) = resampler.ap_difference(
        fix(matches, failures, "too_small", **POINT), match(truth, found, [0.5])
    )
    assert gains["too_small"].ap.interval == interval
    assert interval.low < gains["too_small"].ap.value < interval.high


@given(
    cases(), st.sampled_from(IOU_THRESHOLDS), st.sampled_from([-math.inf, *SCORES, math.inf]),
    st.sampled_from(FAILURE_TYPES),
)  # fmt: skip
def test_the_fix_equals_the_loops_and_never_harms(case, iou_threshold, score_threshold, failure_type):
    matches = match(*case, [iou_threshold])
    place = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    failures = classify_failures(matches, **place)
    fixed = precision_recall(fix(matches, failures, failure_type, **place), iou_threshold).average_precision()
    if not matches.n_ground_truth:
        assert math.isnan(fixed)
        return
    expected = fixed_ap_by_loops(*case, failures, failure_type, iou_threshold, score_threshold)
    assert fixed == pytest.approx(expected, abs=1e-12)
    assert fixed >= precision_recall(matches, iou_threshold).average_precision() - 1e-12


@given(cases(), st.sampled_from(IOU_THRESHOLDS), st.sampled_from(FAILURE_TYPES))
def test_a_fixed_ranking_is_whole(case, iou_threshold, failure_type):
    """Each object is found at most once, and none of the type is left to be missed or wrong."""
    matches = match(*case, [iou_threshold])
    place = {"iou_threshold": iou_threshold, "score_threshold": 0.3}
    failures = classify_failures(matches, **place)
    fixed = fix(matches, failures, failure_type, **place)
    found = fixed.best[fixed.kind[0] == 1]
    assert len(set(found.tolist())) == len(found)
    assert sorted(fixed.order.tolist()) == list(range(len(fixed.detections)))
    missed = {
        each.ground_truth for each in failures if (each.subject, each.type) == ("ground_truth", failure_type)
    }
    assert missed <= set(found.tolist())
    if not any(each.type == failure_type for each in failures):
        assert np.array_equal(fixed.kind[0][fixed.order], matches.kind[0][matches.order])
