"""Greedy selection of boxes: nested and overlapping ones exclude each other."""

import numpy as np
import pytest

from dogcam.detection.selection import select, voted

BOXES = np.array([[0, 0, 10, 10], [1, 1, 9, 9], [2, 2, 5, 5], [20, 0, 30, 10], [26, 0, 36, 10.0]])
SCORES = np.array([0.9, 0.95, 0.5, 0.7, 0.6])


def test_the_best_box_excludes_what_it_covers():
    # 1 wins over 0 (IoU 0.64) and over 2, which lies inside it; 3 and 4 share 40 of 160 square cells.
    assert select(BOXES, SCORES, max_boxes=9).tolist() == [1, 3, 4]
    assert select(BOXES, SCORES, max_boxes=9, max_iou=0.2).tolist() == [1, 3]
    assert select(BOXES, SCORES, max_boxes=1).tolist() == [1]


def test_nested_boxes_may_be_allowed():
    assert select(BOXES, SCORES, max_boxes=9, max_iou=0.3, max_cover=1.0).tolist() == [1, 3, 4, 2]


def test_no_boxes_and_equal_scores():
    assert select(np.zeros((0, 4)), np.zeros(0), max_boxes=3).tolist() == []
    assert select(BOXES[:2], np.ones(2), max_boxes=3).tolist() == [0]


def test_voted_boxes_are_weighted_means():
    fits = np.array([1.0, 0.5, 1.0, 1.0, 1.0])
    kept = np.array([0, 3])
    found = voted(BOXES, fits, kept, min_iou=0.5, sharpness=2.0)
    # Box 1 overlaps box 0 with 0.64 and counts exp(2 (0.5 - 1)); box 4 overlaps box 3 with a quarter only.
    weight = np.exp(-1.0)
    low, high = weight / (1 + weight), (10 + 9 * weight) / (1 + weight)
    np.testing.assert_allclose(found, [[low, low, high, high], [20, 0, 30, 10]])


@pytest.mark.parametrize("sharpness", [0.0, 5.0])
def test_without_neighbours_boxes_remain(sharpness):
    found = voted(BOXES, SCORES, np.array([2, 4]), min_iou=1.0, sharpness=sharpness)
    np.testing.assert_array_equal(found, BOXES[[2, 4]])
    assert voted(BOXES, SCORES, np.zeros(0, int), min_iou=0.5, sharpness=sharpness).shape == (0, 4)
