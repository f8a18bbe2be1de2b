"""How well scores rank photographs: the average precision of a ranking, as scikit-learn has it, resampled."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.evaluate.metrics.bootstrap import image_draws


def resampled_ranking_ap(
    labels: ArrayLike, scores: ArrayLike, *, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the average precision of a ranking in every resample of the photographs.

    It is not interpolated, and equal scores are one step: scikit-learn's.

    Args:
        labels: (N,) numbers, 1 where a photograph shows the class, else 0.
        scores: (N,) numbers.
        n_resamples: B.
        seed: of the draws, the same photographs as in `resampled_ap`.

    Returns:
        (B,) float array; nan for a resample that does not show the class.
    """
    scores = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    positive = np.asarray(labels, dtype=np.float64)[order, None]
    ranked = scores[order]
    # A step of the ranking ends behind the last of several equal scores.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    samples = []
    for counts in image_draws(len(scores), n_resamples, seed):
        seen = np.cumsum(counts[order], axis=0)[ends]
        found = np.cumsum(counts[order] * positive, axis=0)[ends]
        precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
        total = found[-1] if len(found) else np.zeros(counts.shape[1])
        area = (np.diff(found, axis=0, prepend=0.0) * precision).sum(axis=0)
        samples.append(np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0))
    return np.concatenate(samples)
