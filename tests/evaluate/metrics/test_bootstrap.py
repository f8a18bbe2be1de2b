"""Intervals against data sets in which the drawn images are literally repeated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogcam.evaluate.metrics import (
    DIFFICULT,
    VARIANTS,
    Interval,
    Resampler,
    bootstrap,
    located,
    match,
    operating_point,
    percentile_interval,
    precision_recall,
)
from dogcam.structures.defaults import CONFIDENCE_LEVEL
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.cases import cases
from tests.support.references import draw_images

N_RESAMPLES = 5


def resampler_of(matches, **settings):
    return Resampler(matches.n_images, N_RESAMPLES, seed=3, **settings)


def repeated(matches, difficult="counted", seed=3):
    """The matches of each resample, made from scratch on the repeated images."""
    n_images = matches.n_images
    drawn = np.random.default_rng(seed).integers(n_images, size=(N_RESAMPLES, n_images)).tolist()
    for images in drawn:
        truth, found = draw_images(matches.ground_truth, matches.detections, images, matches.order)
        thresholds = matches.iou_thresholds
        yield match(GroundTruth(**truth), Detections(**found), thresholds, difficult=difficult)


@pytest.mark.slow
@given(cases(), st.sampled_from(VARIANTS), st.sampled_from(DIFFICULT))
def test_resampled_ap_equals_repeating_images(case, variant, difficult):
    matches = match(*case, (0.3, 0.5), difficult=difficult)
    values = resampler_of(matches).ap_samples(matches, variant)
    expected = [
        [precision_recall(again, threshold).average_precision(variant) for threshold in (0.3, 0.5)]
        for again in repeated(matches, difficult)
    ]
    np.testing.assert_allclose(values.T, expected, rtol=0, atol=1e-12)


def interpolated(matches, threshold, recall):
    """The best precision that is reached at this recall or a higher one."""
    curve = precision_recall(matches, threshold)
    if not matches.n_ground_truth:
        return math.nan
    pairs = zip(curve.recall, curve.precision, strict=True)
    return max((precision for reached, precision in pairs if reached >= recall), default=0.0)


@pytest.mark.slow
@given(cases(), st.sampled_from(DIFFICULT))
def test_the_band_equals_repeating_images(case, difficult):
    matches = match(*case, (0.3,), difficult=difficult)
    recalls = [0.0, 0.25, 1 / 3, 0.5, 1.0]
    drawn = [[interpolated(again, 0.3, r) for r in recalls] for again in repeated(matches, difficult)]
    band = resampler_of(matches, level=0.6).precision_band(matches, 0.3, recalls)
    expected = [percentile_interval(column, 0.6) for column in zip(*drawn, strict=True)]
    for ends, name in zip(band, ("low", "high"), strict=True):
        values = np.array([getattr(each, name) for each in expected], dtype=float)
        np.testing.assert_allclose(ends, values, rtol=0, atol=1e-12)


def test_a_band_without_ground_truth_is_not_defined():
    nothing = GroundTruth.from_images([[], []])
    found = Detections.from_images([[[0, 0, 5, 5]], []], [[0.5], []])
    low, high = Resampler(2, 10).precision_band(match(nothing, found, [0.5]), 0.5, [0.0, 1.0])
    assert np.isnan([low, high]).all()


def corloc(matches):
    """The share of images with an object whose top-scoring box is on one."""
    right, positive = located(matches, 0.3)
    return right.sum() / positive.sum() if positive.any() else math.nan


@pytest.mark.slow
@given(cases(), st.sampled_from(DIFFICULT))
def test_ratios_equal_repeating_images(case, difficult):
    matches = match(*case, (0.3,), difficult=difficult)
    again = list(repeated(matches, difficult))
    points = [operating_point(precision_recall(each, 0.3), 0.5) for each in again]
    drawn = resampler_of(matches)
    totals = [precision_recall(each, 0.3).total_recall for each in again]
    pairs = [
        (drawn.recall(matches, 0.3), totals),
        (drawn.recall(matches, 0.3, 0.5), [point.recall for point in points]),
        (drawn.precision(matches, 0.3, 0.5), [point.precision for point in points]),
        (drawn.f1(matches, 0.3, 0.5), [point.f1 for point in points]),
        (drawn.ratio(*located(matches, 0.3)), [corloc(each) for each in again]),
    ]
    for interval, samples in pairs:
        expected = percentile_interval(samples, CONFIDENCE_LEVEL)
        assert (interval.low is None) == (expected.low is None)
        if expected.low is not None:
            assert [interval.low, interval.high] == pytest.approx([expected.low, expected.high])


def many_images(n_images=150, noise=2.0, seed=5):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 50, size=(n_images, 2))
    boxes = np.hstack([corners, corners + 20]).astype(float)
    truth = GroundTruth(np.arange(n_images), boxes, None, n_images)
    found = Detections(np.arange(n_images), boxes + rng.normal(0, noise, boxes.shape), rng.random(n_images))
    return match(truth, found)


def test_more_resamples_than_a_block_continue_the_same_draws():
    matches = many_images()
    few, many = (Resampler(150, count, seed=1).ap_samples(matches) for count in (10, 150))
    assert many.shape == (3, 150)
    assert np.array_equal(few, many[:, :10])
    assert not np.array_equal(few, Resampler(150, 10, seed=2).ap_samples(matches))


def test_interval_holds_the_estimate_and_narrows_with_the_level():
    matches = many_images()
    wide, narrow = (Resampler(150, level=level).ap(matches) for level in (0.95, 0.5))
    for threshold, outer, inner in zip(matches.iou_thresholds, wide, narrow, strict=True):
        ap = precision_recall(matches, threshold).average_precision()
        assert outer.low <= inner.low <= ap <= inner.high <= outer.high
    assert (wide[0].level, narrow[0].level) == (0.95, 0.5)


def test_interval_of_a_share_is_near_the_binomial_one():
    part = np.arange(400) < 100
    interval = Resampler(400).ratio(part, np.ones(400))
    half = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert [interval.low, interval.high] == pytest.approx([0.25 - half, 0.25 + half], abs=0.01)


def test_difference_is_paired():
    good, same, poor = many_images(noise=2.0), many_images(noise=2.0), many_images(noise=6.0)
    drawn = Resampler(150, 200)
    assert drawn.ap_difference(good, same) == (Interval(0.0, 0.0, CONFIDENCE_LEVEL),) * 3
    assert not any(interval.excludes_zero for interval in drawn.ap_difference(good, same))
    differences = drawn.ap_difference(good, poor)
    samples = drawn.ap_samples(good) - drawn.ap_samples(poor)
    assert differences == tuple(percentile_interval(row, CONFIDENCE_LEVEL) for row in samples)
    assert differences[2].excludes_zero
    assert differences[2].low > 0


def test_difference_needs_the_same_images():
    with pytest.raises(ValueError, match="11"):
        Resampler(10).ap_difference(many_images(10), many_images(11))
    with pytest.raises(ValueError, match="11"):
        Resampler(10).ratio(np.ones(11), np.ones(11))
    with pytest.raises(ValueError, match="11"):
        Resampler(10).ranking_ap_samples(np.ones(11), np.ones(11))


def test_no_ground_truth_has_no_interval():
    matches = match(GroundTruth([], [], None, 2), Detections([0], [[0, 0, 1, 1]], [1.0]))
    drawn = Resampler(2, 10)
    intervals = [*drawn.ap(matches), drawn.recall(matches, 0.5)]
    assert intervals == [Interval(None, None, CONFIDENCE_LEVEL)] * 4
    assert not any(interval.excludes_zero for interval in intervals)


def test_no_detections_and_no_images():
    missed = match(GroundTruth([0], [[0, 0, 1, 1]], None, 1), Detections([], [], []))
    assert Resampler(1, 10).ap(missed) == (Interval(0.0, 0.0, CONFIDENCE_LEVEL),) * 3
    nothing = match(GroundTruth([], [], None, 0), Detections([], [], []))
    assert Resampler(0, 10).ap(nothing)[0].low is None


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="n_resamples is 0"):
        Resampler(5, 0)
    with pytest.raises(ValueError, match="level is 95"):
        percentile_interval([1.0, 2.0], 95)
    with pytest.raises(ValueError, match="level is 95"):
        Resampler(5, level=95)


def test_draws_that_are_not_held_are_the_same(monkeypatch):
    matches = many_images(60)
    held = Resampler(60, 200, seed=4)
    monkeypatch.setattr(bootstrap, "_MOST_HELD", 0)
    again = Resampler(60, 200, seed=4)
    assert np.array_equal(held.ap_samples(matches), again.ap_samples(matches))
    assert "_held" not in vars(again)


def test_each_resample_draws_as_many_images_as_there_are():
    counts = np.concatenate(list(Resampler(7, 130, seed=1).draws()), axis=1)
    assert counts.shape == (7, 130)
    assert (counts.sum(axis=0) == 7).all()
