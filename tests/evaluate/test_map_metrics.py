"""Maps against the objects of their images: cases by hand, slow loops, and the intervals' edges."""

import math

import numpy as np
import pytest
from scipy import ndimage

from dogcam.evaluate.map_metrics import (
    BOX_CAM_THRESHOLDS,
    IOU_LEVELS,
    LEVELS,
    MapScores,
    box_accuracy,
    centre_map,
    energy_inside,
    energy_pointing_game,
    max_box_accuracy,
    max_box_accuracy_v2,
    pixel_average_precision,
    pointing_game,
    points_at,
    score_map,
)
from dogcam.evaluate.metrics import Resampler
from dogcam.structures.boxes import as_boxes
from tests.support.references import iou


def drawn(scores):
    return Resampler(len(scores), 200, seed=3)


def random_heat(seed, size=(24, 30)):
    rng = np.random.default_rng(seed)
    heat = ndimage.gaussian_filter(rng.random(size), 3).astype(np.float32)
    heat -= heat.min()
    return heat / heat.max()


def scores_of(**changed):
    fields = {
        "points": True,
        "energy": 0.5,
        "largest": np.zeros(len(BOX_CAM_THRESHOLDS)),
        "any_component": np.zeros(len(BOX_CAM_THRESHOLDS)),
        "chosen": 0.0,
        "pixels": np.zeros((2, LEVELS), dtype=int),
    }
    return MapScores(**(fields | changed))


def at_peak(x, y, size=(100, 100)):
    heat = np.zeros(size, dtype=np.float32)
    heat[y, x] = 1
    return heat


BOX = as_boxes([[40, 40, 60, 60]])


@pytest.mark.parametrize(
    ("x", "y", "hit"), [(50, 50, True), (74, 50, True), (75, 50, False), (50, 24, False), (25, 25, True)]
)
def test_a_peak_within_the_tolerance_points_at_the_object(x, y, hit):
    assert points_at(at_peak(x, y), BOX) is hit


def test_a_flat_map_points_nowhere_and_an_even_one_at_its_middle():
    assert not points_at(np.zeros((100, 100), dtype=np.float32), BOX)
    assert points_at(np.ones((100, 100), dtype=np.float32), BOX)
    assert not points_at(np.ones((100, 100), dtype=np.float32), as_boxes([[0, 0, 20, 20]]))


def test_energy_counts_what_two_boxes_share_once():
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[1, 1], heat[3, 3] = 0.75, 0.25
    assert energy_inside(heat, as_boxes([[0, 0, 2, 2]])) == 0.75
    assert energy_inside(heat, as_boxes([[0, 0, 2, 2], [1, 1, 3, 3], [-5, -5, 2, 2]])) == 0.75
    assert energy_inside(np.zeros((4, 4), dtype=np.float32), as_boxes([[0, 0, 2, 2]])) == 0


@pytest.mark.parametrize("seed", range(6))
def test_overlaps_equal_boxing_every_component_by_hand(seed):
    heat, truth = random_heat(seed), as_boxes([[2, 3, 14, 12], [20, 10, 29, 23]])
    seen = score_map(heat, truth, 0.45)
    for place, cut in enumerate(BOX_CAM_THRESHOLDS):
        labels, count = ndimage.label(heat >= cut, structure=np.ones((3, 3)))
        best = []
        for number in range(1, count + 1):
            rows, columns = np.nonzero(labels == number)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            best.append((len(rows), max(iou(box, other) for other in truth)))
        assert seen.any_component[place] == pytest.approx(max(overlap for _, overlap in best))
        largest = max(best, key=lambda pair: pair[0])[0]
        assert seen.largest[place] in [pytest.approx(o) for area, o in best if area == largest]
    assert seen.chosen == seen.largest[BOX_CAM_THRESHOLDS.index(0.45)]


def test_a_map_that_shows_nothing_finds_nothing():
    seen = score_map(np.zeros((20, 20), dtype=np.float32), as_boxes([[0, 0, 20, 20]]), 0.3)
    assert not seen.largest.any()
    assert not seen.any_component.any()
    assert (seen.points, seen.energy, seen.chosen) == (False, 0, 0)


def test_best_cuts_by_hand():
    first, second = np.zeros((2, len(BOX_CAM_THRESHOLDS)))
    first[[4, 7]], second[7] = 0.5, 0.31
    scores = [scores_of(largest=first, any_component=first), None, scores_of(any_component=second)]
    # One of two images at IoU 0.5; of the levels 0.3, 0.5, 0.7 one cut serves two images, one and none.
    assert max_box_accuracy(scores, drawn(scores)).value == 0.5
    assert max_box_accuracy_v2(scores, drawn(scores)).value == pytest.approx((1 + 0.5 + 0) / 3)
    assert IOU_LEVELS == (0.3, 0.5, 0.7)


def test_no_single_cut_of_the_best_is_passed_over():
    rng = np.random.default_rng(1)
    scores = [scores_of(largest=rng.random(19), any_component=rng.random(19)) for _ in range(30)]
    slow = max(np.mean([each.largest[cut] >= 0.5 for each in scores]) for cut in range(19))
    found = max_box_accuracy(scores, drawn(scores))
    assert found.value == pytest.approx(slow)
    assert found.interval.low < found.value < found.interval.high


def test_means_leave_out_the_images_without_the_class():
    scores = [scores_of(energy=0.2, chosen=0.5), None, scores_of(points=False, energy=0.6, chosen=0.49), None]
    assert pointing_game(scores, drawn(scores)).value == 0.5
    assert energy_pointing_game(scores, drawn(scores)).value == pytest.approx(0.4)
    assert box_accuracy(scores, drawn(scores)).value == 0.5
    interval = pointing_game(scores, drawn(scores)).interval
    assert (interval.low, interval.high) == (0, 1)


@pytest.mark.parametrize("seed", range(4))
def test_pixel_ap_equals_ranking_every_pixel(seed):
    rng = np.random.default_rng(seed)
    scores, ranked = [], []
    for place in range(3):
        # Heights in the middle of a level, so that nothing is lost in counting them.
        heat = ((rng.integers(0, LEVELS, (9, 11)) + 0.5) / LEVELS).astype(np.float32)
        mask = rng.choice([0, 1, 255], size=heat.shape).astype(np.uint8)
        scores += [score_map(heat, BOX, 0.3, mask), None]
        ranked += [(float(h), int(m)) for h, m in zip(heat.flat, mask.flat, strict=True) if m != 255]
        assert scores[2 * place].pixels.sum() == (mask != 255).sum()
    area, found, seen, total = 0.0, 0, 0, sum(on for _, on in ranked)
    for height in sorted({h for h, _ in ranked}, reverse=True):
        here = [on for h, on in ranked if h == height]
        found, seen = found + sum(here), seen + len(here)
        area += sum(here) / total * found / seen
    assert pixel_average_precision(scores, drawn(scores)).value == pytest.approx(area)


def test_a_perfect_map_has_pixel_ap_one_and_no_mask_none():
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[2:5, 2:5] = 1
    perfect = pixel_average_precision([score_map(mask.astype(np.float32), BOX, 0.3, mask)], Resampler(1, 100))
    assert (perfect.value, perfect.interval.low) == (1, 1)
    unmasked = [score_map(at_peak(1, 1), BOX, 0.3)]
    assert pixel_average_precision(unmasked, Resampler(1, 100)).value is None


def test_without_an_image_of_the_class_nothing_is_defined():
    for measure in (pointing_game, energy_pointing_game, box_accuracy, max_box_accuracy, max_box_accuracy_v2):
        found = measure([None, None], Resampler(2, 100))
        assert found.value is None
        assert found.interval.low is None


def test_the_blind_map_is_a_bell_in_the_middle():
    bell = centre_map((40, 60))
    assert bell.shape == (40, 60)
    assert bell.max() == 1
    assert np.array_equal(bell, bell[::-1, ::-1])
    # One standard deviation from the middle, to the side: exp(-1/2).
    assert bell[20, 45] / bell[20, 30] == pytest.approx(math.exp(-0.5), abs=0.02)
