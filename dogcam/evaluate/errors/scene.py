"""Overlaps of all detections of an image at the operating point with all of its objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import Matches
from dogcam.structures.boxes import area, intersection, iou

MOST = 2 / 3
"""Least share of an area that counts as most of it. Two boxes that contain most of each other have an IoU of
at least `1 / (2 / MOST - 1)`, one half, so up to this IoU threshold such a box is no false positive."""

HALF = 0.5
"""Least share of an object that counts it as one of several in a merged box."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The kept detections of one image in rank order (rows), against its objects (columns).

    Attributes:
        claims: (rows,) bool array, whether the IoU of the detection with an object exceeds `iou_threshold`:
            it is a true positive, a duplicate, or ignored.
        covered, inside, iou: (rows, columns) float arrays, overlaps of the boxes.
    """

    matches: Matches
    iou_threshold: float
    image: int
    detections: NDArray[np.int64]
    objects: NDArray[np.int64]
    claims: NDArray[np.bool_]
    covered: NDArray[np.float64]
    inside: NDArray[np.float64]
    iou: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        matches: Matches,
        iou_threshold: float,
        image: int,
        detections: NDArray[np.int64],
        objects: NDArray[np.int64],
    ) -> "Scene":
        """Measure the overlaps of detections and objects of an image, both given by indices."""
        boxes, true_boxes = matches.detections.boxes[detections], matches.ground_truth.boxes[objects]
        shared = intersection(boxes, true_boxes)
        # The IoU of a box without area is 0 / 1, not 0 / 0.
        covered = shared / np.where(shared > 0, area(true_boxes)[None, :], 1.0)
        inside = shared / np.where(shared > 0, area(boxes)[:, None], 1.0)
        claims = matches.best_iou[detections] > iou_threshold
        overlap = iou(boxes, true_boxes)
        return cls(matches, iou_threshold, image, detections, objects, claims, covered, inside, overlap)

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """(rows, columns): whether the box covers most of the object."""
        return self.covered >= MOST

    @cached_property
    def shares(self) -> NDArray[np.bool_]:
        """(rows, columns): whether the box covers at least half of the object."""
        return self.covered >= HALF

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """(rows, columns): whether most of the box is inside the object."""
        return self.inside >= MOST

    def box(self, row: int) -> NDArray[np.float64]:
        """Return the box of a row: (4,) float array, xyxy in pixels."""
        return self.matches.detections.boxes[self.detections[row]]

    def closest(self, row: int, candidates: NDArray[np.bool_]) -> int:
        """Return the column of highest IoU with a row among the candidates, the first of several."""
        return int(np.argmax(np.where(candidates, self.iou[row], -1.0)))


def kept_detections(matches: Matches, score_threshold: float) -> NDArray[np.int64]:
    """Return the detections of an operating point in rank order."""
    return matches.order[matches.detections.scores[matches.order] >= score_threshold]


def scenes(matches: Matches, iou_threshold: float, score_threshold: float) -> Iterator[Scene]:
    """Yield each image that has kept detections (in rank order) or counted objects."""
    kept, counted = kept_detections(matches, score_threshold), np.flatnonzero(matches.counted)
    detections = _by_image(kept, matches.detections.image)
    objects = _by_image(counted, matches.ground_truth.image)
    none = np.zeros(0, dtype=np.int64)
    for image in sorted(detections.keys() | objects.keys()):
        here = detections.get(image, none), objects.get(image, none)
        yield Scene.of(matches, iou_threshold, image, *here)


def _by_image(indices: NDArray[np.int64], image: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Group indices by their image; the order within an image is kept."""
    grouped = indices[np.argsort(image[indices], kind="stable")]
    images, starts = np.unique(image[grouped], return_index=True)
    return dict(zip(images.tolist(), np.split(grouped, starts[1:]), strict=False))
