"""Which objects the boxes of each class are on."""

from pathlib import Path

from dogcam.evaluate.confusion import confusion
from dogcam.structures.detections import Detections
from dogcam.structures.images import LabelledImage, LabelledObject


def image(name: str, *objects: tuple[str, tuple]) -> LabelledImage:
    things = tuple(LabelledObject(thing, box) for thing, box in objects)
    return LabelledImage(name, Path(name), 100, 100, things)


IMAGES = [
    image("a", ("cat", (0, 0, 40, 40)), ("dog", (50, 50, 90, 90))),
    image("b"),
    image("c", ("cow", (0, 0, 50, 50)), ("dog", (0, 0, 50, 60))),
]


def boxes(*per_image: list) -> Detections:
    return Detections.from_images(per_image, [[0.5] * len(each) for each in per_image])


def test_boxes_are_counted_by_the_object_of_the_highest_iou():
    found = confusion(
        IMAGES,
        {
            # On the dog; on the cat; twice on nothing; equally well on nothing but the cow.
            "dog": boxes([[50, 50, 90, 90], [0, 0, 40, 38]], [[0, 0, 9, 9], [5, 5, 9, 9]], [[0, 0, 50, 50]]),
            # The IoU of 0.5 does not exceed the threshold.
            "cat": boxes([[0, 0, 40, 20]], [], []),
        },
        0.5,
    )
    assert (found.detected, found.annotated) == (("dog", "cat"), ("cat", "cow", "dog"))
    assert found.counts.tolist() == [[1, 1, 1, 2], [0, 0, 0, 1]]
    # The dog of the last image has no box: the only one is on the cow.
    assert found.missed.tolist() == [0, 0, 1]


def test_no_box_misses_every_object():
    found = confusion(IMAGES, {"dog": boxes([], [], [])}, 0.5)
    assert found.counts.tolist() == [[0, 0, 0, 0]] and found.missed.tolist() == [1, 1, 2]
