"""Seeds, the random walker and mask counts, against analytic solutions and counting pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dogcam.detection.masks_from_maps import (
    BACKGROUND,
    OBJECT,
    UNDECIDED,
    EdgeWeights,
    MaskCounts,
    Walker,
    edge_weights,
    mask_counts,
    seeds,
    walk,
)

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MARKS = st.sampled_from([BACKGROUND, OBJECT, UNDECIDED])
RED, BLUE = (200, 30, 30), (30, 30, 200)


def as_marks(rows):
    return np.array(rows, dtype=np.uint8)


@st.composite
def pictures_with_seeds(draw):
    shape = draw(SHAPES)
    image = draw(arrays(np.uint8, (*shape, 3)))
    return image, draw(arrays(np.uint8, shape, elements=MARKS))


def test_seeds_by_hand():
    heat = np.array([[0.0, 0.19, 0.2], [0.5, 0.79, 0.8]])
    marks = seeds(heat, cam_threshold=0.8, background_threshold=0.2)
    assert marks.tolist() == [[0, 0, 255], [255, 255, 1]]
    assert marks.dtype == np.uint8
    assert seeds(heat, 0.2, 0.2).tolist() == [[0, 0, 1], [1, 1, 1]]


def test_a_map_that_shows_nothing_is_all_background():
    assert not seeds(np.zeros((2, 3)), 0.6, 0.05).any()


@pytest.mark.parametrize(("cam", "background"), [(0.3, 0.4), (1.1, 0.2), (0.5, -0.1), (math.nan, 0.1)])
def test_thresholds_that_contradict_each_other_are_refused(cam, background):
    with pytest.raises(ValueError, match="background_threshold <= cam_threshold"):
        seeds(np.zeros((2, 2)), cam, background)


def test_steps_are_weighed_by_the_change_of_colour():
    colours = np.array([[[0.0], [2.0]], [[0.0], [0.0]]])
    # Squared changes are 4 and 0 across, 0 and 4 down: 2 on average.
    weights = edge_weights(colours, edge_sensitivity=3.0)
    assert np.allclose(weights.across, [[math.exp(-6)], [1.0]])
    assert np.allclose(weights.down, [[1.0, math.exp(-6)]])


def test_brightness_and_contrast_do_not_change_the_weights():
    colours = np.random.default_rng(0).random((5, 4, 3))
    weights, others = edge_weights(colours, 2.0), edge_weights(30 * colours + 7, 2.0)
    assert np.allclose(weights.across, others.across)
    assert np.allclose(weights.down, others.down)


def test_a_picture_of_one_colour_has_no_borders():
    weights = edge_weights(np.full((3, 4, 3), 7.0), 8.0)
    assert (weights.across == 1).all()
    assert (weights.down == 1).all()


def test_no_border_is_closed():
    weights = edge_weights(np.array([[[0.0], [255.0], [255.0], [255.0]]]), 1e6)
    assert 0 < weights.across[0, 0] < 1e-3


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=9))
def test_on_a_chain_the_walk_is_a_row_of_resistors(conductances):
    """Between its two ends, the probability falls by each edge's share of the resistance (Doyle & Snell)."""
    across = np.array([conductances])
    marks = as_marks([[OBJECT, *[UNDECIDED] * (len(conductances) - 1), BACKGROUND]])
    fallen = np.cumsum(1 / across) / np.sum(1 / across)
    expected = 1 - np.concatenate([[0.0], fallen])
    weights = EdgeWeights(across, np.zeros((0, marks.shape[1])))
    assert np.allclose(walk(weights, marks)[0], expected, atol=1e-9)


def test_the_walk_on_a_three_by_three_grid_by_hand():
    """One corner is the object's, the opposite one the background's: the diagonal between is undecided."""
    marks = np.full((3, 3), UNDECIDED, dtype=np.uint8)
    marks[0, 0], marks[2, 2] = OBJECT, BACKGROUND
    probability = walk(EdgeWeights(np.ones((3, 2)), np.ones((2, 3))), marks)
    # With a next to the object and b on the other diagonal: 3a = 1 + b + 1/2 and 2b = a + (1 - a).
    assert np.allclose(probability, [[1, 2 / 3, 1 / 2], [2 / 3, 1 / 2, 1 / 3], [1 / 2, 1 / 3, 0]])


@given(pictures_with_seeds())
def test_each_undecided_pixel_is_the_weighted_mean_of_its_neighbours(case):
    image, marks = case
    weights = edge_weights(image.astype(float), 1.0)
    probability = walk(weights, marks)
    assert np.array_equal(probability[marks == OBJECT], np.ones((marks == OBJECT).sum()))
    assert not probability[marks == BACKGROUND].any()
    assert ((probability >= 0) & (probability <= 1)).all()
    if (marks == UNDECIDED).all():
        return
    for i, j in np.argwhere(marks == UNDECIDED):
        around = neighbours(weights, i, j, marks.shape)
        mean = sum(w * probability[place] for place, w in around) / sum(w for _, w in around)
        assert probability[i, j] == pytest.approx(mean, abs=1e-6)


def neighbours(weights, i, j, shape):
    around = []
    if i > 0:
        around.append(((i - 1, j), weights.down[i - 1, j]))
    if i + 1 < shape[0]:
        around.append(((i + 1, j), weights.down[i, j]))
    if j > 0:
        around.append(((i, j - 1), weights.across[i, j - 1]))
    if j + 1 < shape[1]:
        around.append(((i, j + 1), weights.across[i, j]))
    return around


def test_seeds_grow_to_the_border_of_the_colours():
    image = np.full((60, 100, 3), BLUE, dtype=np.uint8)
    image[10:50, 20:80] = RED
    marks = np.full((60, 100), UNDECIDED, dtype=np.uint8)
    marks[28:32, 25:30] = OBJECT  # far to the left of the red patch: growing must follow it to the right
    marks[:2], marks[-2:] = BACKGROUND, BACKGROUND
    truth = np.zeros((60, 100), dtype=bool)
    truth[10:50, 20:80] = True
    assert mask_counts(Walker(image).grow(marks), truth.astype(np.uint8), 1).iou > 0.95
    # Without colours the same seeds say much less.
    blind = Walker(image, edge_sensitivity=0.0).grow(marks)
    assert mask_counts(blind, truth.astype(np.uint8), 1).iou < 0.8


@given(pictures_with_seeds(), st.integers(1, 12))
def test_seeds_are_kept_and_everything_is_decided(case, working_side):
    image, marks = case
    mask = Walker(image, working_side=working_side).grow(marks)
    decided = marks != UNDECIDED
    assert (mask.shape, mask.dtype) == (marks.shape, np.uint8)
    assert np.array_equal(mask[decided], marks[decided])
    assert set(np.unique(mask)) <= {BACKGROUND, OBJECT}
    assert np.array_equal(mask, Walker(image, working_side=working_side).grow(marks))


@pytest.mark.parametrize(
    ("kinds", "expected"), [([OBJECT], OBJECT), ([BACKGROUND], BACKGROUND), ([], BACKGROUND)]
)
def test_seeds_of_one_kind_take_the_whole_picture(kinds, expected):
    marks = np.full((6, 5), UNDECIDED, dtype=np.uint8)
    marks[2, : len(kinds)] = kinds
    assert (Walker(np.zeros((6, 5, 3), dtype=np.uint8)).grow(marks) == expected).all()


def test_seeds_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 5, 3\).*\(5, 4, 3\)"):
        Walker(np.zeros((4, 5, 3), dtype=np.uint8)).grow(np.zeros((5, 4), dtype=np.uint8))


def test_mask_counts_by_hand():
    prediction = as_marks([[1, 1, 0, 1], [1, 0, 0, 1]])
    truth = as_marks([[12, 12, 12, 255], [0, 0, 15, 0]])
    counts = mask_counts(prediction, truth, target_index=12)
    assert counts == MaskCounts(intersection=2, predicted=4, truth=3, n_pixels=7)
    assert (counts.union, counts.iou) == (5, 2 / 5)
    assert counts.background == MaskCounts(intersection=2, predicted=3, truth=4, n_pixels=7)
    assert counts.background.background == counts


def test_where_the_target_is_nowhere_there_is_no_iou():
    nothing = mask_counts(np.zeros((2, 2), dtype=np.uint8), as_marks([[0, 255], [3, 0]]), 12)
    assert math.isnan(nothing.iou)
    assert nothing.background.iou == 1.0
    assert math.isnan(MaskCounts().iou)


def test_masks_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        mask_counts(np.zeros((2, 3)), np.zeros((3, 2), dtype=np.uint8), 12)


@given(st.lists(SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.uint8, shape, elements=st.sampled_from([0, 1])),
        arrays(np.uint8, shape, elements=st.sampled_from([0, 7, 12, 255])),
    )
), max_size=4))  # fmt: skip
def test_the_iou_of_a_data_set_is_counted_over_all_its_pixels(pairs):
    counts = sum((mask_counts(prediction, truth, 12) for prediction, truth in pairs), MaskCounts())
    for of_target, found in ((True, counts), (False, counts.background)):
        shared = either = 0
        for prediction, truth in pairs:
            for predicted, true in zip(prediction.flat, truth.flat, strict=True):
                if true == 255:
                    continue
                a, b = (predicted == 1) == of_target, (true == 12) == of_target
                shared, either = shared + (a and b), either + (a or b)
        assert (found.intersection, found.union) == (shared, either)
        assert found.iou == (shared / either if either else pytest.approx(math.nan, nan_ok=True))
