"""Components from runs: equal to labelling every pixel, on heat maps and on maps that are never enlarged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from dogcam.detection.boxes_from_maps import LocalisationRule, heat_map, localise, localise_map, normalise
from dogcam.detection.components import components_of, runs_of_heat
from dogcam.detection.interpolated import InterpolatedMap, has_exact_runs, runs_of_map

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
STEPS = arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    elements=st.sampled_from([-1.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0]),
)
ANY = arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 9)), elements=st.floats(-1, 1, width=32))
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))


def labelled(heat, threshold):
    """The slow reference: label all pixels, and examine the window of each component."""
    labels, _ = ndimage.label(heat >= threshold, structure=np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        box = (columns.start, rows.start, columns.stop, rows.stop)
        yield box, int(inside.sum()), heat[rows, columns][inside].max()


def assert_labelled(found, heat, thresholds):
    for each, threshold in zip(found, thresholds, strict=True):
        expected = list(labelled(heat, threshold))
        assert each.boxes.tolist() == [list(box) for box, _, _ in expected]
        assert each.areas.tolist() == [area for _, area, _ in expected]
        assert each.peaks.tolist() == [peak for _, _, peak in expected]


@given(STEPS, SIZES)
def test_components_of_a_heat_map_are_those_of_labelling(map_, size):
    for heat in (normalise(map_), heat_map(map_, size)):
        assert_labelled(components_of(runs_of_heat(heat, THRESHOLDS)), heat, THRESHOLDS)


@given(ANY | STEPS, SIZES)
def test_the_values_of_an_interpolated_map_are_those_of_the_heat_map(map_, size):
    size = tuple(max(pair) for pair in zip(map_.shape, size, strict=True))
    rows, columns = (np.arange(length) for length in size)
    found = InterpolatedMap(normalise(map_), size).at(rows[:, None], columns[None])
    np.testing.assert_allclose(found, heat_map(map_, size), rtol=2e-7, atol=0)


@given(ANY | STEPS, SIZES)
def test_boxes_of_a_map_are_those_of_its_heat_map(map_, size):
    rules = [LocalisationRule(each, kept) for each in THRESHOLDS for kept in ("all", "largest")]
    heat = heat_map(map_, size)
    for rule, (boxes, scores) in zip(rules, localise_map(map_, size, 0.7, rules), strict=True):
        expected = localise(heat, 0.7, rule)
        np.testing.assert_array_equal(boxes, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (9, 9), (1200, 1600)])
@pytest.mark.parametrize("cells", [(9, 9), (7, 7), (20, 18), (1, 5)])
def test_boxes_of_smooth_maps_are_those_of_labelling(size, cells):
    generator = np.random.default_rng(7)
    n_without_heat = 0
    for _ in range(3):
        map_ = ndimage.gaussian_filter(generator.normal(size=cells), 1).astype(np.float32)
        enlarged, heat = InterpolatedMap(normalise(map_), size), heat_map(map_, size)
        if all(side >= n for side, n in zip(size, cells, strict=True)) and has_exact_runs(
            enlarged, THRESHOLDS
        ):
            n_without_heat += 1
            assert_labelled(components_of(runs_of_map(enlarged, THRESHOLDS)), heat, THRESHOLDS)
    # The enlarged map is hardly ever needed.
    assert n_without_heat >= 2 or size < cells


def test_a_map_on_a_plateau_at_the_threshold_is_enlarged():
    # A third is no binary fraction: along the plateau rounding decides which pixels reach it.
    map_ = np.array([[1, 1, 1, 3], [1, 1, 1, 3]], dtype=np.float32)
    thresholds = [float(np.float32(1 / 3)) * factor for factor in (0.9, 1, 1.1)]
    flat = InterpolatedMap(normalise(map_), (37, 91)).flat
    assert len(flat.row)
    assert has_exact_runs(InterpolatedMap(normalise(map_), (37, 91)), [0.3, 0.4])
    rules = [LocalisationRule(each) for each in thresholds]
    for rule, (boxes, _) in zip(rules, localise_map(map_, (37, 91), 1.0, rules), strict=True):
        np.testing.assert_array_equal(boxes, localise(heat_map(map_, (37, 91)), 1.0, rule)[0])
