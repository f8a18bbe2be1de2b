import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.evaluate.metrics import (
    DIFFICULT,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    VARIANTS,
    Proportion,
    average_precision,
    best_f1_point,
    best_precision,
    located,
    match,
    operating_point,
    precision_at_least,
    precision_recall,
)
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.cases import IOU_THRESHOLDS, cases
from tests.support.references import ap_of, iou, kinds_of, n_counted, slow_ap, stable_order

KIND_NAMES = {TRUE_POSITIVE: "tp", FALSE_POSITIVE: "fp", IGNORED: "ignored"}


def hand_case():
    """Two images with two boxes and one; five detections: hit, duplicate, off, too small, hit."""
    truth = GroundTruth.from_images([[[0, 0, 10, 10], [20, 0, 30, 10]], [[0, 0, 10, 10]]])
    found = Detections(
        [0, 0, 1, 0, 1],
        [[0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60], [20, 0, 25, 10], [0, 0, 10, 6]],
        [0.9, 0.8, 0.7, 0.6, 0.5],
    )
    return truth, found


def test_matching_by_hand():
    matches = match(*hand_case(), (0.4, 0.5))
    assert matches.best.tolist() == [0, 0, -1, 1, 2]
    assert matches.best_iou.tolist() == [1.0, 0.8, 0.0, 0.5, 0.6]
    assert matches.kind_at(0.4).tolist() == [1, 0, 0, 1, 1]
    # An IoU of exactly one half is not greater than one half.
    assert matches.kind_at(0.5).tolist() == [1, 0, 0, 0, 1]


def test_precision_recall_and_ap_by_hand():
    curve = precision_recall(match(*hand_case(), [0.5]), 0.5)
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3]
    assert curve.precision.tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 2 / 5]
    assert (curve.n_found, curve.n_false_positives, curve.total_recall) == (2, 3, 2 / 3)
    assert curve.average_precision("all_point") == pytest.approx((1 + 2 / 5) / 3)
    assert curve.average_precision("voc07_11point") == pytest.approx((4 * 1 + 3 * 2 / 5) / 11)
    assert curve.average_precision("coco_101point") == pytest.approx((34 * 1 + 33 * 2 / 5) / 101)


def test_second_best_box_is_not_taken_instead():
    truth = GroundTruth.from_images([[[0, 0, 10, 10], [2, 0, 12, 10]]])
    found = Detections.from_images([[[0, 0, 10, 10], [0, 0, 11, 10]]], [[2.0, 1.0]])
    # The second detection overlaps both boxes equally; the first one, which is taken, is its box.
    assert match(truth, found, [0.5]).kind.tolist() == [[TRUE_POSITIVE, FALSE_POSITIVE]]


def test_plus_one_is_what_separates_touching_pixels():
    truth = GroundTruth.from_images([[[0, 0, 2, 2]]])
    found = Detections.from_images([[[0, 0, 4, 2]]], [[1.0]])
    assert match(truth, found).best_iou.tolist() == [0.5]
    assert match(truth, found, plus_one=False).best_iou.tolist() == [1 / 3]


@given(cases(), st.sampled_from(DIFFICULT), st.booleans())
def test_matching_equals_the_loop(case, difficult, plus_one):
    truth, found = case
    matches = match(truth, found, IOU_THRESHOLDS, difficult=difficult, plus_one=plus_one)
    assert matches.order.tolist() == stable_order(found.scores)
    assert matches.n_ground_truth == n_counted(truth, difficult)
    for threshold in IOU_THRESHOLDS:
        expected = kinds_of(truth, found, threshold, stable_order(found.scores), difficult, plus_one)
        assert [KIND_NAMES[kind] for kind in matches.kind_at(threshold)] == expected
    for box, best, best_iou in zip(found.boxes, matches.best, matches.best_iou, strict=True):
        assert best_iou == (iou(box, truth.boxes[best], plus_one) if best >= 0 else 0)


@given(cases(), st.sampled_from(DIFFICULT), st.booleans())
def test_ap_equals_the_loop(case, difficult, plus_one):
    truth, found = case
    matches = match(truth, found, IOU_THRESHOLDS, difficult=difficult, plus_one=plus_one)
    for threshold in IOU_THRESHOLDS:
        curve = precision_recall(matches, threshold)
        for variant in VARIANTS:
            expected = slow_ap(truth, found, threshold, variant, difficult, plus_one)
            assert curve.average_precision(variant) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n_ground_truth", [1, 3, 7, 10, 29, 100])
def test_recall_that_falls_on_the_grid(variant, n_ground_truth):
    kinds = ["tp", "fp", "tp"] * n_ground_truth
    kinds = kinds[: n_ground_truth + n_ground_truth // 3]
    correct = np.cumsum([kind == "tp" for kind in kinds])
    value = average_precision(correct / n_ground_truth, correct / np.arange(1, len(kinds) + 1), variant)
    assert value == pytest.approx(ap_of(kinds, n_ground_truth, variant), abs=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ap_of_many_curves_is_that_of_each(variant):
    recall = np.array([[[0.2, 0.4, 0.4], [0.0, 0.5, 1.0]], [[np.nan] * 3, [1.0, 1.0, 1.0]]])
    precision = np.array([[[1.0, 1.0, 2 / 3], [0.0, 0.5, 2 / 3]], [[0.0] * 3, [1.0, 0.5, 1 / 3]]])
    together = average_precision(recall, precision, variant)
    apart = [
        [average_precision(*pair, variant) for pair in zip(*rows, strict=True)]
        for rows in zip(recall, precision, strict=True)
    ]
    assert np.array_equal(together, apart, equal_nan=True)
    assert np.isnan(together).tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_to_find_and_nothing_found(variant):
    box, empty = [[0, 0, 5, 5]], np.zeros((0, 4))
    found = Detections.from_images([box, empty], [[1.0], []])
    nothing = Detections.from_images([empty, empty], [[], []])
    some, none = GroundTruth.from_images([box, box]), GroundTruth.from_images([empty, empty])
    values = [
        precision_recall(match(truth, given), 0.5).average_precision(variant)
        for truth in (some, none)
        for given in (found, nothing)
    ]
    assert values[0] == pytest.approx(0.5, abs=0.05)
    assert values[1] == 0
    assert math.isnan(values[2])
    assert math.isnan(values[3])
    assert precision_recall(match(some, nothing), 0.5).total_recall == 0
    assert math.isnan(precision_recall(match(none, found), 0.5).total_recall)
    assert average_precision([], [], variant) == 0


@given(cases(), st.floats(0, 1))
def test_operating_points_equal_trying_every_threshold(case, precision):
    truth, found = case
    curve = precision_recall(match(truth, found, [0.3]), 0.3)
    points = [operating_point(curve, score) for score in [math.inf, *sorted({*found.scores}, reverse=True)]]
    for point in points:
        kept = found.scores >= point.score_threshold
        part = Detections(found.image[kept], found.boxes[kept], found.scores[kept])
        kinds = kinds_of(truth, part, 0.3, stable_order(part.scores))
        counts = (point.true_positives, point.false_positives, point.false_negatives)
        assert counts == (kinds.count("tp"), kinds.count("fp"), len(truth) - kinds.count("tp"))
    assert best_f1_point(curve) == max(points, key=lambda point: np.nan_to_num(point.f1))
    precise = [point for point in points if point.precision >= precision]
    expected = max([points[0], *precise], key=lambda point: np.nan_to_num(point.recall))
    assert precision_at_least(curve, precision) == expected
    assert best_precision(curve) == max(np.nan_to_num([point.precision for point in points]))


def test_operating_point_by_hand():
    curve = precision_recall(match(*hand_case(), [0.4]), 0.4)
    best = best_f1_point(curve)
    assert (best.score_threshold, best.precision, best.recall, best.f1) == (0.5, 3 / 5, 1, 3 / 4)
    careful = precision_at_least(curve, 0.9)
    assert (careful.score_threshold, careful.precision, careful.recall) == (0.9, 1, 1 / 3)
    none = operating_point(curve, math.inf)
    assert math.isnan(none.precision)
    assert (none.recall, none.f1) == (0, 0)


def test_a_threshold_cannot_cut_between_equal_scores():
    # The right one of two tied boxes stands first, so that the first step of the curve is all right.
    truth = GroundTruth.from_images([[[0, 0, 10, 10], [30, 0, 40, 10]]])
    boxes = [[0, 0, 10, 10], [50, 0, 60, 10], [70, 0, 80, 10]]
    curve = precision_recall(match(truth, Detections([0, 0, 0], boxes, [0.9, 0.9, 0.2]), [0.5]), 0.5)
    assert curve.precision[0] == 1
    assert best_precision(curve) == 0.5
    assert precision_at_least(curve, 0.5).precision == 0.5
    nothing = Detections([], np.zeros((0, 4)), [])
    assert best_precision(precision_recall(match(truth, nothing, [0.5]), 0.5)) == 0


def corloc(matches):
    """The images whose top-scoring box is on an object, and the images with an object."""
    right, positive = located(matches)
    return int(right.sum()), int(positive.sum())


@given(cases())
def test_corloc_equals_the_loop(case):
    truth, found = case
    right = positive = 0
    for image in range(truth.n_images):
        boxes = truth.boxes[truth.image == image]
        positive += len(boxes) > 0
        here = [place for place in stable_order(found.scores) if found.image[place] == image]
        right += bool(here) and any(iou(found.boxes[here[0]], box) > 0.5 for box in boxes)
    assert corloc(match(truth, found)) == (right, positive)


def test_corloc_by_hand():
    # Right, then wrong because a worse box scores higher, then missed, then nothing but a difficult dog.
    box, off = [0, 0, 10, 10], [50, 50, 60, 60]
    truth = GroundTruth.from_images([[box]] * 4, [[False], [False], [False], [True]])
    found = Detections.from_images([[box], [box, off], [], [box]], [[0.1], [0.5, 0.9], [], [0.3]])
    assert corloc(match(truth, found)) == (2, 4)
    assert corloc(match(truth, found, difficult="ignored")) == (1, 3)
    assert corloc(match(truth, found, difficult="absent")) == (1, 3)


def test_wilson_interval_against_the_published_example():
    # Newcombe 1998, table I: 81 of 263 and 0 of 20, the score method without continuity correction.
    some, none = Proportion(81, 263).wilson_interval(), Proportion(0, 20).wilson_interval()
    assert [round(some.low, 4), round(some.high, 4)] == [0.2553, 0.3662]
    assert [round(none.low, 4), round(none.high, 4)] == [0.0, 0.1611]
    assert Proportion(0, 0).wilson_interval().low is None


@given(cases())
def test_what_comes_in_is_left_alone(case):
    truth, found = case
    before = [array.copy() for array in (truth.boxes, truth.image, found.boxes, found.scores, found.image)]
    match(truth, found)
    after = (truth.boxes, truth.image, found.boxes, found.scores, found.image)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_one_of_a_kind_wins_by_rank_not_by_place():
    truth = GroundTruth.from_images([[[0, 0, 10, 10]]])
    found = Detections.from_images([[[0, 0, 10, 9], [0, 0, 10, 10]]], [[0.1, 0.2]])
    matches = match(truth, found, [0.5])
    assert matches.order.tolist() == [1, 0]
    assert matches.kind.tolist() == [[FALSE_POSITIVE, TRUE_POSITIVE]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GroundTruth([0], [[0, 0, 1]], None, 1), "expected \\(N, 4\\)"),
        (lambda: GroundTruth([0, 1], [[0, 0, 1, 1]], None, 2), "image has shape"),
        (lambda: GroundTruth([1], [[0, 0, 1, 1]], None, 1), "there are 1 images"),
        (lambda: GroundTruth([-1], [[0, 0, 1, 1]], None, 1), "is -1;"),
        (lambda: GroundTruth([0.0], [[0, 0, 1, 1]], None, 1), "expected integers"),
        (lambda: GroundTruth([0], [[0, 0, 1, np.nan]], None, 1), "finite"),
        (lambda: GroundTruth([0], [[0, 0, 1, 1]], [True, False], 1), "difficult has shape"),
        (lambda: Detections([0], [[0, 0, 1, 1]], [np.inf]), "0 .*inf"),
        (lambda: Detections([0], [[0, 0, 1, 1]], [[1.0]]), r"scores .*\(1, 1\)"),
        (lambda: match(GroundTruth([], [], None, 1), Detections([1], [[0, 0, 1, 1]], [1])), "1 images"),
        (lambda: match(*hand_case(), [1.0]), r"\(1\.0,\)"),
        (lambda: match(*hand_case(), difficult="hard"), "'hard'.* counted, ignored, absent"),
        (lambda: match(*hand_case(), ties="random"), "'random'.* stable, introsort"),
        (lambda: match(*hand_case()).kind_at(0.6), r"0\.6"),
        (lambda: average_precision([1.0], [1.0], "auc"), "'auc'.* all_point"),
        (lambda: average_precision([1.0], [1.0, 1.0]), r"\(1,\), \(2,\)"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_empty_ground_truth_takes_empty_lists():
    nothing = GroundTruth([], [], None, 0)
    assert (len(nothing), nothing.n_images) == (0, 0)
    matches = match(nothing, Detections([], [], []))
    assert matches.kind.shape == (3, 0)
    assert corloc(matches) == (0, 0)
