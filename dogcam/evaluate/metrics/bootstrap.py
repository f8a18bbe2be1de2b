"""How sure a figure is: percentile intervals over images drawn again with replacement."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from dogcam.evaluate.metrics.matching import TRUE_POSITIVE, Matches
from dogcam.evaluate.metrics.precision_recall import Variant, average_precision, envelope, ratio

_BLOCK = 64
"""How many resamples are worked on at once; it bounds the memory and changes no result."""


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with the stated confidence; both ends nan where it is not defined."""

    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval may be called one; False where it is not defined."""
        return self.low > 0 or self.high < 0


def percentile_interval(samples: ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval that leaves out equal shares of the samples at both ends (Efron 1979).

    Args:
        samples: (B,) floats; nan ones (resamples without ground truth, say) are left out.
        level: share of the samples inside, in (0, 1).
    """
    _check_level(level)
    samples = np.asarray(samples, dtype=np.float64)
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return Interval(float("nan"), float("nan"), level)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)


def resampled_ap(
    matches: Matches, variant: Variant = "all_point", *, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the average precision of every resample of the images.

    A resample draws as many images as there are, with replacement. An image that is drawn twice is two
    images, each with its own boxes; the copies of a detection stand next to each other in the ranking, which
    is otherwise that of `matches`. Two calls with the same number of images, resamples and seed draw the same
    images, so results of several methods or classes can be subtracted or averaged resample by resample.

    Args:
        matches: what `match` returned.
        variant: which average precision.
        n_resamples: B.
        seed: of the draws.

    Returns:
        (T, B) float array, a row for each of the T IoU thresholds; nan for a resample without ground truth.
    """
    boxes_per_image = ground_truth_per_image(matches)
    steps = [_RankingSteps.of(matches, threshold) for threshold in matches.iou_thresholds]
    blocks = [
        [step.average_precisions(counts, boxes_per_image @ counts, variant) for step in steps]
        for counts in image_draws(matches.n_images, n_resamples, seed)
    ]
    return np.concatenate(blocks, axis=1)


def bootstrap_ap(
    matches: Matches,
    variant: Variant = "all_point",
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Return the interval of the average precision, one for each IoU threshold of the matches.

    See `resampled_ap` for the way images are drawn.
    """
    samples = resampled_ap(matches, variant, n_resamples=n_resamples, seed=seed)
    return tuple(percentile_interval(row, level) for row in samples)


def precision_band(
    matches: Matches,
    iou_threshold: float,
    recall: ArrayLike,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of the interpolated precision at each of some recalls.

    The band is pointwise: each of its places holds with the stated confidence, not all of them at once. See
    `resampled_ap` for the way images are drawn.

    Args:
        matches: what `match` returned.
        iou_threshold: one of its thresholds.
        recall: (R,) floats in [0, 1].
        n_resamples, level, seed: how often images are drawn, the share of the resamples inside, the draws.

    Returns:
        Two (R,) float arrays in [0, 1], the lower and the upper end; nan where there is no ground truth.
    """
    _check_level(level)
    recall = np.asarray(recall, dtype=np.float64)
    boxes_per_image = ground_truth_per_image(matches)
    steps = _RankingSteps.of(matches, iou_threshold)
    blocks = [
        steps.precision_at(recall, counts, boxes_per_image @ counts)
        for counts in image_draws(matches.n_images, n_resamples, seed)
    ]
    samples = np.concatenate(blocks)
    samples = samples[~np.isnan(samples).any(axis=1)]
    if not len(samples):
        return np.full(len(recall), np.nan), np.full(len(recall), np.nan)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def bootstrap_ap_difference(
    matches: Matches,
    others: Matches,
    variant: Variant = "all_point",
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Return the interval of AP(matches) - AP(others), one for each IoU threshold.

    Both methods are measured on the same images of every resample, so what makes a draw easy or hard for both
    cancels out.

    Raises:
        ValueError: where the two were not made on as many images or for the same IoU thresholds.
    """
    if matches.n_images != others.n_images or matches.iou_thresholds != others.iou_thresholds:
        raise ValueError(
            f"{matches.n_images} images at IoU {matches.iou_thresholds} against {others.n_images} at "
            f"{others.iou_thresholds}; a paired difference needs the same images and thresholds"
        )
    ours = resampled_ap(matches, variant, n_resamples=n_resamples, seed=seed)
    theirs = resampled_ap(others, variant, n_resamples=n_resamples, seed=seed)
    return tuple(percentile_interval(row, level) for row in ours - theirs)


def resampled_sums(values: ArrayLike, *, n_resamples: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Return the sums over the images of every resample.

    Args:
        values: (..., n_images) numbers, what an image adds.
        n_resamples: B, how often the images are drawn.
        seed: of the draws, the same images as in `resampled_ap`.

    Returns:
        (..., B) float array.
    """
    values = np.asarray(values, dtype=np.float64)
    blocks = [values @ counts for counts in image_draws(values.shape[-1], n_resamples, seed)]
    return np.concatenate(blocks, axis=-1)


def resampled_ratio(
    part: ArrayLike, whole: ArrayLike, *, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return sum(part) / sum(whole) over the images of every resample.

    Args:
        part: (..., n_images) numbers, what an image adds to the numerator.
        whole: (..., n_images) numbers, what it adds to the denominator.
        n_resamples: B, how often the images are drawn.
        seed: of the draws, the same images as in `resampled_ap`.

    Returns:
        (..., B) float array; nan for a resample whose denominator is 0.

    Raises:
        ValueError: where the two have not the same shape.
    """
    sums = np.stack([np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)])
    return ratio(*resampled_sums(sums, n_resamples=n_resamples, seed=seed))


def bootstrap_ratio(
    part: ArrayLike, whole: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the interval of sum(part) / sum(whole) over the images; see `resampled_ratio`."""
    return percentile_interval(resampled_ratio(part, whole, n_resamples=n_resamples, seed=seed), level)


def bootstrap_recall(
    matches: Matches,
    iou_threshold: float,
    *,
    score_threshold: float = -np.inf,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the interval of the recall of the detections that score at least `score_threshold`."""
    found, _ = _per_image(matches, iou_threshold, score_threshold)
    whole = ground_truth_per_image(matches)
    return bootstrap_ratio(found, whole, n_resamples=n_resamples, level=level, seed=seed)


def bootstrap_f1(
    matches: Matches,
    iou_threshold: float,
    *,
    score_threshold: float,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the interval of F1 = 2 TP / (detections + boxes) at a threshold that is held fixed."""
    found, detected = _per_image(matches, iou_threshold, score_threshold)
    whole = detected + ground_truth_per_image(matches)
    return bootstrap_ratio(2 * found, whole, n_resamples=n_resamples, level=level, seed=seed)


def ground_truth_per_image(matches: Matches) -> NDArray[np.int64]:
    """Return how many boxes there were to be found in each image: (n_images,) int array."""
    return np.bincount(matches.ground_truth.image[matches.counted], minlength=matches.n_images)


@dataclass(frozen=True, eq=False)
class _RankingSteps:
    """What each image adds to the ranking on the way from one true positive to the next.

    Interpolated precision is decided at the true positives, so a resample needs only, up to each of the K of
    them, the number of detections and the number of true positives.

    Args:
        detections: (K, n_images) sparse, the detections ranked after true positive k - 1, up to k.
        image: (K,) int array, the image of true positive k.
    """

    detections: csr_array
    image: NDArray[np.int64]

    @classmethod
    def of(cls, matches: Matches, iou_threshold: float) -> "_RankingSteps":
        ranked = matches.ranked(iou_threshold)
        image = matches.detections.image[ranked]
        correct = matches.kind_at(iou_threshold)[ranked] == TRUE_POSITIVE
        step = np.cumsum(correct) - correct
        needed = step < correct.sum()
        entries = (np.ones(needed.sum()), (step[needed], image[needed]))
        return cls(csr_array(entries, shape=(correct.sum(), matches.n_images)), image[correct])

    def average_precisions(
        self, counts: NDArray[np.float64], n_ground_truth: NDArray[np.float64], variant: Variant
    ) -> NDArray[np.float64]:
        """Return the average precisions of b resamples: (b,) float array.

        Args:
            counts: (n_images, b) float array, how often each image was drawn.
            n_ground_truth: (b,) float array, how many boxes there were to be found.
            variant: which average precision.
        """
        recall, precision = self._curves(counts, n_ground_truth)
        return np.where(n_ground_truth > 0, average_precision(recall, precision, variant), np.nan)

    def precision_at(
        self,
        recall: NDArray[np.float64],
        counts: NDArray[np.float64],
        n_ground_truth: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the interpolated precision of b resamples at (R,) recalls: (b, R) float array."""
        reached, precision = self._curves(counts, n_ground_truth)
        # Beyond the largest recall that a resample reaches, its precision is 0.
        heights = np.pad(envelope(precision), ((0, 0), (0, 1)))
        places = [np.searchsorted(row, recall) for row in reached]
        values = np.take_along_axis(heights, np.array(places, dtype=np.int64), axis=1)
        return np.where(n_ground_truth[:, None] > 0, values, np.nan)

    def _curves(
        self, counts: NDArray[np.float64], n_ground_truth: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return recall and precision of b resamples at the K true positives: two (b, K) float arrays."""
        # One curve a row, contiguous: running along the rows is several times as fast as down the columns.
        detected = np.cumsum(np.ascontiguousarray((self.detections @ counts).T), axis=1)
        found = np.cumsum(np.ascontiguousarray(counts[self.image].T), axis=1)
        precision = np.divide(found, detected, out=np.zeros(found.shape), where=detected > 0)
        return ratio(found, n_ground_truth[:, None]), precision


def _per_image(
    matches: Matches, iou_threshold: float, score_threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count true positives and detections that count, at least as sure as the threshold, in each image."""
    ranked = matches.ranked(iou_threshold)
    kept = ranked[matches.detections.scores[ranked] >= score_threshold]
    correct = kept[matches.kind_at(iou_threshold)[kept] == TRUE_POSITIVE]
    found, detected = (
        np.bincount(matches.detections.image[each], minlength=matches.n_images) for each in (correct, kept)
    )
    return found, detected


def image_draws(n_images: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each image is drawn: every resample of this package draws here.

    Args:
        n_images: how many images are drawn, with replacement, from as many.
        n_resamples: B, how often.
        seed: equal arguments draw equal images.

    Yields:
        (n_images, b) float arrays, at most `_BLOCK` resamples at a time, B in all.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; expected at least 1")
    rng = np.random.default_rng(seed)
    for start in range(0, n_resamples, _BLOCK):
        size = min(_BLOCK, n_resamples - start)
        drawn = rng.integers(max(n_images, 1), size=(size, n_images))
        # One bincount for the whole block: resample j of image i is counted in cell i * size + j.
        cells = (drawn * size + np.arange(size)[:, None]).ravel()
        yield np.bincount(cells, minlength=n_images * size).reshape(n_images, size).astype(np.float64)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a share in (0, 1), such as 0.95")
