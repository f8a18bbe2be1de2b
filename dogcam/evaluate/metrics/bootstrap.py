"""Bootstrap confidence intervals: images are resampled with replacement, once for every number of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.evaluate.metrics.estimates import Interval, check_level, percentile_interval, tails
from dogcam.evaluate.metrics.matching import TRUE_POSITIVE, Matches
from dogcam.evaluate.metrics.precision_recall import Variant, average_precision, envelope, ratio
from dogcam.evaluate.metrics.ranking import ranking_ap
from dogcam.structures.defaults import CONFIDENCE_LEVEL, N_RESAMPLES

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BLOCK = 64
"""Resamples that are computed at once; this bounds the memory and changes no result."""

_MOST_HELD = 2**27
"""Draws that a resampler keeps, 2 bytes each; it generates larger sets again for each number."""


@dataclass(frozen=True)
class Resampler:
    """The resamples of a set of images, and the intervals that follow from them.

    A resample draws as many images as there are, with replacement. An image that is drawn twice counts as two
    images with their own boxes; copies of a detection are adjacent in the ranking. Two resamplers with the
    same number of images, resamples and seed draw the same images. Differences between methods are therefore
    paired: subtract their samples, and take the `interval` of the result.

    Attributes:
        n_images: number of images, at least 0.
        n_resamples: B, at least 1.
        level: confidence level of the intervals, in (0, 1).
        seed: seed of the draws.

    Raises:
        ValueError: if a setting is out of range, or arrays or matches have another number of images.

    >>> Resampler(4, n_resamples=200).ratio([1, 0, 1, 1], [1, 1, 1, 1])
    Interval(low=0.25, high=1.0, level=0.95)
    """

    n_images: int
    n_resamples: int = N_RESAMPLES
    level: float = CONFIDENCE_LEVEL
    seed: int = 0

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.n_resamples < 1:
            raise ValueError(f"n_resamples is {self.n_resamples}; expected at least 1")

    def draws(self) -> Iterator[NDArray[np.float64]]:
        """Yield how often each image is drawn: (n_images, b) float arrays, B columns in all."""
        for counts in self._held if self._holds else self._drawn():
            yield counts.astype(np.float64)

    @property
    def _holds(self) -> bool:
        return self.n_images * self.n_resamples <= _MOST_HELD

    @cached_property
    def _held(self) -> list[NDArray[np.uint16]]:
        return list(self._drawn())

    def _drawn(self) -> Iterator[NDArray[np.uint16]]:
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_resamples, _BLOCK):
            size = min(_BLOCK, self.n_resamples - start)
            drawn = rng.integers(max(self.n_images, 1), size=(size, self.n_images))
            # One bincount for the whole block: resample j of image i is counted in cell i * size + j.
            cells = (drawn * size + np.arange(size)[:, None]).ravel()
            counts = np.bincount(cells, minlength=self.n_images * size)
            yield counts.reshape(self.n_images, size).astype(np.uint16)

    def interval(self, samples: ArrayLike) -> Interval:
        """Return the percentile interval of (B,) samples; nan samples are ignored."""
        return percentile_interval(samples, self.level)

    def sums(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the sums of (..., n_images) numbers over the images of each resample: (..., B) floats."""
        values = np.asarray(values, dtype=np.float64)
        self._require(values.shape[-1])
        return np.concatenate([values @ counts for counts in self.draws()], axis=-1)

    def ratio_samples(self, part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
        """Return sum(part) / sum(whole) over the images of each resample.

        Args:
            part: (..., n_images) numbers, what each image adds to the numerator.
            whole: (..., n_images) numbers, what it adds to the denominator.

        Returns:
            (..., B) float array; nan for a resample whose denominator is 0.
        """
        sums = np.stack([np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)])
        return ratio(*self.sums(sums))

    def ratio(self, part: ArrayLike, whole: ArrayLike) -> Interval:
        """Return the interval of sum(part) / sum(whole) of (n_images,) numbers."""
        return self.interval(self.ratio_samples(part, whole))

    def ap_samples(self, matches: Matches, variant: Variant = "all_point") -> NDArray[np.float64]:
        """Return the average precision of each resample.

        Returns:
            (T, B) float array, a row for each IoU threshold; nan for a resample without ground truth.
        """
        self._require(matches.n_images)
        boxes = ground_truth_per_image(matches)
        steps = [_RankingSteps.of(matches, threshold) for threshold in matches.iou_thresholds]
        blocks = [
            [step.average_precisions(counts, boxes @ counts, variant) for step in steps]
            for counts in self.draws()
        ]
        return np.concatenate(blocks, axis=1)

    def ap(self, matches: Matches, variant: Variant = "all_point") -> tuple[Interval, ...]:
        """Return the interval of the average precision, one for each IoU threshold of the matches."""
        return tuple(map(self.interval, self.ap_samples(matches, variant)))

    def ap_difference(
        self, matches: Matches, others: Matches, variant: Variant = "all_point"
    ) -> tuple[Interval, ...]:
        """Return the interval of AP(matches) - AP(others), one for each IoU threshold.

        Raises:
            ValueError: if the two differ in their number of images or their IoU thresholds.
        """
        if matches.iou_thresholds != others.iou_thresholds:
            raise ValueError(
                f"the matches have the IoU thresholds {matches.iou_thresholds} and {others.iou_thresholds}; "
                "a paired difference needs the same thresholds"
            )
        samples = self.ap_samples(matches, variant) - self.ap_samples(others, variant)
        return tuple(map(self.interval, samples))

    def recall(self, matches: Matches, iou_threshold: float, score_threshold: float = -np.inf) -> Interval:
        """Return the interval of the recall of the detections with at least this score."""
        found, _ = counts_per_image(matches, iou_threshold, score_threshold)
        return self.ratio(found, ground_truth_per_image(matches))

    def precision(self, matches: Matches, iou_threshold: float, score_threshold: float) -> Interval:
        """Return the interval of the precision at a fixed score threshold."""
        return self.ratio(*counts_per_image(matches, iou_threshold, score_threshold))

    def f1(self, matches: Matches, iou_threshold: float, score_threshold: float) -> Interval:
        """Return the interval of F1 = 2 TP / (detections + boxes) at a fixed score threshold."""
        found, detected = counts_per_image(matches, iou_threshold, score_threshold)
        return self.ratio(2 * found, detected + ground_truth_per_image(matches))

    def precision_band(
        self, matches: Matches, iou_threshold: float, recall: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pointwise interval of the interpolated precision at some recalls.

        Args:
            matches: the result of `match`.
            iou_threshold: one of its thresholds.
            recall: (R,) floats in [0, 1].

        Returns:
            Two (R,) float arrays in [0, 1], the lower and the upper end; nan without ground truth.
        """
        self._require(matches.n_images)
        recall = np.asarray(recall, dtype=np.float64)
        boxes = ground_truth_per_image(matches)
        steps = _RankingSteps.of(matches, iou_threshold)
        samples = np.concatenate(
            [steps.precision_at(recall, counts, boxes @ counts) for counts in self.draws()]
        )
        samples = samples[~np.isnan(samples).any(axis=1)]
        if not len(samples):
            return np.full(len(recall), np.nan), np.full(len(recall), np.nan)
        low, high = np.quantile(samples, tails(self.level), axis=0)
        return low, high

    def ranking_ap_samples(self, labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the average precision with which scores rank the images of each resample.

        Args:
            labels: (n_images,) numbers, 1 if an image shows the class, else 0.
            scores: (n_images,) numbers.

        Returns:
            (B,) float array; nan for a resample that does not show the class.
        """
        labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        self._require(len(scores))
        return np.concatenate([ranking_ap(labels, scores, counts) for counts in self.draws()])

    def _require(self, n_images: int) -> None:
        if n_images != self.n_images:
            raise ValueError(f"the resampler draws {self.n_images} images; there are {n_images}")


def ground_truth_per_image(matches: Matches) -> NDArray[np.int64]:
    """Count the ground-truth boxes of each image that count: (n_images,) int array."""
    return np.bincount(matches.ground_truth.image[matches.counted], minlength=matches.n_images)


def counts_per_image(
    matches: Matches, iou_threshold: float, score_threshold: float = -np.inf
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, in each image, true positives and detections that are not ignored, from a score on.

    Args:
        matches: the result of `match`.
        iou_threshold: one of its thresholds.
        score_threshold: the lowest score that counts.

    Returns:
        Two (n_images,) int arrays.
    """
    ranked = matches.ranked(iou_threshold)
    kept = ranked[matches.detections.scores[ranked] >= score_threshold]
    correct = kept[matches.kind_at(iou_threshold)[kept] == TRUE_POSITIVE]
    found, detected = (
        np.bincount(matches.detections.image[each], minlength=matches.n_images) for each in (correct, kept)
    )
    return found, detected


@dataclass(frozen=True, eq=False)
class _RankingSteps:
    """What each image adds to the ranking between one true positive and the next.

    Interpolated precision depends only on the true positives. A resample therefore needs, up to each of the K
    true positives, the number of detections and the number of true positives.

    Attributes:
        detections: (K, n_images) sparse, the detections ranked after true positive k - 1, up to k.
        image: (K,) int array, the image of true positive k.
    """

    detections: "csr_array"
    image: NDArray[np.int64]

    @classmethod
    def of(cls, matches: Matches, iou_threshold: float) -> "_RankingSteps":
        # Only resampling needs scipy: a report that is rendered from its record starts without it.
        from scipy.sparse import csr_array

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
            n_ground_truth: (b,) float array, the number of ground-truth boxes.
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
        # One curve a row, contiguous: cumulative sums along rows are several times as fast as down columns.
        detected = np.cumsum(np.ascontiguousarray((self.detections @ counts).T), axis=1)
        found = np.cumsum(np.ascontiguousarray(counts[self.image].T), axis=1)
        precision = np.divide(found, detected, out=np.zeros(found.shape), where=detected > 0)
        return ratio(found, n_ground_truth[:, None]), precision


def mean_over_classes(drawn: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over the classes in every resample.

    Args:
        drawn: C arrays (B,), nan if a resample does not show the class; the mean is over the others.

    Returns:
        (B,) float array, nan if a resample shows none of the classes; (0,) without classes.
    """
    if not drawn:
        return np.zeros(0)
    shown = (~np.isnan(drawn)).sum(axis=0)
    return np.divide(np.nansum(drawn, axis=0), shown, out=np.full(len(shown), np.nan), where=shown > 0)
