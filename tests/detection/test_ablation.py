"""The steps of a method: each adds one thing, the last is the method itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dogcam.detection.ablation import DenseThreshold, steps_to
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.evidence import Evidence, View
from dogcam.detection.presets import find_preset


def test_the_steps_end_with_the_method():
    best, fast = find_preset("best"), find_preset("fast")
    assert [step.name for step in steps_to(best, best)] == [
        "dense",
        "proposals",
        "scales",
        "further",
        "votes",
        "size",
    ]
    assert [step.name for step in steps_to(fast, best)] == ["dense", "proposals", "votes", "size"]
    for method in (best, fast):
        assert steps_to(method, best)[-1].method == method


def test_a_localiser_follows_proposals_of_the_same_views():
    best, localiser = find_preset("best"), find_preset("localiser")
    steps = steps_to(localiser, best)
    assert [step.name for step in steps] == [
        "dense",
        "proposals",
        "scales",
        "further",
        "votes",
        "size",
        "localiser",
    ]
    assert steps[-1].method == localiser
    views = steps[-2].method.all_views
    assert [replace(view, regressed=False) for view in localiser.all_views] == list(views)
    assert not any(view.regressed for step in steps[:-1] for view in step.method.all_views)


def test_each_step_makes_the_views_of_the_one_before():
    views = [step.method.all_views for step in steps_to(find_preset("best"), find_preset("best"))]
    assert [len(each) for each in views] == [1, 1, 3, 5, 5, 5]
    for before, after in pairwise(views):
        assert after[: len(before)] == before


def test_one_threshold_boxes_the_components_of_the_dense_map():
    values = np.zeros((32, 64), np.float32)
    values[8:24, 4:20], values[8:24, 40:56] = 1.0, 0.5
    evidence = Evidence(values, values, 0.0, (0, 0, 128, 64), (64, 128), (1.0, 1.0), 2.0)
    boxes, scores = DenseThreshold(View(1.0), LocalisationRule(0.6)).locate([evidence], (64, 128), side=128)
    # Only the first square of 32 pixels reaches the threshold; a cell of the grid has 4 / 3 of a pixel.
    np.testing.assert_allclose(boxes, [[8, 16, 40, 48]], atol=2)
    assert scores == pytest.approx([0.5])
    boxes, scores = DenseThreshold(View(1.0)).locate([evidence], (64, 128), side=128)
    assert len(boxes) == 2 and scores == pytest.approx([0.5, 0.25])
