"""The reasons of failures, for boxes whose overlaps are known by hand."""

import numpy as np
import pytest

from dogcam.evaluate.errors import OtherObjects
from dogcam.evaluate.metrics import match
from dogcam.structures.detections import Detections, GroundTruth
from report.pipeline.shared.cases import CaseInputs, all_cases

DOG, MISSED_DOG = (0, 0, 30, 30), (60, 60, 90, 90)
UPPER_PART = (0, 0, 30, 12)
"""Its IoU with the dog is 0.4."""


@pytest.mark.parametrize(
    ("iou_threshold", "reason"),
    [(0.3, "the boxes of the image match another dog"), (0.5, "no box of the image is assigned to this dog")],
)
def test_a_box_matches_another_object_at_the_iou_of_the_operating_point(iou_threshold, reason):
    truth = GroundTruth.from_images([[DOG, MISSED_DOG]])
    matches = match(truth, Detections.from_images([[UPPER_PART]], [[0.9]]), [0.3, 0.5])
    inputs = CaseInputs(
        ["image"], [(100, 100)], matches, iou_threshold, OtherObjects.from_images([[]], [[]]),
        np.array([0.9]), lambda _: None, "dog",
    )  # fmt: skip
    missed = [case for case in all_cases(inputs, [0.5], 0.5) if case.type == "missed"]
    assert [(case.matched, case.reason) for case in missed] == [(MISSED_DOG, reason)]
