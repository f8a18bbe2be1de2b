"""Simplified lines and binned points stay within their tolerances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.draw.simplify import bin_points, simplify_polyline

unit = st.floats(0, 1, allow_nan=False)


def distance_to_line(point, xs, ys):
    """The smallest distance from a point to a broken line, by trying points along every piece."""
    along = np.linspace(0, 1, 401)
    best = min(np.hypot(x - point[0], y - point[1]) for x, y in zip(xs, ys, strict=True))
    for k in range(len(xs) - 1):
        x = xs[k] + along * (xs[k + 1] - xs[k])
        y = ys[k] + along * (ys[k + 1] - ys[k])
        best = min(best, np.hypot(x - point[0], y - point[1]).min())
    return best


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=12))
def test_no_point_is_farther_from_the_thinned_line_than_the_tolerance(points):
    xs, ys = zip(*points, strict=True)
    thin_x, thin_y = simplify_polyline(xs, ys, 0.05)
    assert (thin_x[0], thin_y[0]) == points[0]
    assert (thin_x[-1], thin_y[-1]) == points[-1]
    for point in points:
        assert distance_to_line(point, thin_x, thin_y) < 0.05 + 2e-3


def test_a_straight_line_keeps_its_ends_and_a_corner_stays():
    x, y = simplify_polyline([0, 0.25, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.25, 0], 0.01)
    assert x.tolist() == [0, 0.5, 1]
    assert y.tolist() == [0, 0.5, 0]


def test_a_line_that_returns_to_its_start_keeps_its_farthest_point():
    x, y = simplify_polyline([0, 0.5, 1, 0.5, 0], [0, 0, 0, 0, 0], 0.01)
    assert x.tolist() == [0, 1, 0]
    assert y.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("x", "y"), [([], []), ([np.nan, np.nan], [0.1, 0.2])])
def test_a_line_without_finite_points_is_empty(x, y):
    assert [len(part) for part in simplify_polyline(x, y, 0.1)] == [0, 0]


def test_thinning_a_long_sawtooth_leaves_few_points():
    recall = np.repeat(np.linspace(0, 1, 2000), 2)
    precision = 1 - recall / 2 + np.tile([0.0, 0.002], 2000)
    assert len(simplify_polyline(recall, precision, 0.003)[0]) < 20


def test_bins_join_equal_points_and_count_them():
    x, y, counts = bin_points([0.5, 0.0, 0.5, 1.0], [0.25, 0.0, 0.25, 1.0])
    assert dict(zip(zip(x.round(9), y.round(9), strict=True), counts.tolist(), strict=True)) == {
        (0.0, 0.0): 1,
        (0.5, 0.25): 2,
        (1.0, 1.0): 1,
    }


def test_bins_are_bounded_and_keep_all_points_near():
    points = np.random.default_rng(0).random((5000, 2))
    x, y, counts = bin_points(points[:, 0], points[:, 1])
    assert len(x) <= 800
    assert counts.sum() == 5000
    nearest = np.hypot(points[:, :1] - x, points[:, 1:] - y).min(axis=1)
    assert nearest.max() <= 0.05 / np.sqrt(2) + 1e-9


def test_no_points_make_no_bins():
    assert [len(part) for part in bin_points([], [])] == [0, 0, 0]


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_bins_refuse_points_outside_the_unit_square(bad):
    with pytest.raises(ValueError, match="0 to 1"):
        bin_points([0.5], [bad])
