"""Localisation in images that are known to show the class: CorLoc."""

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.bootstrap import ground_truth_per_image
from dogcam.evaluate.metrics.matching import Matches
from dogcam.evaluate.metrics.proportion import Proportion


def corloc(matches: Matches, iou_threshold: float = 0.5) -> Proportion:
    """Count the positive images whose best-scored box is on an object (Deselaers et al. 2012).

    Returns:
        The number of correctly localised images, and of all images that hold a box. A positive image without
        any detection is a failure. Its interval: `Resampler.ratio(*located(matches))`.
    """
    right, positive = located(matches, iou_threshold)
    return Proportion(int(right.sum()), int(positive.sum()))


def located(matches: Matches, iou_threshold: float = 0.5) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each image whether its best-scored box is on an object, and whether it holds one.

    Args:
        matches: the result of `match`; only its ranking and its overlaps are used, so any threshold is valid.
        iou_threshold: the IoU with the box that it overlaps most must exceed it, strictly, as in matching;
            that box must be one that counts.

    Returns:
        Two (n_images,) bool arrays.
    """
    positive = ground_truth_per_image(matches) > 0
    image = matches.detections.image[matches.order]
    images, first = np.unique(image, return_index=True)
    top = matches.order[first]
    right = (matches.best_iou[top] > iou_threshold) & np.append(matches.counted, False)[matches.best[top]]
    found = np.zeros(matches.n_images, dtype=bool)
    found[images] = right
    return found, positive
