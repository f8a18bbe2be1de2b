"""AP by object size: objects of other sizes, and boxes on them, are ignored."""

import numpy as np
import pytest

from dogcam.evaluate.metrics import match, precision_recall
from dogcam.evaluate.metrics.by_size import match_of_size
from dogcam.structures.detections import Detections, GroundTruth

AREAS = np.full(2, 100.0 * 100.0)
TRUTH = GroundTruth.from_images([[[0, 0, 10, 10], [20, 20, 80, 80]], [[0, 0, 50, 100]]])
FOUND = Detections.from_images(
    [[[20, 20, 80, 80], [0, 0, 10, 10], [90, 90, 95, 95]], [[0, 0, 100, 100], [50, 0, 100, 90]]],
    [[0.9, 0.8, 0.7], [0.6, 0.5]],
)
"""Shares of the objects: 1 %, 36 %, 50 %. The last box of the first image is small and on nothing. In the
second image, the first box covers twice its object, and the second is large and on nothing."""


@pytest.mark.parametrize(
    ("low", "high", "kinds", "n_objects"),
    [
        # Small: the large objects' boxes are ignored, the small false positive counts.
        (0.0, 0.1, [-1, 1, 0, -1, -1], 1),
        # Large: the small box on nothing is ignored, the large ones count.
        (0.3, np.inf, [1, -1, -1, 0, 0], 2),
        (0.0, np.inf, [1, 1, 0, 0, 0], 3),
    ],
)
def test_only_the_objects_and_false_positives_of_the_size_count(low, high, kinds, n_objects):
    found = match_of_size(TRUTH, FOUND, AREAS, low, high, [0.5])
    assert found.kind_at(0.5).tolist() == kinds
    assert found.n_ground_truth == n_objects


def test_ap_of_the_small_objects_by_hand():
    """The small box has rank 2 behind an ignored one, so the ranking is right, wrong: AP 1."""
    assert precision_recall(match_of_size(TRUTH, FOUND, AREAS, 0, 0.1, [0.5]), 0.5).average_precision() == 1.0


def test_the_whole_range_is_the_usual_matching():
    usual = match(TRUTH, FOUND, [0.3, 0.5])
    assert (match_of_size(TRUTH, FOUND, AREAS, 0, np.inf, [0.3, 0.5]).kind == usual.kind).all()


def test_difficult_objects_are_ignored_in_every_size_if_asked():
    truth = GroundTruth(TRUTH.image, TRUTH.boxes, np.array([True, False, False]), 2)
    assert match_of_size(truth, FOUND, AREAS, 0, 0.1, [0.5]).n_ground_truth == 1
    ignored = match_of_size(truth, FOUND, AREAS, 0, 0.1, [0.5], difficult="ignored")
    assert ignored.n_ground_truth == 0 and ignored.kind_at(0.5).tolist() == [-1, -1, 0, -1, -1]
