"""The fit of boxes to evidence, against sums over cells and by hand."""

import numpy as np
import pytest

from dogcam.detection.box_fit import FitRule, box_sums, fits, grown, integral


def slow_sum(map_: np.ndarray, box: np.ndarray, parts: int = 8) -> float:
    """Sum a map inside a box by sampling every cell at parts x parts places."""
    fine = np.repeat(np.repeat(map_, parts, axis=0), parts, axis=1) / parts**2
    x0, y0, x1, y1 = (box * parts).astype(int)
    return float(fine[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)].sum())


def test_box_sums_count_parts_of_cells():
    map_ = np.random.default_rng(0).random((7, 9))
    boxes = np.array([[0, 0, 9, 7], [1.5, 2.25, 4.75, 6.5], [-2, -1, 3.5, 2], [6, 5, 30, 30.0]])
    expected = [slow_sum(map_, box) for box in boxes]
    np.testing.assert_allclose(box_sums(integral(map_), boxes), expected, atol=1e-12)


def test_grown_moves_every_side_by_a_share_of_the_box():
    assert grown(np.array([[2.0, 4.0, 6.0, 6.0]]), 0.5).tolist() == [[0.0, 3.0, 8.0, 7.0]]


SQUARE = np.full((20, 20), -40.0, dtype=np.float32)
SQUARE[8:12, 8:12] = 40.0
"""Logits of an object that covers a square of 4 x 4 cells for certain."""


def test_the_fit_is_the_expected_iou():
    boxes = np.array([[8, 8, 12, 12], [8, 8, 12, 10], [6, 8, 14, 12.0]])
    rule = FitRule(midpoints=(0.0,), ring=1.0, side=4.0, octaves=1.0, map_weight=0.0)
    found = fits([SQUARE], [np.zeros((20, 20))], [1.0], boxes, rule)
    np.testing.assert_allclose(found, [1.0, 0.5, 0.5], atol=1e-6)


def test_class_maps_count_with_their_weight_and_fill():
    # A relative map of 0.5 everywhere: 8 inside the box, 8 * 8 in the ring of one side, 0.5 * 16 expected.
    box = np.array([[8, 8, 12, 12.0]])
    rule = FitRule(midpoints=(0.0,), ring=1.0, side=4.0, octaves=1.0, map_weight=0.25, map_fill=0.5)
    found = fits([SQUARE], [np.full((20, 20), 0.5)], [1.0], box, rule)
    np.testing.assert_allclose(found, [0.75 * 1.0 + 0.25 * 8 / (0.5 * 16 + 64)], atol=1e-6)


def test_several_midpoints_are_averaged():
    # Logits of log 3 everywhere: probabilities of 0.75 and 0.5, in the box as in the ring of one side.
    box, logits = np.array([[8, 8, 12, 12.0]]), np.full((20, 20), np.log(3.0))
    rule = FitRule(midpoints=(0.0, np.log(3.0)), ring=1.0, map_weight=0.0, fill=0.5)
    expected = np.mean([each * 16 / (0.5 * 16 + each * 128) for each in (0.75, 0.5)])
    np.testing.assert_allclose(fits([logits], [logits], [1.0], box, rule), expected, rtol=1e-6)


def test_views_of_the_best_side_decide():
    bad = np.full((20, 20), 40.0, np.float32)
    maps = [np.zeros((20, 20))] * 2
    box = np.array([[8, 8, 12, 12.0]])
    rule = FitRule(midpoints=(0.0,), ring=0.5, side=0.4, octaves=0.3, map_weight=0.0)
    near_good = fits([SQUARE, bad], maps, [0.1, 0.8], box, rule)[0]
    near_bad = fits([SQUARE, bad], maps, [0.8, 0.1], box, rule)[0]
    assert near_good == pytest.approx(1.0, abs=1e-3)
    # Inside and ring are all evidence in the bad view: 16 / (16 + 48).
    assert near_bad == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"map_fill": 0.0}, {"fill": 1.25}, {"map_weight": 1.5}, {"ring": -2.0}, {"octaves": -1.0}]
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        FitRule(**wrong)
