"""The average precision of a ranking of images, as scikit-learn defines it, for many weightings at once."""

import numpy as np
from numpy.typing import NDArray


def ranking_ap(
    labels: NDArray[np.float64], scores: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision of a ranking in which each image is repeated.

    It is not interpolated, and equal scores are one step, as in scikit-learn.

    Args:
        labels: (N,) float array, 1 if an image shows the class, else 0.
        scores: (N,) float array.
        counts: (N, b) float array, how often each image occurs in each of b data sets.

    Returns:
        (b,) float array in [0, 1]; nan for a data set that does not show the class.
    """
    order = np.argsort(-scores, kind="stable")
    positive, ranked = labels[order, None], scores[order]
    # A step of the ranking ends behind the last of several equal scores.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    seen = np.cumsum(counts[order], axis=0)[ends]
    found = np.cumsum(counts[order] * positive, axis=0)[ends]
    precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
    total = found[-1] if len(found) else np.zeros(counts.shape[1])
    area = (np.diff(found, axis=0, prepend=0.0) * precision).sum(axis=0)
    return np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)
