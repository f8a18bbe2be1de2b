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


def test_the_fit_is_the_expected_iou():
    # Probabilities of one (nearly) in a 4 x 4 square, zero elsewhere; the ring of half a side holds it all.
    map_ = np.full((20, 20), -40.0, dtype=np.float32)
    map_[8:12, 8:12] = 40.0
    boxes = np.array([[8, 8, 12, 12], [8, 8, 12, 10], [6, 8, 14, 12.0]])
    rule = FitRule(midpoint=0.0, fill=1.0, ring=1.0, side=4.0, octaves=1.0)
    np.testing.assert_allclose(fits([map_], [1.0], boxes, rule), [1.0, 0.5, 0.5], atol=1e-6)


def test_views_of_the_best_side_decide():
    good, bad = np.full((20, 20), -40.0, np.float32), np.full((20, 20), 40.0, np.float32)
    good[8:12, 8:12] = 40.0
    box, rule = np.array([[8, 8, 12, 12.0]]), FitRule(midpoint=0.0, ring=0.5, side=40.0, octaves=0.3)
    # Inside and ring are all evidence in the bad view: 16 / (16 + 48).
    near_good = fits([good, bad], [10.0, 80.0], box, rule)[0]
    near_bad = fits([good, bad], [80.0, 10.0], box, rule)[0]
    assert near_good == pytest.approx(1.0, abs=1e-3)
    assert near_bad == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"fill": 0.0}, {"fill": 1.5}, {"ring": 0.0}, {"octaves": -1.0}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        FitRule(**wrong)
