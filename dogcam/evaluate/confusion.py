"""Which objects the boxes of each class are on: the confusion matrix of a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.structures.boxes import iou
from dogcam.structures.detections import Detections
from dogcam.structures.images import LabelledImage


@dataclass(frozen=True, eq=False)
class Confusion:
    """Boxes by their class and by the class of the object that they are on.

    Attributes:
        detected: K names, the classes of the boxes.
        annotated: C names, the classes of the objects.
        counts: (K, C + 1) int array, number of boxes; the last column is for boxes on no object.
        missed: (C,) int array, number of objects that no box of any class is on.
    """

    detected: tuple[str, ...]
    annotated: tuple[str, ...]
    counts: NDArray[np.int64]
    missed: NDArray[np.int64]


def confusion(
    images: Sequence[LabelledImage], detections: Mapping[str, Detections], iou_threshold: float
) -> Confusion:
    """Count on which objects the boxes of each class are.

    A box is on the object of any class with which it has the highest IoU, the first of several, if that IoU
    exceeds the threshold. Boxes are not matched one to one: two boxes may be on one object.

    Args:
        images: N annotated images.
        detections: for each class its boxes in these images, usually those at its operating point.
        iou_threshold: number in [0, 1).
    """
    annotated = tuple(sorted({thing.name for image in images for thing in image.objects}))
    place = {name: column for column, name in enumerate(annotated)}
    counts = np.zeros((len(detections), len(annotated) + 1), dtype=np.int64)
    free = [np.ones(len(image.objects), dtype=bool) for image in images]
    for row, found in enumerate(detections.values()):
        for index in np.unique(found.image):
            objects = images[index].objects
            boxes = found.boxes[found.image == index]
            if not objects:
                counts[row, -1] += len(boxes)
                continue
            overlaps = iou(boxes, np.array([thing.box for thing in objects]))
            best = overlaps.argmax(axis=1)
            on = overlaps[np.arange(len(boxes)), best] > iou_threshold
            free[index][best[on]] = False
            counts[row, -1] += int((~on).sum())
            np.add.at(counts[row], [place[objects[each].name] for each in best[on]], 1)
    missed = np.zeros(len(annotated), dtype=np.int64)
    for image, alone in zip(images, free, strict=True):
        np.add.at(missed, [place[image.objects[each].name] for each in np.flatnonzero(alone)], 1)
    return Confusion(tuple(detections), annotated, counts, missed)
