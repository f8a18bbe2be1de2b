"""Localisation metrics of a heat map alone, in images that show the class (Choe et al. 2020).

Average precision mixes the errors of the classifier with those of the map. These metrics take the class as
given and measure one property of the map each: its peak, its sum, its boxes or its pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import Map, components_of_heat
from dogcam.evaluate.metrics import Estimate, Resampler, estimate
from dogcam.structures.boxes import Boxes, iou

BOX_CAM_THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""The thresholds of MaxBoxAcc: every twentieth of a map's peak."""

STRICT_IOU = 0.5
IOU_LEVELS = (0.3, 0.5, 0.7)
"""The overlaps of MaxBoxAcc and of MaxBoxAccV2."""

POINTING_TOLERANCE = 15
"""The distance from a box, in pixels, up to which a peak counts as on it (Zhang et al. 2016)."""

LEVELS = 256
"""Number of score levels of PxAP."""


@dataclass(frozen=True, eq=False)
class MapScores:
    """The measurements of one map, in an image that shows the class.

    Attributes:
        points: whether the peak lies on an object or within `POINTING_TOLERANCE` pixels of one.
        energy: share of the map's total activation inside the boxes, in [0, 1]; 0 for an empty map.
        largest: (T,) float array, for each of `BOX_CAM_THRESHOLDS` the IoU of the box around the largest
            component with the object that it overlaps most.
        any_component: (T,) float array, the best such IoU over all components.
        chosen: as `largest`, at the threshold that was chosen on other images.
        pixels: (2, LEVELS) int array, how many pixels off and on the object have each level, from 0 to the
            peak; all 0 without a mask.
    """

    points: bool
    energy: float
    largest: NDArray[np.float64]
    any_component: NDArray[np.float64]
    chosen: float
    pixels: NDArray[np.int64]


def score_map(
    heat: Map, boxes: Boxes, cam_threshold: float, mask: NDArray[np.uint8] | None = None
) -> MapScores:
    """Measure a heat map against the objects of its image.

    Args:
        heat: (height, width) float array in [0, 1], from `dogcam.detection.boxes_from_maps.heat_map`.
        boxes: (M, 4) float array, xyxy in pixels, M >= 1, the objects of the class.
        cam_threshold: a threshold that was chosen on other images, in (0, 1).
        mask: (height, width) array, 1 on the objects, 0 off them, any other value is ignored; or None.
    """
    largest, any_component = _overlaps(heat, boxes, [*BOX_CAM_THRESHOLDS, cam_threshold])
    return MapScores(
        points_at(heat, boxes),
        energy_inside(heat, boxes),
        largest[:-1],
        any_component[:-1],
        float(largest[-1]),
        _pixels(heat, mask),
    )


def points_at(heat: Map, boxes: Boxes, tolerance: float = POINTING_TOLERANCE) -> bool:
    """Return whether the map's peak is on an object: the pointing game (Zhang et al. 2016).

    Args:
        heat: (height, width) float array; a map that is 0 everywhere has no peak. The mean position of
            several peaks counts.
        boxes: (M, 4) float array, xyxy in pixels.
        tolerance: the distance from a box, in pixels, up to which the peak counts as on it.
    """
    peak = heat.max(initial=0.0)
    if peak <= 0:
        return False
    # The middle of a pixel is half a pixel into it.
    y, x = np.argwhere(heat == peak).mean(axis=0) + 0.5
    x0, y0, x1, y1 = boxes.T
    distance = np.maximum(np.maximum(x0 - x, x - x1), np.maximum(y0 - y, y - y1))
    return bool((distance <= tolerance).any())


def energy_inside(heat: Map, boxes: Boxes) -> float:
    """Return the share of a map's sum inside the boxes: the energy-based pointing game (Wang et al. 2020)."""
    total = heat.sum(dtype=np.float64)
    if total <= 0:
        return 0.0
    inside = np.zeros(heat.shape, dtype=bool)
    for x0, y0, x1, y1 in boxes.round().astype(int):
        inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return float(heat[inside].sum(dtype=np.float64) / total)


def centre_map(size: tuple[int, int], spread: float = 0.25) -> Map:
    """Return a Gaussian prior at the centre of the image: the baseline that uses no network.

    Args:
        size: (height, width) in pixels.
        spread: standard deviation as a fraction of each side.

    Returns:
        (height, width) float32 array in (0, 1].
    """
    profiles = [
        np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / spread) ** 2).astype(np.float32)
        for side in size
    ]
    bell = np.outer(*profiles)
    return bell / bell.max()


Scores = Sequence[MapScores | None]
"""For each image of the data set its measurements; None for an image that does not show the class.

Such an image does not count, but it is resampled like every other."""


def pointing_game(scores: Scores, resampler: Resampler) -> Estimate:
    """Return the share of images whose map's peak is on an object."""
    return _mean([None if each is None else float(each.points) for each in scores], resampler)


def energy_pointing_game(scores: Scores, resampler: Resampler) -> Estimate:
    """Return the mean share of the map's sum inside the boxes."""
    return _mean([None if each is None else each.energy for each in scores], resampler)


def box_accuracy(scores: Scores, resampler: Resampler) -> Estimate:
    """Return the accuracy of `max_box_accuracy` at the threshold that was chosen on other images."""
    return _mean([None if each is None else float(each.chosen >= STRICT_IOU) for each in scores], resampler)


def max_box_accuracy(scores: Scores, resampler: Resampler) -> Estimate:
    """Return MaxBoxAcc: the share of images whose largest component's box has an IoU of at least one half.

    As its authors define it, the threshold is the one of `BOX_CAM_THRESHOLDS` that is best for these very
    images, so the value is optimistic. The interval keeps this threshold: if each resample chose its own, the
    interval could lie above the value.
    """
    overlaps = [None if each is None else each.largest >= STRICT_IOU for each in scores]
    return _at_best_threshold([overlaps], resampler)


def max_box_accuracy_v2(scores: Scores, resampler: Resampler) -> Estimate:
    """Return MaxBoxAccV2: any component counts; mean over `IOU_LEVELS`, each at its best threshold."""
    levels = [
        [None if each is None else each.any_component >= level for each in scores] for level in IOU_LEVELS
    ]
    return _at_best_threshold(levels, resampler)


def pixel_average_precision(scores: Scores, resampler: Resampler) -> Estimate:
    """Return PxAP: the area under precision and recall of the pixels of all images.

    Nothing is interpolated. Images without a mask do not count; None if no mask shows an object.
    """
    empty = np.zeros((2, LEVELS), dtype=np.int64)
    counts = np.stack([empty if each is None else each.pixels for each in scores], axis=-1)
    value = _pixel_ap(counts.sum(axis=-1, keepdims=True))[0]
    return estimate(value, resampler.interval(_pixel_ap(resampler.sums(counts))))


def _overlaps(
    heat: Map, boxes: Boxes, cam_thresholds: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the best IoU of the largest component's box and that of any component's, at each threshold."""
    found = components_of_heat(heat, cam_thresholds)
    best = iou(found.boxes, boxes).max(axis=1)
    largest, any_component = np.zeros((2, len(cam_thresholds)))
    for place, (low, high) in enumerate(pairwise(found.bounds)):
        if low < high:
            largest[place] = best[low:high][np.argmax(found.areas[low:high])]
            any_component[place] = best[low:high].max()
    return largest, any_component


def _pixels(heat: Map, mask: NDArray[np.uint8] | None) -> NDArray[np.int64]:
    if mask is None:
        return np.zeros((2, LEVELS), dtype=np.int64)
    levels = np.minimum((heat * LEVELS).astype(np.int64), LEVELS - 1)
    return np.stack([np.bincount(levels[mask == on], minlength=LEVELS) for on in (0, 1)])


def _pixel_ap(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the PxAP of (2, LEVELS, B) counts of pixels: (B,) float array."""
    off, on = np.cumsum(counts[:, ::-1], axis=1)
    precision = np.divide(on, on + off, out=np.zeros(on.shape), where=on + off > 0)
    steps = np.diff(on, axis=0, prepend=0.0)
    total = on[-1]
    area = (precision * steps).sum(axis=0)
    return np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)


def _mean(values: Sequence[float | None], resampler: Resampler) -> Estimate:
    """Return the mean over the images that count."""
    counted = np.array([value is not None for value in values], dtype=np.float64)
    filled = np.array([value or 0.0 for value in values])
    value = filled.sum() / counted.sum() if counted.any() else float("nan")
    return estimate(value, resampler.ratio(filled, counted))


def _at_best_threshold(
    levels: Sequence[Sequence[NDArray[np.bool_] | None]], resampler: Resampler
) -> Estimate:
    """Return the mean over the levels of the best accuracy over the thresholds."""
    none = np.zeros(len(BOX_CAM_THRESHOLDS), dtype=bool)
    right = np.array([[none if each is None else each for each in level] for level in levels])
    right = right.reshape(len(levels), -1, len(BOX_CAM_THRESHOLDS)).astype(np.float64)
    best = right.sum(axis=1).argmax(axis=1)
    per_image = np.mean([level[:, place] for level, place in zip(right, best, strict=True)], axis=0)
    return _mean(
        [None if each is None else value for each, value in zip(levels[0], per_image, strict=True)], resampler
    )
