"""Failure types: planted cases of each type, the edges of the rules, and totals on generated cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.evaluate.errors import (
    FAILURE_TYPES,
    OtherObjects,
    TypeCount,
    classify_failures,
    count_types,
    find_successes,
    other_object,
)
from dogcam.evaluate.metrics import DIFFICULT, match, operating_point, precision_recall
from dogcam.structures.boxes import as_boxes
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.cases import IOU_THRESHOLDS, SCORES, cases
from tests.support.references_errors import types_by_loops

DOG = (0, 0, 30, 30)
SECOND_DOG = (40, 0, 70, 30)


def failures_of(dogs, boxes, *, iou_threshold=0.5, scores=None, score_threshold=0.0, **rules):
    """Classify the failures of one image; boxes come best first."""
    scores = np.linspace(1.0, 0.5, len(boxes)) if scores is None else scores
    truth, found = GroundTruth.from_images([dogs]), Detections.from_images([boxes], [scores])
    matches = match(truth, found, [iou_threshold], **rules)
    return classify_failures(matches, iou_threshold=iou_threshold, score_threshold=score_threshold)


def rows(failures):
    return [(failure.subject, failure.type, failure.detection, failure.ground_truth) for failure in failures]


def false_positive(failure_type, detection, ground_truth):
    return "detection", failure_type, detection, ground_truth


def miss(failure_type, detection, ground_truth):
    return "ground_truth", failure_type, detection, ground_truth


def both(failure_type, detection, ground_truth):
    """A box that fails, and the dog that is missed because of it."""
    return [
        false_positive(failure_type, detection, ground_truth),
        miss(failure_type, detection, ground_truth),
    ]


PLANTED = {
    "nothing is detected": ([DOG], [], [miss("missed", None, 0)]),
    "a box elsewhere": (
        [DOG], [(50, 50, 60, 60)], [false_positive("background", 0, None), miss("missed", None, 0)],
    ),
    "an image without dogs": ([], [DOG], [false_positive("background", 0, None)]),
    "the head alone": ([DOG], [(10, 10, 15, 15)], both("too_small", 0, 0)),
    "the whole scene": ([DOG], [(0, 0, 90, 90)], both("too_large", 0, 0)),
    "half beside": ([DOG], [(15, 0, 45, 30)], both("poor_overlap", 0, 0)),
    "the same dog twice": ([DOG], [DOG, (0, 0, 30, 28)], [false_positive("duplicate", 1, 0)]),
    "two dogs in one box": (
        [DOG, SECOND_DOG], [(0, 0, 80, 30)],
        [false_positive("merged", 0, 0), miss("merged", 0, 0), miss("merged", 0, 1)],
    ),
    "one box that finds a dog and holds its puppy": (
        [DOG, (20, 20, 30, 30)], [DOG], [miss("merged", 0, 1)],
    ),
    "a box that found its dog says nothing of the neighbour that it touches": (
        [(0, 0, 30, 30), (20, 0, 50, 30)], [(0, 0, 30, 30)], [miss("missed", None, 1)],
    ),
    "two dogs on nearly the same place, one box": (
        [(0, 0, 30, 30), (10, 0, 40, 30)], [(4, 0, 34, 30)], [miss("merged", 0, 1)],
    ),
    "half of either of two dogs, one behind the other": (
        [(0, 0, 30, 30), (0, 6, 30, 36)], [(0, 6, 30, 24)], [miss("merged", 0, 1)],
    ),
    "a box around two dogs that ends in a third": (
        [DOG, SECOND_DOG, (70, 0, 130, 30)], [(0, 0, 90, 30)],
        [false_positive("merged", 0, 0), miss("merged", 0, 0), miss("merged", 0, 1), miss("missed", None, 2)],
    ),
    "a box on a part of a dog that another box finds": (
        [DOG], [DOG, (0, 0, 10, 10)], [false_positive("split", 1, 0)],
    ),
    "head and tail": (
        [DOG], [(0, 0, 8, 8), (20, 20, 30, 30)],
        [false_positive("split", 0, 0), false_positive("split", 1, 0), miss("split", 1, 0)],
    ),
    "a part and a box that is too large": (
        [DOG], [(0, 0, 8, 8), (0, 0, 60, 60)],
        [false_positive("too_small", 0, 0), false_positive("too_large", 1, 0), miss("too_large", 1, 0)],
    ),
    "parts of two dogs are not one dog split": (
        [DOG, SECOND_DOG], [(0, 0, 8, 8), (60, 0, 70, 10)],
        [
            false_positive("too_small", 0, 0), false_positive("too_small", 1, 1),
            miss("too_small", 0, 0), miss("too_small", 1, 1),
        ],
    ),
    "each box is judged by the dog that it is nearest to": (
        [DOG, SECOND_DOG], [(10, 10, 20, 20), (30, 0, 75, 45)],
        [
            false_positive("too_small", 0, 0), false_positive("too_large", 1, 1),
            miss("too_small", 0, 0), miss("too_large", 1, 1),
        ],
    ),
    "of two bad boxes the nearer one explains the miss": (
        [DOG], [(0, 0, 5, 5), (15, 0, 45, 30)],
        [false_positive("too_small", 0, 0), false_positive("poor_overlap", 1, 0), miss("poor_overlap", 1, 0)],
    ),
    "a duplicate that holds a second dog as well": (
        [DOG, (24, 0, 34, 30)], [DOG, (0, 0, 34, 30)],
        [false_positive("duplicate", 1, 0), miss("merged", 1, 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dogs", "boxes", "expected"), PLANTED.values(), ids=PLANTED)
def test_planted_failures(dogs, boxes, expected):
    assert rows(failures_of(dogs, boxes)) == expected


def test_every_type_is_planted():
    planted = {row[1] for _, _, expected in PLANTED.values() for row in expected}
    assert planted | {"other_object"} == set(FAILURE_TYPES)


def test_a_box_on_another_animal_is_a_look_alike():
    truth = GroundTruth.from_images([[], [DOG], []])
    boxes = [[(0, 0, 10, 10)], [(12, 12, 18, 18), (50, 50, 60, 60)], [(0, 0, 10, 10)]]
    found = Detections.from_images(boxes, [[0.9], [0.8, 0.7], [0.6]])
    others = OtherObjects.from_images([[(0, 0, 12, 9)], [(10, 10, 20, 20), (45, 45, 70, 60)], []],
                                      [["cat"], ["person", "horse"], []])  # fmt: skip
    matches = match(truth, found, [0.5])
    failures = classify_failures(matches, iou_threshold=0.5, score_threshold=0.0, others=others)
    assert [(failure.image, failure.type, failure.other_class) for failure in failures] == [
        (0, "other_object", "cat"),
        # On the dog first of all, whatever else is there.
        (1, "too_small", None),
        (1, "other_object", "horse"),
        (1, "too_small", None),
        (2, "background", None),
    ]


def test_every_other_object_needs_a_name():
    with pytest.raises(ValueError, match=r"\[1\] .*\[2\]"):
        OtherObjects.from_images([[DOG]], [["cat", "cow"]])


@pytest.mark.parametrize(
    ("box", "iou_threshold", "failure_type"),
    [
        # inside = 2/3 and covered = 1/30; one column fewer in the dog, and little is left to say
        ((-1, 0, 2, 15), 0.5, "too_small"),
        ((-2, 0, 1, 15), 0.5, "background"),
        # covered = 2/3 and IoU = 600 / (900 + 1200 - 600); one column fewer, and it is beside the dog
        ((10, 0, 50, 30), 0.5, "too_large"),
        ((11, 0, 51, 30), 0.5, "poor_overlap"),
        # IoU = 100 / (900 + 200 - 100); one column fewer, and it may be chance
        ((20, 20, 40, 30), 0.5, "poor_overlap"),
        ((21, 20, 41, 30), 0.5, "background"),
        # two thirds of each and IoU 1/2, which is not above 1/2: of the right size, in the wrong place
        ((10, 0, 40, 30), 0.5, "poor_overlap"),
        ((10, 0, 40, 30), 0.3, None),
        # the same box is good enough or not, depending on what is asked
        ((0, 0, 30, 12), 0.3, None),
        ((0, 0, 30, 12), 0.4, "too_small"),
        # without area nothing is covered
        ((5, 5, 5, 20), 0.5, "background"),
        ((20, 20, 10, 10), 0.5, "background"),
    ],
)
def test_edges_of_the_rules(box, iou_threshold, failure_type):
    failures = failures_of([DOG], [box], iou_threshold=iou_threshold)
    types = [failure.type for failure in failures if failure.subject == "detection"]
    assert types == ([failure_type] if failure_type else [])


@pytest.mark.parametrize(("left", "failure_type"), [(25, "merged"), (26, "too_large")])
def test_merging_needs_half_of_the_second_dog(left, failure_type):
    dogs = [DOG, (left, 30, left + 30, 60)]
    failures = failures_of(dogs, [(0, 0, 40, 60)])
    assert failures[0].type == failure_type
    assert failures[0].held == ((0, 1) if failure_type == "merged" else (0,))


def test_a_failure_says_how_the_boxes_overlap():
    failure, missed = failures_of([DOG], [(20, 0, 50, 60)], scores=[0.7])
    assert (failure.score, failure.iou, failure.covered, failure.inside) == (0.7, 300 / 2400, 1 / 3, 1 / 6)
    assert (failure.image, failure.held) == (0, ())
    assert (missed.score, missed.iou) == (failure.score, failure.iou)
    (alone,) = failures_of([DOG], [])
    assert (alone.score, alone.iou, alone.covered, alone.inside, alone.held) == (None, 0.0, 0.0, 0.0, ())


def test_detections_below_the_operating_point_explain_nothing():
    boxes, scores = [(10, 10, 15, 15), (0, 0, 30, 20)], [0.5, 0.4]
    above = failures_of([DOG], boxes, scores=scores, score_threshold=0.5)
    assert rows(above) == both("too_small", 0, 0)
    nothing = failures_of([DOG], boxes, scores=scores, score_threshold=math.inf)
    assert rows(nothing) == [miss("missed", None, 0)]


def test_an_ignored_object_explains_nothing_and_is_not_missed():
    truth = GroundTruth.from_images([[DOG, SECOND_DOG]], [[True, False]])
    found = Detections.from_images([[DOG, (10, 10, 15, 15), (0, 0, 70, 30)]], [[0.9, 0.8, 0.7]])
    matches = match(truth, found, [0.5], difficult="ignored")
    failures = classify_failures(matches, iou_threshold=0.5, score_threshold=0.0)
    assert rows(failures) == [
        false_positive("background", 1, None),
        false_positive("too_large", 2, 1),
        miss("too_large", 2, 1),
    ]


def test_images_are_kept_apart_and_come_in_order():
    truth = GroundTruth([2, 0], [DOG, DOG], None, 3)
    found = Detections([2, 1, 0], [(0, 0, 5, 5), DOG, (0, 0, 30, 29)], [0.2, 0.3, 0.9])
    matches = match(truth, found, [0.5])
    failures = classify_failures(matches, iou_threshold=0.5, score_threshold=0.1)
    assert [(failure.image, failure.type) for failure in failures] == [
        (1, "background"), (2, "too_small"), (2, "too_small"),
    ]  # fmt: skip
    (success,) = find_successes(matches, iou_threshold=0.5, score_threshold=0.1)
    assert (success.image, success.detection, success.ground_truth, success.score) == (0, 2, 1, 0.9)
    assert success.iou == pytest.approx(29 / 30)


def test_types_are_counted_apart_for_boxes_and_objects():
    counts = count_types(failures_of([DOG, SECOND_DOG], [(0, 0, 80, 30), (50, 50, 60, 60)]))
    assert [count.type for count in counts] == list(FAILURE_TYPES)
    assert TypeCount("merged", 1, 2) in counts
    assert TypeCount("background", 1, 0) in counts
    assert sum(count.n_detections + count.n_missed for count in counts) == 4


def test_an_iou_threshold_without_matches_is_refused():
    matches = match(GroundTruth.from_images([[DOG]]), Detections.from_images([[]], [[]]), [0.5])
    with pytest.raises(ValueError, match=r"0\.4"):
        classify_failures(matches, iou_threshold=0.4, score_threshold=0.0)


@given(
    cases(),
    st.sampled_from(IOU_THRESHOLDS),
    st.sampled_from([-math.inf, *SCORES, math.inf]),
    st.sampled_from(DIFFICULT),
    st.booleans(),
)
def test_counts_are_those_of_the_operating_point(case, iou_threshold, score_threshold, difficult, plus_one):
    matches = match(*case, [iou_threshold], difficult=difficult, plus_one=plus_one)
    place = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    failures, successes = classify_failures(matches, **place), find_successes(matches, **place)
    point = operating_point(precision_recall(matches, iou_threshold), score_threshold)
    false = [failure.detection for failure in failures if failure.subject == "detection"]
    missed = [failure.ground_truth for failure in failures if failure.subject == "ground_truth"]
    assert len(set(false)) == len(false) == point.false_positives
    assert len(set(missed)) == len(missed) == point.false_negatives
    assert len(successes) == point.true_positives
    assert not {success.detection for success in successes} & set(false)
    assert not {success.ground_truth for success in successes} & set(missed)
    counts = count_types(failures)
    assert sum(count.n_detections for count in counts) == point.false_positives
    assert sum(count.n_missed for count in counts) == point.false_negatives


@given(cases(), st.sampled_from(IOU_THRESHOLDS), st.sampled_from(SCORES))
def test_types_equal_the_loops(case, iou_threshold, score_threshold):
    matches = match(*case, [iou_threshold])
    failures = classify_failures(matches, iou_threshold=iou_threshold, score_threshold=score_threshold)
    false = {failure.detection: failure.type for failure in failures if failure.subject == "detection"}
    missed = {failure.ground_truth: failure.type for failure in failures if failure.subject == "ground_truth"}
    assert (false, missed) == types_by_loops(*case, iou_threshold, score_threshold)


def test_the_look_alike_is_the_closest_of_those_under_the_box():
    sofa, cat, person = (0, 0, 100, 100), (10, 10, 40, 40), (60, 60, 90, 90)
    others, names = as_boxes([sofa, cat, person]), ["sofa", "cat", "person"]
    assert other_object((10, 10, 35, 35), others, names) == "cat"
    assert other_object((0, 50, 50, 100), others, names) == "sofa"
    assert other_object((200, 200, 220, 220), others, names) is None
    assert other_object(cat, as_boxes([]), []) is None
    assert other_object((5, 5, 5, 5), others, names) is None


@pytest.mark.parametrize(("x0", "expected"), [(25, "cat"), (26, None)])
def test_the_look_alike_needs_its_share_of_the_box(x0, expected):
    assert other_object((x0, 10, x0 + 30, 40), as_boxes([(10, 10, 40, 40)]), ["cat"]) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # IoU = 900 / 9000; one line more, and the cat is lost in the scene
        ((0, 0, 100, 90), "cat"),
        ((0, 0, 100, 91), None),
        # two thirds of the cat, which is less than half of the box; one column fewer, and it is cut in two
        ((20, 0, 60, 40), "cat"),
        ((21, 0, 61, 40), None),
    ],
)
def test_a_box_around_a_look_alike(box, expected):
    assert other_object(box, as_boxes([(10, 10, 40, 40)]), ["cat"]) == expected
