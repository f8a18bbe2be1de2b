"""Localisation in images that are known to show the class: CorLoc."""

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.bootstrap import ground_truth_per_image
from dogcam.evaluate.metrics.matching import Matches


def located(matches: Matches, iou_threshold: float = 0.5) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each image whether its top-scoring box is on an object, and whether it has one.

    CorLoc (Deselaers et al. 2012) is the first over the second; `Resampler.ratio(*located(matches))`
    returns its interval. A positive image without any detection is a failure.

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
