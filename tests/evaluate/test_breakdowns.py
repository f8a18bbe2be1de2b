"""Groups of objects by hand, and their recall against loops."""

import numpy as np
import pytest

from dogcam.evaluate.breakdowns import (
    FEW,
    Group,
    by_aspect,
    by_edge,
    by_n_instances,
    by_other_class,
    by_size,
    measure_groups,
    size_of,
)
from dogcam.evaluate.metrics import Resampler, match
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.references import iou

SIZES = [(100, 100), (100, 200), (50, 50)]
TRUTH = GroundTruth.from_images(
    [
        # 9 % and tall; exactly 10 % and wide, on the right border; 36 % and square.
        [[10, 10, 20, 100], [50, 20, 100, 40], [20, 20, 80, 80]],
        # Exactly 30 %, within a pixel of the top and no more.
        [[20, 0.5, 80.5, 99]],
        [],
    ]
)


def members(groups):
    return {group.name: group.members.tolist() for group in groups}


def test_sizes_begin_with_their_lower_bound():
    assert members(by_size(TRUTH, SIZES)) == {
        "small": [True, False, False, False],
        "medium": [False, True, False, True],
        "large": [False, False, True, False],
    }
    ends = [(group.low, group.high) for group in by_size(TRUTH, SIZES)]
    assert ends == [(None, 0.1), (0.1, 0.3), (0.3, None)]


def test_a_size_class_includes_its_lower_bound():
    assert [size_of(share) for share in (0.0, 0.0999, 0.1, 0.2999, 0.3, 1.0)] == [
        "small", "small", "medium", "medium", "large", "large",
    ]  # fmt: skip


def test_shapes_are_width_over_height():
    assert members(by_aspect(TRUTH)) == {
        "tall": [True, False, False, True],
        "square": [False, False, True, False],
        "wide": [False, True, False, False],
    }
    assert members(by_aspect(GroundTruth.from_images([[[0, 0, 5, 0]]])))["wide"] == [True]


def test_company_counts_the_object_itself():
    assert members(by_n_instances(TRUTH)) == {
        "alone": [False, False, False, True],
        "two together": [False] * 4,
        "three or more": [True, True, True, False],
    }


def test_a_box_within_a_pixel_touches_the_border():
    assert members(by_edge(TRUTH, SIZES))["touches the border"] == [True, True, False, True]


def test_other_classes_come_the_most_frequent_first_and_the_lonely_last():
    labels = {
        "cat": np.array([False, True, True]),
        "sofa": np.array([True, True, False]),
        "car": np.array([False, False, True]),
    }
    groups = by_other_class(TRUTH, labels)
    assert [group.name for group in groups] == ["sofa", "cat", "no other class"]
    assert members(groups)["cat"] == [False, False, False, True]
    assert members(groups)["no other class"] == [False] * 4
    assert members(by_other_class(TRUTH, {})) == {"no other class": [True] * 4}


@pytest.mark.parametrize("seed", range(5))
def test_recall_and_overlap_equal_the_loop(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 40, (30, 2))
    truth = GroundTruth(rng.integers(0, 8, 30), np.hstack([corners, corners + 25]), None, 8)
    moved = truth.boxes + rng.normal(0, 4, (30, 4))
    found = Detections(truth.image, moved, rng.random(30).round(1))
    matches = match(truth, found, [0.5])
    group = Group("some", rng.random(30) < 0.6)
    (result,) = measure_groups(
        matches, [group], iou_threshold=0.5, score_threshold=0.4, resampler=Resampler(8, 100, seed=1)
    )
    kept = [k for k in range(30) if found.scores[k] >= 0.4]
    right = {int(matches.best[k]) for k in kept if matches.kind_at(0.5)[k] == 1}
    chosen = np.flatnonzero(group.members).tolist()
    overlaps = [
        max(
            (iou(truth.boxes[m], found.boxes[k]) for k in kept if found.image[k] == truth.image[m]), default=0
        )
        for m in chosen
    ]
    assert result.n_objects == len(chosen)
    assert result.n_images == len({int(truth.image[m]) for m in chosen})
    assert result.n_found == len(right & set(chosen)) > 0
    assert result.recall.value == pytest.approx(result.n_found / len(chosen))
    assert result.overlap.value == pytest.approx(np.mean(overlaps))
    assert result.recall.interval.low <= result.recall.value <= result.recall.interval.high
    assert result.few == (len(chosen) < FEW)


def test_an_empty_group_is_counted_and_not_measured():
    matches = match(TRUTH, Detections.from_images([[], [], []], [[], [], []]), [0.5])
    groups = [Group("none", np.zeros(4, dtype=bool)), Group("all", np.ones(4, dtype=bool))]
    nothing, everything = measure_groups(
        matches, groups, iou_threshold=0.5, score_threshold=0, resampler=Resampler(3, 20)
    )
    assert (nothing.n_objects, nothing.few) == (0, True)
    assert nothing.recall.value is None
    assert nothing.recall.interval.low is None
    assert (everything.n_found, everything.recall.value, everything.overlap.value) == (0, 0, 0)


def test_boxes_that_do_not_count_belong_to_no_group():
    truth = GroundTruth.from_images([[[0, 0, 5, 5], [10, 0, 20, 5]]], [[True, False]])
    found = Detections.from_images([[[0, 0, 5, 5], [10, 0, 20, 5]]], [[0.9, 0.8]])
    matches = match(truth, found, [0.5], difficult="ignored")
    (group,) = measure_groups(
        matches, [Group("all", np.ones(2, dtype=bool))], iou_threshold=0.5, score_threshold=0,
        resampler=Resampler(1, 20),
    )  # fmt: skip
    assert (group.n_objects, group.n_found, group.n_images) == (1, 1, 1)
