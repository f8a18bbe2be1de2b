"""Compare two classifiers on the same images: classification AP and detection AP, with paired intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dogcam.data.image_cache import label_matrix
from dogcam.errors import DataError
from dogcam.evaluate.classification import class_ap, resampled_by_class
from dogcam.evaluate.metrics import Interval, Matches, Resampler, match, mean_over_classes, precision_recall
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import LabelledImage


@dataclass(frozen=True)
class ApDifference:
    """The average precision of two classifiers, and their difference.

    Attributes:
        ap, other_ap: average precision of the first and of the second, in [0, 1].
        interval: paired bootstrap interval of the difference, first minus second.
    """

    ap: float
    other_ap: float
    interval: Interval

    @property
    def difference(self) -> float:
        """The first minus the second."""
        return self.ap - self.other_ap


@dataclass(frozen=True)
class RankingDifference:
    """Difference of the classification AP of two classifiers over their common classes.

    Attributes:
        classes: by name, for each class that occurs.
        mean: of the mean over the classes.
    """

    classes: dict[str, ApDifference]
    mean: ApDifference


@dataclass(frozen=True)
class Ranking:
    """Scores that rank N images by C classes.

    Attributes:
        classes: C names.
        scores: (N, C) float tensor, logits for example.
    """

    classes: Sequence[str]
    scores: Tensor


def require_shown(images: Sequence[LabelledImage], target: str) -> None:
    """Verify that at least one image shows a class.

    Raises:
        DataError: if none does.
    """
    if not any(len(image.boxes_of(target)) for image in images):
        raise DataError(f"none of the {len(images)} images shows a {target}; name another split or class")


def compare_boxes(
    images: Sequence[LabelledImage],
    target: str,
    detections: Detections,
    others: Detections,
    iou_thresholds: Sequence[float],
    resampler: Resampler,
) -> dict[float, ApDifference]:
    """Compare two sets of boxes on the same images by all-point AP, for each IoU threshold.

    Args:
        images: annotated images; difficult objects count.
        target: the class.
        detections, others: the boxes of the first and of the second.
        iou_thresholds: the IoU that a match exceeds.
        resampler: of the same images.

    Raises:
        DataError: if no image shows the class.
    """
    truth = GroundTruth.from_images(
        [image.boxes_of(target) for image in images],
        [[thing.difficult for thing in image.objects_of(target)] for image in images],
    )
    require_shown(images, target)
    ours, theirs = (match(truth, each, iou_thresholds) for each in (detections, others))
    intervals = resampler.ap_difference(ours, theirs)
    return {
        iou: ApDifference(_ap(ours, iou), _ap(theirs, iou), interval)
        for iou, interval in zip(iou_thresholds, intervals, strict=True)
    }


def _ap(matches: Matches, iou: float) -> float:
    return float(precision_recall(matches, iou).average_precision())


def compare_rankings(
    images: Sequence[LabelledImage],
    first: Ranking,
    second: Ranking,
    resampler: Resampler,
) -> RankingDifference:
    """Compare the classification AP of two classifiers on the same images, for their common classes.

    Args:
        images: annotated images.
        first, second: the scores of both classifiers for them.
        resampler: of the same images.
    """
    classes = [name for name in first.classes if name in second.classes]
    labels = label_matrix(images, classes)
    scores = [each.scores[:, [each.classes.index(name) for name in classes]] for each in (first, second)]
    aps = [class_ap(labels, each, classes) for each in scores]
    samples = [resampled_by_class(labels, each, classes, resampler) for each in scores]
    gaps = {name: samples[0][name] - samples[1][name] for name in samples[0]}
    mean, other_mean = (float(np.mean(list(each.values()))) for each in aps)
    return RankingDifference(
        {
            name: ApDifference(aps[0][name], aps[1][name], resampler.interval(gap))
            for name, gap in gaps.items()
        },
        ApDifference(mean, other_mean, resampler.interval(mean_over_classes(list(gaps.values())))),
    )
