"""Box arithmetic, against cases worked out by hand and against counting pixels one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dogcam.structures.boxes import area, as_boxes, clip, intersection, iou, rescale

SIDE = 12
"""Small enough to count pixels, large enough for boxes to nest, touch and miss each other."""


def boxes_within(side: int, max_size: int = 5):
    """Lists of whole-numbered boxes, empty ones among them, inside a square."""
    interval = st.tuples(st.integers(0, side), st.integers(0, side)).map(sorted)
    box = st.tuples(interval, interval).map(lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1]))
    return st.lists(box, max_size=max_size).map(as_boxes)


def pixels(box: np.ndarray) -> set[tuple[int, int]]:
    x0, y0, x1, y1 = (int(value) for value in box)
    return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}


numbers = st.floats(-1e4, 1e4, width=32)
any_boxes = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=numbers)
sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@pytest.mark.parametrize("values", [[], (), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 7)), [[]]])
def test_anything_empty_becomes_no_boxes(values):
    boxes = as_boxes(values)
    assert (boxes.shape, boxes.dtype) == ((0, 4), np.float64)


def test_whole_numbers_become_floats():
    boxes = as_boxes([[1, 2, 3, 4]])
    assert (boxes.tolist(), boxes.dtype) == ([[1.0, 2.0, 3.0, 4.0]], np.float64)


@pytest.mark.parametrize("values", [[1, 2, 3, 4], [[1, 2, 3]], [[[1, 2, 3, 4]]], 5])
def test_other_shapes_are_refused(values):
    with pytest.raises(ValueError, match=r"boxes .*\(N, 4\)"):
        as_boxes(values)


def test_area_by_hand():
    boxes = as_boxes([[0, 0, 2, 3], [1, 1, 1, 5], [4, 4, 2, 2], [4, 0, 2, 3], [0.5, 0.5, 1, 2]])
    assert area(boxes).tolist() == [6.0, 0.0, 0.0, 0.0, 0.75]
    assert area(as_boxes([])).shape == (0,)


def test_iou_by_hand():
    box = as_boxes([[0, 0, 4, 4]])
    others = as_boxes(
        [
            [0, 0, 4, 4],  # itself
            [2, 2, 6, 6],  # a quarter of each: 4 / (16 + 16 - 4)
            [1, 1, 3, 3],  # inside: 4 / 16
            [4, 0, 8, 4],  # shares an edge, and no pixel
            [4, 4, 5, 5],  # shares a corner
            [9, 9, 11, 11],  # apart in both directions: two negative sides must not make an area
            [0, 2, 4, 2],  # a line inside
        ]
    )
    assert intersection(box, others).tolist() == [[16.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]]
    assert iou(box, others).tolist() == [[1.0, 4 / 28, 0.25, 0.0, 0.0, 0.0, 0.0]]


def test_iou_of_boxes_without_area_is_zero_without_a_warning():
    line, point = as_boxes([[1, 1, 1, 5]]), as_boxes([[1, 1, 1, 1]])
    with np.errstate(all="raise"):
        assert iou(line, line).tolist() == [[0.0]]
        assert iou(point, line).tolist() == [[0.0]]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_shapes_of_pairs(n, m):
    assert iou(np.ones((n, 4)), np.ones((m, 4))).shape == (n, m)
    assert intersection(np.ones((n, 4)), np.ones((m, 4))).shape == (n, m)


def test_clip_by_hand():
    boxes = as_boxes([[-3, -2, 5, 4], [2, 3, 50, 60], [-9, -9, -1, -1], [30, 1, 40, 2], [1, 2, 3, 4]])
    expected = [[0, 0, 5, 4], [2, 3, 20, 10], [0, 0, 0, 0], [20, 1, 20, 2], [1, 2, 3, 4]]
    assert clip(boxes, (10, 20)).tolist() == expected


def test_rescale_by_hand():
    assert rescale(as_boxes([[10, 20, 30, 40]]), (100, 200), (50, 400)).tolist() == [[20, 10, 60, 20]]


def test_new_arrays_are_returned():
    boxes = as_boxes([[-1, -1, 5, 5]])
    clip(boxes, (3, 3))
    rescale(boxes, (3, 3), (9, 9))
    assert boxes.tolist() == [[-1, -1, 5, 5]]


@given(boxes_within(SIDE), boxes_within(SIDE))
def test_areas_are_numbers_of_pixels(boxes, others):
    assert area(boxes).tolist() == [len(pixels(box)) for box in boxes]
    shared, ratio = intersection(boxes, others), iou(boxes, others)
    for i, box in enumerate(boxes):
        for j, other in enumerate(others):
            both, either = pixels(box) & pixels(other), pixels(box) | pixels(other)
            assert shared[i, j] == len(both)
            assert ratio[i, j] == (len(both) / len(either) if either else 0.0)


@given(any_boxes, any_boxes)
def test_iou_is_symmetric_and_between_zero_and_one(boxes, others):
    ratio = iou(boxes, others)
    assert np.all((ratio >= 0) & (ratio <= 1 + 1e-9))
    assert np.allclose(ratio, iou(others, boxes).T, rtol=0, atol=1e-12)


@given(any_boxes)
def test_a_box_with_area_has_iou_one_with_itself(boxes):
    boxes = boxes[area(boxes) > 1e-6]
    assert np.allclose(np.diag(iou(boxes, boxes)), 1.0)


@given(boxes_within(SIDE), boxes_within(SIDE), st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 7))
def test_iou_does_not_change_when_both_are_moved_and_stretched(boxes, others, x, y, factor):
    move = np.array([x, y, x, y])
    assert np.allclose(iou(boxes * factor + move, others * factor + move), iou(boxes, others))


@given(any_boxes, sizes)
def test_clipped_boxes_are_inside_and_clipping_again_changes_nothing(boxes, size):
    clipped = clip(boxes, size)
    assert np.all(clipped >= 0)
    assert np.all(clipped <= [size[1], size[0], size[1], size[0]])
    assert np.array_equal(clip(clipped, size), clipped)
    assert np.all(area(clipped) <= area(boxes) + 1e-9)


@given(boxes_within(SIDE), boxes_within(SIDE), sizes, sizes)
def test_rescaling_keeps_ratios_and_can_be_undone(boxes, others, size, new_size):
    there, others_there = rescale(boxes, size, new_size), rescale(others, size, new_size)
    assert np.allclose(iou(there, others_there), iou(boxes, others), atol=1e-9)
    assert np.allclose(rescale(there, new_size, size), boxes)
    whole = as_boxes([[0, 0, size[1], size[0]]])
    assert np.allclose(rescale(whole, size, new_size), [[0, 0, new_size[1], new_size[0]]])
