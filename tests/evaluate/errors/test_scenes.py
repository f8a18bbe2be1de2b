"""Failures of a known type, planted on the animals of rendered scenes."""

import numpy as np
import pytest

from dogcam.data.reading import read_split
from dogcam.evaluate.errors import OtherObjects, classify_failures
from dogcam.evaluate.metrics import match
from dogcam.structures.boxes import iou
from dogcam.structures.detections import Detections, GroundTruth

TARGET = "dog"


@pytest.fixture(scope="module")
def scenes(small_data):
    return [image for split in ("val", "test") for image in read_split(small_data, split).images]


def scaled(box, x0, x1, y0=0.0, y1=1.0):
    """The part of a box between these fractions of its sides; beyond 0 and 1 is outside."""
    corner, sides = box[:2], box[2:] - box[:2]
    return np.concatenate([corner + sides * [x0, y0], corner + sides * [x1, y1]])


PLANT = {
    "too_small": lambda dog: [scaled(dog, 0.3, 0.7, 0.2, 0.6)],
    "too_large": lambda dog: [scaled(dog, -0.5, 1.6, -0.4, 1.3)],
    "poor_overlap": lambda dog: [scaled(dog, 0.5, 1.5)],
    "split": lambda dog: [scaled(dog, 0.0, 0.3), scaled(dog, 0.7, 1.0)],
    "duplicate": lambda dog: [dog, scaled(dog, 0.0, 0.9)],
    "background": lambda dog: [dog + 10_000],
    "missed": lambda dog: [],
}
"""What is planted on the one dog of a scene."""


def types_of(image, boxes):
    """The types of the wrong boxes, and of the missed dogs, of one scene; boxes come best first."""
    others = [thing for thing in image.objects if thing.name != TARGET]
    scores = np.linspace(1.0, 0.5, len(boxes))
    matches = match(
        GroundTruth.from_images([image.boxes_of(TARGET)]), Detections.from_images([boxes], [scores]), [0.5]
    )
    failures = classify_failures(
        matches, iou_threshold=0.5, score_threshold=0.0,
        others=OtherObjects.from_images([[o.box for o in others]], [[o.name for o in others]]),
    )  # fmt: skip
    return [
        [(failure.type, failure.other_class) for failure in failures if failure.subject == subject]
        for subject in ("detection", "ground_truth")
    ]


@pytest.mark.parametrize("failure_type", PLANT)
def test_a_failure_planted_on_the_only_dog(scenes, failure_type):
    alone = [image for image in scenes if len(image.boxes_of(TARGET)) == 1]
    assert len(alone) >= 5
    for image in alone:
        boxes = PLANT[failure_type](image.boxes_of(TARGET)[0])
        wrong, missed = types_of(image, boxes)
        n_wrong = len(boxes) - (failure_type == "duplicate")
        assert wrong == [(failure_type, None)] * n_wrong
        explained = {"background": "missed"}.get(failure_type, failure_type)
        assert missed == ([] if failure_type == "duplicate" else [(explained, None)])


def test_one_box_around_all_dogs_of_a_scene(scenes):
    several = [image for image in scenes if len(image.boxes_of(TARGET)) > 1]
    assert several
    for image in several:
        dogs = image.boxes_of(TARGET)
        around = np.concatenate([dogs[:, :2].min(axis=0), dogs[:, 2:].max(axis=0)])
        wrong, missed = types_of(image, [around])
        finds_one = iou(around[None], dogs).max() > 0.5
        assert wrong == ([] if finds_one else [("merged", None)])
        assert missed == [("merged", None)] * (len(dogs) - finds_one)


def test_a_box_on_another_animal_names_it(scenes):
    n_planted = 0
    for image in scenes:
        if image.boxes_of(TARGET).size:
            continue
        for thing in image.objects:
            wrong, missed = types_of(image, [np.array(thing.box)])
            assert (wrong, missed) == ([("other_object", thing.name)], [])
            n_planted += 1
    assert n_planted >= 5
