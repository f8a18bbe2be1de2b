"""Localisation in images that are known to show the class: CorLoc."""

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics.bootstrap import Interval, bootstrap_ratio, ground_truth_per_image
from dogcam.evaluate.metrics.matching import Matches
from dogcam.evaluate.metrics.proportion import Proportion


def corloc(matches: Matches, iou_threshold: float = 0.5) -> Proportion:
    """Count the positive images whose best-scoring box is on the object (Deselaers et al. 2012).

    Args:
        matches: what `match` returned; only its ranking and its overlaps are used, so any threshold may be
            asked for.
        iou_threshold: what the IoU with the box that it overlaps most must exceed, strictly, as in matching;
            that box must be one that counts.

    Returns:
        The number of such images, and of all images that hold a box; a positive image without any detection
        is a failure.
    """
    located, positive = _located(matches, iou_threshold)
    return Proportion(int(located.sum()), int(positive.sum()))


def bootstrap_corloc(
    matches: Matches,
    iou_threshold: float = 0.5,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the interval of CorLoc; see `resampled_ap` for the way images are drawn."""
    located, positive = _located(matches, iou_threshold)
    return bootstrap_ratio(located, positive, n_resamples=n_resamples, level=level, seed=seed)


def _located(matches: Matches, iou_threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each image whether its best-scoring box is right, and whether there was one to be found."""
    positive = ground_truth_per_image(matches) > 0
    image = matches.detections.image[matches.order]
    images, first = np.unique(image, return_index=True)
    top = matches.order[first]
    right = (matches.best_iou[top] > iou_threshold) & np.append(matches.counted, False)[matches.best[top]]
    located = np.zeros(matches.n_images, dtype=bool)
    located[images] = right
    return located, positive
