"""Similarity of two maps: rank correlation and SSIM."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from dogcam.detection.boxes_from_maps import Map, normalise

WINDOW = 7
"""Side of the window of SSIM in cells; on smaller maps, the largest odd number that fits."""

_C1, _C2 = 0.01**2, 0.03**2
"""The constants of SSIM for values in [0, 1], its authors' K1 and K2 squared."""


def spearman(ours: Map, theirs: Map) -> float:
    """Return the Spearman rank correlation of two maps over their spatial positions, with mean ranks for
    ties.

    Args:
        ours: (h, w) float array.
        theirs: (h, w) float array.

    Returns:
        A number in [-1, 1]; nan if a map is constant, such as an empty map.
    """
    # Imported late: it takes as long as torch, and most commands do without.
    from scipy.stats import rankdata

    ranks = rankdata(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).sum(axis=1).prod())
    return float(centred[0] @ centred[1] / scale) if scale > 0 else float("nan")


def ssim(ours: Map, theirs: Map) -> float:
    """Return the mean structural similarity of two maps, each normalised (Wang et al. 2004, equation 13).

        SSIM = (2 m1 m2 + C1) (2 s12 + C2) / ((m1^2 + m2^2 + C1) (s1^2 + s2^2 + C2))

    with means, variances and covariance over square windows, averaged over all windows inside the map.

    Args:
        ours: (h, w) float array.
        theirs: (h, w) float array.

    Returns:
        A number in [-1, 1], 1 for equal maps; nan if a map has no positive value.
    """
    a, b = (normalise(map_).astype(np.float64) for map_ in (ours, theirs))
    if not a.any() or not b.any():
        return float("nan")
    shorter = min(WINDOW, *a.shape)
    side = shorter - (shorter + 1) % 2
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = (
        _window_means(values, side) for values in (a, b, a * a, b * b, a * b)
    )
    spread = mean_aa - mean_a**2 + mean_bb - mean_b**2
    shared = mean_ab - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return float((brightness * (2 * shared + _C2) / (spread + _C2)).mean())


def _window_means(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    margin = side // 2
    inner = tuple(slice(margin, length - margin) for length in values.shape)
    return uniform_filter(values, side)[inner]
