"""How well a map alone says where things are, in images that are known to show them (Choe et al. 2020).

Average precision mixes what the classifier knows with what the map shows. The measures here take the class as
given and look at the map, each in its own way: at its peak, at its mass, at its boxes, at its pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import Map, component_boxes
from dogcam.evaluate.metrics import Interval, bootstrap_ratio, percentile_interval, resampled_sums
from dogcam.structures.boxes import Boxes, iou

CAM_THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Where a map is cut in turn: every twentieth of its peak."""

STRICT_IOU = 0.5
IOU_LEVELS = (0.3, 0.5, 0.7)
"""The overlaps of MaxBoxAcc and of MaxBoxAccV2."""

TOLERANCE = 15
"""How many pixels beside a box a peak may lie and still point at it (Zhang et al. 2016)."""

LEVELS = 256
"""How many steps of a map's height PxAP tells apart."""


@dataclass(frozen=True)
class Measured:
    """A figure over a set of images, with its bootstrap interval; nan where no image counts."""

    value: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class MapScores:
    """What was seen of one map, in an image that shows the class.

    Attributes:
        points: whether the peak lies on an object or within `TOLERANCE` pixels of one.
        energy: share of the map's sum that lies inside the boxes, in [0, 1]; 0 for an empty map.
        largest: (T,) float array, for each of `CAM_THRESHOLDS` the IoU of the box around the largest
            component with the object that it overlaps most.
        any_component: (T,) float array, the best such IoU over all components.
        chosen: as `largest`, at the cut that was chosen on other images.
        pixels: (2, LEVELS) int array, how many pixels off and on the object have each height, from 0 to the
            peak; all 0 where there is no mask.
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
    """Hold a heat map against the objects of its image.

    Args:
        heat: (height, width) float array in [0, 1], from `dogcam.detection.boxes_from_maps.heat_map`.
        boxes: (M, 4) float array, xyxy in pixels, M >= 1, the objects of the class.
        cam_threshold: a cut that was chosen on other images, in (0, 1).
        mask: (height, width) array, 1 on the objects, 0 beside them, anything else undecided; or None.
    """
    overlaps = [_overlaps(heat, boxes, threshold) for threshold in CAM_THRESHOLDS]
    return MapScores(
        points_at(heat, boxes),
        energy_inside(heat, boxes),
        np.array([largest for largest, _ in overlaps]),
        np.array([best for _, best in overlaps]),
        _overlaps(heat, boxes, cam_threshold)[0],
        _pixels(heat, mask),
    )


def points_at(heat: Map, boxes: Boxes, tolerance: float = TOLERANCE) -> bool:
    """Say whether the map's peak lies on an object: the pointing game (Zhang et al. 2016).

    Args:
        heat: (height, width) float array; a map that is 0 everywhere points at nothing. Of several peaks the
            mean place counts.
        boxes: (M, 4) float array, xyxy in pixels.
        tolerance: how many pixels beside a box are still on it.
    """
    peak = heat.max(initial=0.0)
    if peak <= 0:
        return False
    # The middle of a pixel is half a pixel into it.
    y, x = np.argwhere(heat == peak).mean(axis=0) + 0.5
    x0, y0, x1, y1 = boxes.T
    beside = np.maximum(np.maximum(x0 - x, x - x1), np.maximum(y0 - y, y - y1))
    return bool((beside <= tolerance).any())


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
    """Return the map of somebody who never looks: a bell in the middle of the image.

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


def pointing_game(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return the share of images whose map's peak lies on an object.

    Args:
        scores: for each image of the data set what was seen of its map; None for an image that does not
            show the class and does not count, but is drawn again like every other.
        sampling: `n_resamples` and `seed`, as in `dogcam.evaluate.metrics.resampled_ap`.
    """
    return _mean([each and float(each.points) for each in scores], sampling)


def energy_pointing_game(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return the mean share of the map inside the boxes; arguments as in `pointing_game`."""
    return _mean([each and each.energy for each in scores], sampling)


def max_box_accuracy(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return MaxBoxAcc: the share of images whose largest component's box has an IoU of at least one half.

    The cut is the one of `CAM_THRESHOLDS` that serves these very images best, as its authors define it: it
    says what a map could give, and flatters. The interval is of that cut: resamples that chose their own
    would flatter once more, and their interval could lie above the figure.
    """
    overlaps = [None if each is None else each.largest >= STRICT_IOU for each in scores]
    return _best_cut([overlaps], sampling)


def max_box_accuracy_v2(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return MaxBoxAccV2: any component may be right; mean over `IOU_LEVELS`, each at its best cut."""
    levels = [
        [None if each is None else each.any_component >= level for each in scores] for level in IOU_LEVELS
    ]
    return _best_cut(levels, sampling)


def box_accuracy(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return the accuracy of `max_box_accuracy` at the cut that was chosen elsewhere: the honest figure."""
    return _mean([each and float(each.chosen >= STRICT_IOU) for each in scores], sampling)


def pixel_average_precision(scores: Sequence[MapScores | None], **sampling: int) -> Measured:
    """Return PxAP: the area under precision and recall of the pixels of all images, as the cut descends.

    Nothing is interpolated. Images without a mask do not count; nan where none has an object's pixel.
    """
    empty = np.zeros((2, LEVELS), dtype=np.int64)
    counts = np.stack([empty if each is None else each.pixels for each in scores], axis=-1)
    drawn = _pixel_ap(resampled_sums(counts, **sampling))
    return Measured(float(_pixel_ap(counts.sum(axis=-1, keepdims=True))[0]), percentile_interval(drawn))


def _overlaps(heat: Map, boxes: Boxes, cam_threshold: float) -> tuple[float, float]:
    """Return the best IoU of the largest component's box, and that of any component's."""
    found, areas = component_boxes(heat, cam_threshold)
    if not len(found):
        return 0.0, 0.0
    best = iou(found, boxes).max(axis=1)
    return float(best[np.argmax(areas)]), float(best.max())


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


def _mean(values: Sequence[float | None], sampling: dict) -> Measured:
    """Return the mean over the images that count."""
    counted = np.array([value is not None for value in values], dtype=np.float64)
    filled = np.array([value or 0.0 for value in values])
    value = filled.sum() / counted.sum() if counted.any() else float("nan")
    return Measured(float(value), bootstrap_ratio(filled, counted, **sampling))


def _best_cut(levels: Sequence[Sequence[NDArray[np.bool_] | None]], sampling: dict) -> Measured:
    """Return the mean over the levels of the best accuracy over the cuts."""
    none = np.zeros(len(CAM_THRESHOLDS), dtype=bool)
    right = np.array([[none if each is None else each for each in level] for level in levels])
    right = right.reshape(len(levels), -1, len(CAM_THRESHOLDS)).astype(np.float64)
    best = right.sum(axis=1).argmax(axis=1)
    per_image = np.mean([level[:, cut] for level, cut in zip(right, best, strict=True)], axis=0)
    return _mean(
        [None if each is None else value for each, value in zip(levels[0], per_image, strict=True)], sampling
    )
