"""Hold the kinds of map against each other, image by image: are they the same, and where do they part?"""

import itertools

import numpy as np
from numpy.typing import NDArray

from dogcam import metrics
from dogcam.boxes import as_boxes, iou
from dogcam.localise import normalise, resize
from report import results
from report.stages import localise, predict
from report.stages.context import Context
from report.stages.evaluate import defined, estimate
from report.stages.methods import AT_EARLIER, CAM, EARLIER, MAIN, PROBABILITY

NAME = "compare"

PAIRS = (
    (MAIN, CAM), (MAIN, PROBABILITY), (MAIN, EARLIER), *((EARLIER, other) for other in AT_EARLIER)
)  # fmt: skip

TOLERANCE = 1e-4
"""Largest difference of normalised float32 maps that rounding can explain; set before any was measured."""


def run(context: Context) -> dict:
    """Compare each pair of maps on the test split.

    Returns:
        The comparisons; for each pair the image in which the maps differ most; for each map method the IoU
        of the best-scored box with the nearest target, of every image with a target.
    """
    maps = predict.load(context, "test").maps
    best = {name: best_ious(context, name) for name in dict.fromkeys(itertools.chain(*PAIRS))}
    compared = [_compare(context, pair, maps, best) for pair in PAIRS]
    return {
        "comparisons": [each.model_dump(mode="json") for each in compared],
        "best_iou": {name: values.tolist() for name, values in best.items()},
    }


def _compare(
    context: Context,
    pair: tuple[str, str],
    maps: dict[str, NDArray[np.float32]],
    best: dict[str, NDArray[np.float64]],
) -> results.MapComparison:
    a, b = pair
    peaks = [maps[name].max(axis=(1, 2)) for name in pair]
    both = np.flatnonzero((peaks[0] > 0) & (peaks[1] > 0))
    size = max(maps[a].shape[1:], maps[b].shape[1:])
    ours, theirs = (_normalised(maps[name][both], size) for name in pair)
    differences = np.abs(ours - theirs).reshape(len(both), size[0] * size[1])
    correlations = np.array([_correlation(x, y) for x, y in zip(ours, theirs, strict=True)])
    factors = peaks[0][both] / peaks[1][both]
    largest = differences.max(initial=0.0)
    empty = [int((peak <= 0).sum()) for peak in peaks]
    return results.MapComparison(
        a=a,
        b=b,
        n_images=len(both),
        n_empty_a=empty[0],
        n_empty_b=empty[1],
        largest_difference=defined(largest) if len(both) else None,
        mean_difference=defined(differences.mean()) if len(both) else None,
        correlation=defined(np.nanmedian(correlations)) if len(both) else None,
        lowest_correlation=defined(np.nanmin(correlations)) if len(both) else None,
        mean_iou_a=_mean(context, best[a]),
        mean_iou_b=_mean(context, best[b]),
        factor_lowest=defined(factors.min()) if len(both) else None,
        factor_highest=defined(factors.max()) if len(both) else None,
        same=bool(largest <= TOLERANCE and empty[0] == empty[1]),
        tolerance=TOLERANCE,
        example_id=_example(context, both, differences),
    )


def _normalised(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the maps as fractions of their peaks, at one size so that cells can be compared."""
    if maps.shape[1:] != size:
        maps = np.stack([resize(map_, size) for map_ in maps]) if len(maps) else np.zeros((0, *size))
    return np.stack([normalise(map_) for map_ in maps]) if len(maps) else np.zeros((0, *size))


def _correlation(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    if ours.std() == 0 or theirs.std() == 0:
        return float("nan")
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


def best_ious(context: Context, method: str) -> NDArray[np.float64]:
    """Return the IoU of the best-scored box with the nearest target, in each image with one: (P,) floats."""
    found = context.outputs[localise.NAME]["detections"]["test"][method]
    values = []
    for image, rows in zip(context.test.images, found, strict=True):
        if context.has_target(image):
            truth = image.boxes_of(context.config.target)
            top = as_boxes([row[:4] for row in sorted(rows, key=lambda row: -row[4])[:1]])
            values.append(iou(top, truth).max(initial=0.0))
    return np.array(values)


def _mean(context: Context, values: NDArray[np.float64]) -> results.Estimate:
    """Return the mean over target images; resampling goes over all images, as everywhere."""
    per_image, counted = np.zeros(len(context.test)), np.zeros(len(context.test))
    places = [place for place, image in enumerate(context.test.images) if context.has_target(image)]
    per_image[places], counted[places] = values, 1.0
    drawn = metrics.bootstrap_ratio(
        per_image, counted, n_resamples=context.config.n_resamples, seed=context.config.seed
    )
    return estimate(float(values.mean()) if len(values) else float("nan"), drawn)


def _example(context: Context, both: NDArray[np.int64], differences: NDArray) -> str | None:
    """Return the id of the target image whose maps differ most in the mean."""
    targets = [place for place, i in enumerate(both) if context.has_target(context.test.images[i])]
    if not targets:
        return None
    place = max(targets, key=lambda place: differences[place].mean())
    return context.test.images[both[place]].id
