"""Nested proposals, checked by hand and against a slow flood fill."""

from itertools import pairwise

import numpy as np

from dogcam.detection.boxes_from_maps import components_of_heat
from dogcam.detection.proposals import nested_boxes


def flood_boxes(map_: np.ndarray, threshold: float) -> set[tuple[int, int, int, int]]:
    """Return the boxes of components by visiting cells one by one."""
    left = {tuple(cell) for cell in np.argwhere(map_ >= threshold).tolist()}
    boxes = set()
    while left:
        stack, seen = [left.pop()], []
        while stack:
            y, x = stack.pop()
            seen.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
        rows, columns = zip(*seen, strict=True)
        boxes.add((min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    return boxes


def boxes_of(map_: np.ndarray, thresholds) -> list[np.ndarray]:
    """The boxes at each threshold."""
    found = components_of_heat(map_, thresholds)
    return [found.boxes[low:high] for low, high in pairwise(found.bounds)]


def test_components_touch_at_corners():
    map_ = np.zeros((4, 6), np.float32)
    map_[0, 0] = map_[1, 1] = 1.0
    map_[3, 4:6] = 2.0
    found = [boxes.tolist() for boxes in boxes_of(map_, [1.0, 1.5, 3.0])]
    assert found == [[[0, 0, 2, 2], [4, 3, 6, 4]], [[4, 3, 6, 4]], []]


def test_components_agree_with_a_flood_fill():
    map_ = np.random.default_rng(3).normal(size=(15, 20)).astype(np.float32)
    thresholds = (-1.0, 0.0, 0.7, 1.5)
    for threshold, boxes in zip(thresholds, boxes_of(map_, thresholds), strict=True):
        assert {tuple(map(int, box)) for box in boxes} == flood_boxes(map_, threshold)


def test_nested_boxes_are_unique_and_large_enough():
    peak = np.zeros((10, 10), np.float32)
    peak[2:8, 2:8] = 1.0
    peak[4:6, 4:6] = 3.0
    assert nested_boxes([peak, peak], [0.5, 0.9, 2.0], min_area=4).tolist() == [[2, 2, 8, 8], [4, 4, 6, 6]]
    assert nested_boxes([peak], [0.5, 2.0], min_area=9).tolist() == [[2, 2, 8, 8]]
    assert nested_boxes([], [0.5]).shape == (0, 4)
