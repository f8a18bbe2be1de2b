"""Components from runs: equal to labelling every pixel, on heat maps and on maps that are never enlarged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from dogcam.detection.boxes_from_maps import (
    LocalisationRule,
    heat_map,
    localise,
    localise_maps,
    normalise,
)
from dogcam.detection.components import components_of, runs_of_heat
from dogcam.detection.interpolated import InterpolatedMaps, have_exact_runs, runs_of_maps

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


def assert_labelled(found, heats, thresholds):
    """Compare with labelling: the foregrounds are those of the first heat map, then of the second, ..."""
    foregrounds = [list(labelled(heat, threshold)) for heat in heats for threshold in thresholds]
    expected = [component for each in foregrounds for component in each]
    assert found.boxes.tolist() == [list(box) for box, _, _ in expected]
    assert found.areas.tolist() == [area for _, area, _ in expected]
    assert found.peaks.tolist() == [peak for _, _, peak in expected]
    assert np.diff(found.bounds).tolist() == [len(each) for each in foregrounds]
    assert found.foreground.tolist() == [k for k, each in enumerate(foregrounds) for _ in each]


@given(STEPS, SIZES)
def test_components_of_a_heat_map_are_those_of_labelling(map_, size):
    for heat in (normalise(map_), heat_map(map_, size)):
        assert_labelled(components_of(runs_of_heat(heat, THRESHOLDS)), [heat], THRESHOLDS)


@given(ANY | STEPS, SIZES)
def test_the_values_of_an_interpolated_map_are_those_of_the_heat_map(map_, size):
    size = tuple(max(pair) for pair in zip(map_.shape, size, strict=True))
    rows, columns = (np.arange(length) for length in size)
    found = InterpolatedMaps(normalise(map_)[None], size).at(np.array(0), rows[:, None], columns[None])
    np.testing.assert_allclose(found, heat_map(map_, size), rtol=2e-7, atol=0)


@given(ANY | STEPS, SIZES)
def test_boxes_of_a_map_are_those_of_its_heat_map(map_, size):
    rules = [LocalisationRule(each, kept) for each in THRESHOLDS for kept in ("all", "largest")]
    heat = heat_map(map_, size)
    (found,) = localise_maps([map_], size, [0.7], [rules])
    for rule, (boxes, scores) in zip(rules, found, strict=True):
        expected = localise(heat, 0.7, rule)
        np.testing.assert_array_equal(boxes, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


@given(st.lists(ANY | STEPS, min_size=1, max_size=4), SIZES)
def test_boxes_of_several_maps_are_those_of_each(maps, size):
    rules = [[LocalisationRule(each) for each in THRESHOLDS[number:]] for number in range(len(maps))]
    together = localise_maps(maps, size, range(1, len(maps) + 1), rules)
    for number, (map_, found) in enumerate(zip(maps, together, strict=True)):
        (alone,) = localise_maps([map_], size, [number + 1], [rules[number]])
        for (boxes, scores), (expected, expected_scores) in zip(found, alone, strict=True):
            np.testing.assert_array_equal(boxes, expected)
            np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(375, 500), (500, 333), (20, 20), (1200, 1600)])
@pytest.mark.parametrize("cells", [(9, 9), (7, 7), (20, 18), (1, 5)])
def test_boxes_of_smooth_maps_are_those_of_labelling(size, cells):
    generator = np.random.default_rng(7)
    maps = [ndimage.gaussian_filter(generator.normal(size=cells), 1).astype(np.float32) for _ in range(3)]
    enlarged = InterpolatedMaps(np.stack([normalise(each) for each in maps]), size)
    exact = have_exact_runs(enlarged, [THRESHOLDS] * 3)
    # The enlarged maps are hardly ever needed.
    assert sum(exact) >= 2
    thresholds = [THRESHOLDS if each else () for each in exact]
    heats = [heat_map(map_, size) for map_, each in zip(maps, exact, strict=True) if each]
    assert_labelled(components_of(runs_of_maps(enlarged, thresholds)), heats, THRESHOLDS)


def test_a_map_on_a_plateau_at_the_threshold_is_enlarged():
    # A third is no binary fraction: along the plateau rounding decides which pixels reach it.
    map_ = np.array([[1, 1, 1, 3], [1, 1, 1, 3]], dtype=np.float32)
    thresholds = [float(np.float32(1 / 3)) * factor for factor in (0.9, 1, 1.1)]
    enlarged = InterpolatedMaps(normalise(map_)[None], (37, 91))
    assert len(enlarged.flat.row)
    assert have_exact_runs(enlarged, [[0.3, 0.4]]) == [True]
    rules = [LocalisationRule(each) for each in thresholds]
    (found,) = localise_maps([map_], (37, 91), [1.0], [rules])
    for rule, (boxes, _) in zip(rules, found, strict=True):
        np.testing.assert_array_equal(boxes, localise(heat_map(map_, (37, 91)), 1.0, rule)[0])
