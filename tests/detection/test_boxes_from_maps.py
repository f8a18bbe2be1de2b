"""Boxes of hand-made maps, and of any map against looking at every pixel."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dogcam.detection.boxes_from_maps import (
    LocalisationRule,
    heat_map,
    localise,
    localise_maps,
    normalise,
    reason_for_no_box,
    resize,
)

RULE = LocalisationRule(0.5)
LARGEST = LocalisationRule(0.5, "largest")

TWO_BLOBS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.6, 0.8, 0.0, 0.0, 1.0],
        [0.0, 0.7, 0.5, 0.4, 0.0, 0.9],
        [0.0, 0.6, 0.0, 0.0, 0.0, 0.0],
    ],
    dtype=np.float32,
)
"""The blob on the left is the larger, the one on the right, at the border, the higher."""

MAPS = arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    elements=st.sampled_from([-1.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0]),
)
THRESHOLDS = st.sampled_from([0.1, 0.25, 0.5, 0.6, 0.75, 0.9])


def components_by_flooding(mask):
    """The pixels of each component, by walking from each unvisited pixel to its eight neighbours."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    while left:
        component, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front.extend(near)
        yield component


def boxes_by_pixels(heat, score, threshold):
    """(box, score, number of pixels) of each component, in no particular order."""
    found = []
    for component in components_by_flooding(heat >= threshold):
        ys, xs = [y for y, _ in component], [x for _, x in component]
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        peak = max(float(heat[place]) for place in component)
        found.append((*map(float, box), score * peak, len(component)))
    return found


def rows(boxes, scores):
    return sorted((*box, score) for box, score in zip(boxes.tolist(), scores.tolist(), strict=True))


# Boxes


def test_two_blobs_the_higher_first():
    boxes, scores = localise(TWO_BLOBS, 0.5, RULE)
    assert boxes.tolist() == [[5, 1, 6, 3], [1, 1, 3, 4]]
    assert scores.tolist() == [0.5, 0.5 * float(np.float32(0.8))]
    assert boxes.dtype == scores.dtype == np.float64


def test_the_largest_is_that_of_most_pixels_not_the_highest():
    boxes, scores = localise(TWO_BLOBS, 1.0, LARGEST)
    assert boxes.tolist() == [[1, 1, 3, 4]]
    assert scores.tolist() == [float(np.float32(0.8))]


def test_the_largest_is_not_that_of_the_largest_box():
    heat = np.zeros((5, 9), dtype=np.float32)
    heat[:5, :5] = np.eye(5)
    heat[0:2, 6:9] = 1.0
    assert localise(heat, 1.0, LARGEST)[0].tolist() == [[6, 0, 9, 2]]


def test_pixels_that_share_a_corner_are_connected():
    heat = np.eye(4, dtype=np.float32)
    assert localise(heat, 1.0, RULE)[0].tolist() == [[0, 0, 4, 4]]


def test_a_ring_and_what_it_encloses_are_two():
    heat = np.zeros((5, 5), dtype=np.float32)
    heat[[0, -1], :] = heat[:, [0, -1]] = 0.75
    heat[2, 2] = 1.0
    boxes, scores = localise(heat, 1.0, RULE)
    assert boxes.tolist() == [[2, 2, 3, 3], [0, 0, 5, 5]]
    assert scores.tolist() == [1.0, 0.75]  # a score is the component's own peak, not its box's


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_a_pixel_at_the_threshold_belongs(threshold):
    below = np.nextafter(np.float32(threshold), np.float32(0))
    heat = np.array([[1.0, threshold, below]], dtype=np.float32)
    assert localise(heat, 1.0, LocalisationRule(threshold))[0].tolist() == [[0, 0, 2, 1]]


@pytest.mark.parametrize("place", [(0, 0), (0, 8), (5, 0), (5, 8), (0, 4), (3, 8)])
def test_a_peak_on_the_border(place):
    heat = np.zeros((6, 9), dtype=np.float32)
    heat[place] = 1.0
    y, x = place
    assert localise(heat, 0.25, RULE)[0].tolist() == [[x, y, x + 1, y + 1]]


@pytest.mark.parametrize("value", [1e-30, 0.3, 7.0])
def test_a_constant_map_boxes_the_whole_image(value):
    heat = heat_map(np.full((3, 4), value), (30, 50))
    boxes, scores = localise(heat, 0.9, RULE)
    assert boxes.tolist() == [[0, 0, 50, 30]] and scores.tolist() == [0.9]


@pytest.mark.parametrize("components", ["all", "largest"])
@pytest.mark.parametrize("value", [0.0, -0.0, -3.0, -np.inf])
def test_a_map_without_anything_positive_has_no_box(value, components):
    heat = heat_map(np.full((3, 4), value), (6, 8))
    boxes, scores = localise(heat, 1.0, LocalisationRule(0.5, components))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize("components", ["all", "largest"])
def test_a_map_below_the_threshold_has_no_box(components):
    boxes, scores = localise(np.full((2, 2), 0.4), 1.0, LocalisationRule(0.5, components))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_fraction_is_refused(threshold):
    with pytest.raises(ValueError, match=rf"cam_threshold.* {re.escape(str(threshold))}"):
        LocalisationRule(threshold)


@given(MAPS, THRESHOLDS, st.sampled_from([1.0, 0.25]))
def test_every_component_has_its_tight_box_and_its_peak(map_, threshold, score):
    heat = normalise(map_)
    boxes, scores = localise(heat, score, LocalisationRule(threshold))
    assert rows(boxes, scores) == sorted(row[:5] for row in boxes_by_pixels(heat, score, threshold))
    assert (np.diff(scores) <= 0).all()
    assert not len(scores) or scores[0] == score


@given(MAPS, THRESHOLDS)
def test_largest_is_one_of_those_of_most_pixels(map_, threshold):
    heat = normalise(map_)
    found = rows(*localise(heat, 1.0, LocalisationRule(threshold, "largest")))
    expected = boxes_by_pixels(heat, 1.0, threshold)
    most = max((row[5] for row in expected), default=0)
    assert len(found) == min(1, len(expected))
    assert set(found) <= {row[:5] for row in expected if row[5] == most}


@given(MAPS, THRESHOLDS, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_boxes_lie_in_the_image_and_touch_a_hot_pixel_on_each_side(map_, threshold, size):
    heat = heat_map(map_, size)
    assert heat.shape == size
    for x0, y0, x1, y1 in localise(heat, 1.0, LocalisationRule(threshold))[0].astype(int):
        assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
        inside = heat[y0:y1, x0:x1] >= threshold
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


# Maps


@pytest.mark.parametrize("size", [(7, 9), (14, 27), (100, 33), (375, 500)])
def test_enlarging_interpolates_between_the_centres_of_cells(size):
    map_ = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    batch = torch.from_numpy(map_)[None, None].double()
    expected = torch.nn.functional.interpolate(batch, size, mode="bilinear", align_corners=False)[0, 0]
    found = resize(map_, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_resizing_by_hand():
    assert resize(np.array([[0.0, 1.0]]), (1, 4)).tolist() == [[0.0, 0.25, 0.75, 1.0]]


def test_maps_of_any_memory_layout_are_resized_alike():
    map_ = np.arange(12.0).reshape(3, 4)
    expected = resize(map_, (9, 8))
    np.testing.assert_array_equal(resize(np.asfortranarray(map_), (9, 8)), expected)
    np.testing.assert_array_equal(resize(map_[::-1, ::-1], (9, 8)), expected[::-1, ::-1])


def test_normalising_by_hand():
    map_ = np.array([[-1.0, 0.0], [1.0, 4.0]])
    assert normalise(map_).tolist() == [[0.0, 0.0], [0.25, 1.0]]
    assert map_.tolist() == [[-1.0, 0.0], [1.0, 4.0]]
    assert normalise(map_).dtype == np.float32


@given(arrays(np.float32, (3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_a_normalised_map_reaches_from_0_to_1(map_):
    heat = normalise(map_)
    assert (heat >= 0).all() and heat.max() == (map_.max() > 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_without_a_finite_peak_is_refused(value):
    map_ = np.ones((3, 3))
    map_[1, 1] = value
    with pytest.raises(ValueError, match=r"(nan|inf)"):
        heat_map(map_, (6, 6))


def test_several_rules_find_what_each_finds_alone_on_the_enlarged_map():
    map_ = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    rules = [
        LocalisationRule(threshold, kept) for threshold in (0.3, 0.6, 0.3) for kept in ("all", "largest")
    ]
    (found,) = localise_maps([map_], (30, 40), [0.7], [rules])
    for rule, (boxes, scores) in zip(rules, found, strict=True):
        alone = localise(heat_map(map_, (30, 40)), 0.7, rule)
        np.testing.assert_array_equal(boxes, alone[0])
        np.testing.assert_array_equal(scores, alone[1])
    assert len({len(boxes) for boxes, _ in found}) > 1


def test_there_is_a_reason_exactly_where_there_is_no_box():
    for map_ in (np.zeros((4, 5)), -np.ones((4, 5)), np.eye(4), np.full((2, 2), 1e-30)):
        heat = heat_map(map_.astype(np.float32), (8, 10))
        boxes, _ = localise(heat, 1.0, LocalisationRule(0.3))
        assert (reason_for_no_box(heat) is None) == (len(boxes) > 0)
    assert "0 everywhere" in reason_for_no_box(np.zeros((2, 2), np.float32))
