"""Compare map methods image by image: difference, correlation, IoU of the top-scoring box."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import normalise, resize
from dogcam.evaluate.metrics import Estimate, defined, estimate
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import AT_EARLIER, CAM, EARLIER, GRAD_CAM_REFERENCE, MAIN, PROBABILITY
from report.pipeline.shared.boxes import best_ious
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.predictions import predictions

NAME = "compare"

PAIRS = (
    (MAIN, GRAD_CAM_REFERENCE), (MAIN, CAM), (MAIN, PROBABILITY), (MAIN, EARLIER),
    *((EARLIER, other) for other in AT_EARLIER),
)  # fmt: skip

TOLERANCE = 1e-4
"""Largest difference of normalised float32 maps that rounding can explain; set before any was measured."""


class Output(results.Model):
    """The compared pairs of maps; for each method the IoU of the top-scoring box of each target image."""

    comparisons: list[results.MapComparison]
    best_iou: dict[str, list[float]]


def run(context: Context) -> dict:
    """Compare each pair of maps on the reported split.

    Returns:
        The comparisons; for each map method the IoU of the top-scoring box with the best-matching target, of
        every image with a target.
    """
    maps = predictions(context, "reported").maps
    pairs = [pair for pair in PAIRS if set(pair) <= maps.keys()]
    best = {name: best_ious(context, name) for name in dict.fromkeys(itertools.chain(*pairs))}
    compared = [_compare(context, pair, maps, best) for pair in pairs]
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
    known = np.isfinite(correlations)
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
        mean_difference=_mean(context, both.tolist(), differences.mean(axis=1)),
        correlation=_mean(context, both[known].tolist(), correlations[known]),
        lowest_correlation=defined(np.nanmin(correlations)) if len(both) else None,
        mean_iou_a=_mean(context, _target_places(context), best[a]),
        mean_iou_b=_mean(context, _target_places(context), best[b]),
        factor_lowest=defined(factors.min()) if len(both) else None,
        factor_highest=defined(factors.max()) if len(both) else None,
        same=bool(largest <= TOLERANCE and empty[0] == empty[1]),
        tolerance=TOLERANCE,
    )


def _normalised(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the maps as fractions of their peaks, at one size so that cells can be compared."""
    if maps.shape[1:] != size:
        maps = _stacked([resize(map_, size) for map_ in maps], size)
    return _stacked([normalise(map_) for map_ in maps], size)


def _stacked(maps: Sequence[NDArray], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.stack(maps) if len(maps) else np.zeros((0, *size), dtype=np.float32)


def _correlation(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    if ours.std() == 0 or theirs.std() == 0:
        return float("nan")
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


def _mean(context: Context, places: Sequence[int], values: NDArray[np.float64]) -> Estimate:
    """Return the mean over some of the images; resampling goes over all images, as everywhere."""
    per_image, counted = np.zeros(len(context.reported)), np.zeros(len(context.reported))
    per_image[places], counted[places] = values, 1.0
    drawn = resampler_of(context).ratio(per_image, counted)
    return estimate(float(values.mean()) if len(values) else float("nan"), drawn)


def _target_places(context: Context) -> list[int]:
    return [place for place, image in enumerate(context.reported.images) if context.has_target(image)]
