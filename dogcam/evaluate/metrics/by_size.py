"""Average precision of the objects of one size only."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.matching import FALSE_POSITIVE, IGNORED, Difficult, Matches, match
from dogcam.structures.boxes import area
from dogcam.structures.detections import Detections, GroundTruth


def match_of_size(
    ground_truth: GroundTruth,
    detections: Detections,
    image_areas: NDArray[np.float64],
    low: float,
    high: float,
    iou_thresholds: Sequence[float],
    *,
    difficult: Difficult = "counted",
) -> Matches:
    """Match detections to the objects whose share of their image is in [low, high).

    As in COCO, objects of other sizes are ignored together with the detections that claim them, and a false
    positive counts only if its own size is in the range. Matching itself is that of `match`.

    Args:
        ground_truth: M boxes.
        detections: N boxes with scores.
        image_areas: (n_images,) float array, in pixels.
        low, high: ends of the range, as shares of the area of the image; `high` may be infinite.
        iou_thresholds: T numbers in [0, 1).
        difficult: as for `match`; objects that are ignored or absent there are ignored here.

    Returns:
        The matches; objects of other sizes are not counted.
    """
    out = ~_inside(ground_truth, image_areas, low, high)
    marked = np.asarray(ground_truth.difficult)
    ignored = out if difficult == "counted" else out | marked
    only = replace(ground_truth, difficult=ignored)
    found = match(only, detections, iou_thresholds, difficult="ignored")
    elsewhere = (found.kind == FALSE_POSITIVE) & ~_inside(detections, image_areas, low, high)
    kind = np.where(elsewhere, IGNORED, found.kind).astype(np.int8)
    return replace(found, kind=kind)


def _inside(
    boxes: GroundTruth | Detections, image_areas: NDArray[np.float64], low: float, high: float
) -> NDArray[np.bool_]:
    share = area(boxes.boxes) / image_areas[boxes.image]
    return (low <= share) & (share < high)
