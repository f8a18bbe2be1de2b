"""What a localiser learns at each position."""

import numpy as np
import pytest
import torch

from dogcam.detection.evidence import Evidence, View
from dogcam.detection.presets import find_preset
from dogcam.train.localiser.config import LocaliserConfig
from dogcam.train.localiser.pseudo_boxes import position_targets, pseudo_boxes

LARGE, SMALL = [0.0, 0.0, 8.0, 6.0], [1.0, 1.0, 4.0, 4.0]


def test_a_position_learns_the_smallest_box_around_it():
    evidence = torch.ones(8, 10)
    targets, weights = position_targets(torch.tensor([LARGE, SMALL]), torch.tensor([1.0, 0.5]), evidence)
    for y in range(8):
        for x in range(10):
            inside = [box for box in (SMALL, LARGE) if box[0] < x < box[2] and box[1] < y < box[3]]
            assert (weights[y, x] > 0) == bool(inside)
            if inside:
                assert targets[y, x].tolist() == inside[0]


def test_the_positions_of_a_box_have_its_weight_together():
    evidence = torch.rand(8, 10, generator=torch.Generator().manual_seed(0))
    targets, weights = position_targets(torch.tensor([LARGE, SMALL]), torch.tensor([1.0, 0.5]), evidence)
    small = (targets == torch.tensor(SMALL)).all(dim=2)
    assert float(weights[small].sum()) == pytest.approx(0.5, rel=1e-5)
    assert float(weights[~small].sum()) == pytest.approx(1.0, rel=1e-5)


def test_the_core_and_the_evidence_weigh_more():
    evidence = torch.full((9, 9), 0.5)
    evidence[4, 5] = 1.0
    _, weights = position_targets(torch.tensor([[-1.0, -1.0, 9.0, 9.0]]), torch.ones(1), evidence)
    assert float(weights[4, 5] / weights[4, 4]) == pytest.approx(2.0)
    assert float(weights[4, 4] / weights[0, 0]) == pytest.approx(4.0)


def evidence_of(logits: np.ndarray) -> Evidence:
    height, width = logits.shape
    size = (16 * height, 16 * width)
    logits = logits.astype(np.float32)
    return Evidence(logits, logits, 2.0, (0.0, 0.0, float(size[1]), float(size[0])), size, (8.0, 8.0), 16.0)


def test_pseudo_boxes_are_those_that_fit_nearly_as_well_as_the_best():
    logits = np.full((16, 16), -6.0)
    logits[2:8, 2:8], logits[10:13, 10:14] = 6.0, 0.5
    method = find_preset("best")
    assert View(1.0, keep_aspect=False) in method.views
    found = {
        share: pseudo_boxes(
            "dog", [evidence_of(logits)], (256, 256), 256, method, LocaliserConfig(relative_fit=share)
        )
        for share in (0.1, 1.0)
    }
    assert len(found[0.1]) > len(found[1.0]) == 1
    best = found[1.0][0]
    assert best.fit == max(each.fit for each in found[0.1])
    np.testing.assert_allclose(best.box, [32, 32, 128, 128], atol=8)
    config = LocaliserConfig(least_fit=1.5)
    assert pseudo_boxes("dog", [evidence_of(logits)], (256, 256), 256, method, config) == []
