"""Greedy selection of boxes: nested and overlapping ones exclude each other."""

import numpy as np

from dogcam.detection.selection import select

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
