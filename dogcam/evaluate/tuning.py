"""Choose one of several candidates on images, and measure the choice on images that had no part in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import match, precision_recall
from dogcam.structures.defaults import IOU_THRESHOLDS
from dogcam.structures.detections import Detections, GroundTruth


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The result of a choice that is cross-validated by image.

    Attributes:
        ap: (K, T) float array, the AP of each candidate on all images at each IoU threshold.
        best: index of the candidate with the highest mean AP on all images, the first of equals.
        chosen: for each fold the index of the candidate that is best on the other folds.
        held_out: for each image the detections of the candidate that was chosen without that image.
        held_out_ap: (T,) float array, the AP of `held_out`.
    """

    ap: NDArray[np.float64]
    best: int
    chosen: tuple[int, ...]
    held_out: Detections
    held_out_ap: NDArray[np.float64]


def cross_validate(
    truth: GroundTruth,
    candidates: Sequence[Detections],
    *,
    folds: int = 5,
    seed: int = 0,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> CrossValidation:
    """Choose the candidate with the highest mean AP, on all images and without each fold of them.

    Args:
        truth: the objects of n images.
        candidates: K sets of detections on the same images.
        folds: parts of the images, drawn at random, at least 2 and at most n.
        seed: of the draw.
        iou_thresholds: T numbers in [0, 1).

    Raises:
        ValueError: if there is no candidate, or the number of folds is out of range.
    """
    if not candidates or not 2 <= folds <= truth.n_images:
        raise ValueError(
            f"{len(candidates)} candidates, {folds} folds and {truth.n_images} images; expected at least one "
            "candidate, and from 2 folds to as many as there are images"
        )
    fold = np.random.default_rng(seed).permutation(truth.n_images) % folds
    ap = np.array([_ap(truth, each, iou_thresholds) for each in candidates])
    chosen, parts = [], []
    for number in range(folds):
        others = fold != number
        rest = _truth_of(truth, others)
        means = [_ap(rest, _of_images(each, others), iou_thresholds).mean() for each in candidates]
        chosen.append(_best(np.array(means)))
        parts.append(_kept(candidates[chosen[-1]], ~others))
    held_out = Detections(
        np.concatenate([each.image for each in parts]),
        np.concatenate([each.boxes for each in parts]),
        np.concatenate([each.scores for each in parts]),
    )
    held_out_ap = _ap(truth, held_out, iou_thresholds)
    return CrossValidation(ap, _best(ap.mean(axis=1)), tuple(chosen), held_out, held_out_ap)


def _best(scores: NDArray[np.float64]) -> int:
    """Return the index of the highest score; a nan, from images without objects, is the lowest."""
    return int(np.argmax(np.nan_to_num(scores, nan=-1.0)))


def _ap(truth: GroundTruth, found: Detections, iou_thresholds: Sequence[float]) -> NDArray[np.float64]:
    matches = match(truth, found, iou_thresholds)
    return np.array([precision_recall(matches, each).average_precision() for each in matches.iou_thresholds])


def _kept(found: Detections, images: NDArray[np.bool_]) -> Detections:
    keep = images[found.image]
    return Detections(found.image[keep], found.boxes[keep], found.scores[keep])


def _of_images(found: Detections, images: NDArray[np.bool_]) -> Detections:
    kept = _kept(found, images)
    return Detections(_new_indices(images)[kept.image], kept.boxes, kept.scores)


def _truth_of(truth: GroundTruth, images: NDArray[np.bool_]) -> GroundTruth:
    keep = images[truth.image]
    difficult = np.asarray(truth.difficult)[keep]
    return GroundTruth(
        _new_indices(images)[truth.image[keep]], truth.boxes[keep], difficult, int(images.sum())
    )


def _new_indices(images: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.cumsum(images) - 1
