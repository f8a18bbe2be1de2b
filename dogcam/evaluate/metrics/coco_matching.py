"""COCO's matching: a detection takes the best ground-truth box that is free, and crowds take any number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.matching import (
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Matches,
    best_overlaps,
    require_thresholds,
)
from dogcam.structures.boxes import area, intersection
from dogcam.structures.detections import Detections, GroundTruth, check_images

MAX_DETECTIONS = 100
"""Of an image, the ones with the highest scores; the others are ignored."""


def match_coco(
    ground_truth: GroundTruth,
    detections: Detections,
    iou_thresholds: Sequence[float],
    ignored: NDArray[np.bool_] | None = None,
) -> Matches:
    """Match detections to ground truth as pycocotools does.

    In each image, by descending score, a detection takes the box with the highest IoU among those that are
    free, if that IoU is at least the threshold. Ignored boxes are taken only if no other fits; neither they
    nor their detections count. The overlap with a crowd is divided by the detection's own area.

    Args:
        ground_truth: M boxes.
        detections: N boxes with scores; equal scores keep their order.
        iou_thresholds: T numbers in (0, 1].
        ignored: (M,) bool array, boxes that do not count; by default the crowds.

    Raises:
        ValueError: for a threshold outside (0, 1], or an image index out of range.
    """
    thresholds = tuple(float(value) for value in iou_thresholds)
    require_thresholds(thresholds, at_least=True)
    check_images(detections.image, ground_truth.n_images)
    crowd = np.asarray(ground_truth.crowd)
    out = crowd if ignored is None else ignored | crowd
    # Image by image, and by score within an image: the order that pycocotools keeps among equal scores.
    order = np.argsort(detections.image, kind="stable")
    order = order[np.argsort(-detections.scores[order], kind="stable")]
    kind = np.full((len(thresholds), len(detections)), FALSE_POSITIVE, dtype=np.int8)
    n_images = ground_truth.n_images
    found, there = by_image(detections.image, order, n_images), np.argsort(out, kind="stable")
    for here, truth in zip(found, by_image(ground_truth.image, there, n_images), strict=True):
        kind[:, here[MAX_DETECTIONS:]] = IGNORED
        here = here[:MAX_DETECTIONS]
        overlaps = _overlaps(detections.boxes[here], ground_truth.boxes[truth], crowd[truth])
        for row, threshold in zip(kind, thresholds, strict=True):
            row[here] = _kinds(overlaps, out[truth], crowd[truth], min(threshold, 1 - 1e-10))
    best, best_iou = best_overlaps(ground_truth, detections, np.arange(len(ground_truth)), True)
    return Matches(ground_truth, detections, thresholds, order, best, best_iou, kind, ~out)


def by_image(image: NDArray[np.int64], order: NDArray[np.int64], n_images: int) -> list[NDArray[np.int64]]:
    """Return the part of an order that belongs to each image: (K_i,) int arrays, n_images of them."""
    grouped = order[np.argsort(image[order], kind="stable")]
    return np.split(grouped, np.searchsorted(image[grouped], np.arange(1, n_images)))


def _overlaps(
    boxes: NDArray[np.float64], truth: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    shared, own = intersection(boxes, truth), area(boxes)[:, None]
    union = np.where(crowd, own, own + area(truth) - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _kinds(
    overlaps: NDArray[np.float64], ignored: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> NDArray[np.int8]:
    """Return the kinds of one image's detections; counted boxes come before ignored ones."""
    kinds = np.full(len(overlaps), FALSE_POSITIVE, dtype=np.int8)
    free = np.ones(len(ignored), dtype=bool)
    for detection, row in enumerate(overlaps):
        for group, kind in ((~ignored, TRUE_POSITIVE), (ignored, IGNORED)):
            fits = np.flatnonzero(group & (free | crowd) & (row >= threshold))
            if len(fits):
                # The last of several equal ones, as pycocotools.
                taken = fits[len(fits) - 1 - np.argmax(row[fits][::-1])]
                free[taken] = False
                kinds[detection] = kind
                break
    return kinds
