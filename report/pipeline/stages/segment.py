"""Grow pseudo-masks from the maps, and measure them if the data set has masks."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.masks_from_maps import MaskCounts
from dogcam.evaluate.metrics import Estimate, Resampler, estimate
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.mask_counts import (
    FilledBoxes,
    FullImage,
    Grown,
    MaskRule,
    Thresholded,
    count_masks,
)
from report.pipeline.shared.masks import mask_index
from report.pipeline.shared.predictions import predictions
from report.pipeline.workers import in_processes

NAME = "segment"

SCORE_THRESHOLD = 0.5
"""Least probability of an image with a mask: the target is more likely than not."""

SEED_CAM_THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
SEED_BACKGROUND_THRESHOLDS = (0.1, 0.2, 0.3)
DEFAULT_SEEDS = (0.5, 0.2)
N_TUNING = 200
"""Most images of the tuning split on which the thresholds of the seeds are chosen: growing masks is slow."""

_Name = TypeVar("_Name", bound=Hashable)

TITLES = {
    "grown": "random walker",
    "thresholded": "thresholded map",
    "boxes": "filled boxes",
    "full_image": "whole image",
}


def run(context: Context) -> dict | None:
    """Choose the seeds' thresholds on the tuning split, and measure on the reported split.

    Returns:
        The record's segmentation; None if the split has no masks, or none that shows the target.
    """
    if mask_index(context) is None or not _has_masks(context.reported.images):
        return None
    sweep = _sweep(context)
    best = max(sweep, key=lambda row: row.iou, default=None)
    cam, background = (best.cam_threshold, best.background_threshold) if best else DEFAULT_SEEDS
    tuning = context.outputs["localise"]["tuning"][MAIN]
    rule = LocalisationRule(tuning["cam_threshold"], tuning["components"])
    rules: dict[str, MaskRule] = {
        "grown": Grown(cam, background),
        "thresholded": Thresholded(rule.cam_threshold),
        "boxes": FilledBoxes(rule),
        "full_image": FullImage(),
    }
    counts = _count(context, "reported", context.reported.images, rules)
    if not sum(counts["full_image"], MaskCounts()).truth:
        return None
    resampler = resampler_of(context)
    return results.Segmentation(
        score_threshold=SCORE_THRESHOLD,
        cam_threshold=cam,
        background_threshold=background,
        box_cam_threshold=rule.cam_threshold,
        chosen_on=context.splits["tuning"].name if sweep else None,
        n_tuning_images=len(_tuning_images(context)) if sweep else 0,
        n_images=len(context.reported),
        n_target_images=sum(context.has_target(image) for image in context.reported.images),
        rows=[
            results.MaskRow(name=name, title=title, iou=_iou(counts[name], resampler))
            for name, title in TITLES.items()
        ],
        gain=_gain(counts["grown"], counts["thresholded"], resampler),
        sweep=sweep,
    ).model_dump(mode="json")


def _has_masks(images: Sequence[LabelledImage]) -> bool:
    return all(image.has_mask for image in images)


def _tuning_images(context: Context) -> Sequence[LabelledImage]:
    return context.tuning.images[:N_TUNING] if context.tuning else ()


def _sweep(context: Context) -> list[results.SeedRow]:
    images = _tuning_images(context)
    if not images or not _has_masks(images):
        return []
    pairs = [
        (cam, background)
        for cam, background in itertools.product(SEED_CAM_THRESHOLDS, SEED_BACKGROUND_THRESHOLDS)
        if background < cam
    ]
    counts = _count(context, "tuning", images, {pair: Grown(*pair) for pair in pairs})
    if not sum(counts[pairs[0]], MaskCounts()).truth:
        # Without a target pixel no pair is better than another.
        return []
    return [
        results.SeedRow(
            cam_threshold=pair[0], background_threshold=pair[1], iou=sum(counts[pair], MaskCounts()).iou
        )
        for pair in pairs
    ]


def _count(
    context: Context, role: str, images: Sequence[LabelledImage], rules: Mapping[_Name, MaskRule]
) -> dict[_Name, list[MaskCounts]]:
    """Count the pixels of the masks of several rules; a mask is empty if the target is too improbable."""
    index = mask_index(context)
    assert index is not None, "images without masks are left out before"
    predicted = predictions(context, role)
    likely = predicted.probabilities(context.target) >= SCORE_THRESHOLD
    maps = [predicted.maps[MAIN][place] if likely[place] else None for place in range(len(images))]
    count = partial(count_masks, index=index, rules=tuple(rules.values()))
    counted = in_processes(context.pool, count, images, maps)
    by_image = list(context.progress.track(counted, len(images), f"segment {role}"))
    return {name: list(counts) for name, counts in zip(rules, zip(*by_image, strict=True), strict=True)}


def _iou(counts: Sequence[MaskCounts], resampler: Resampler) -> Estimate:
    shared, union = _columns(counts)
    return estimate(sum(counts, MaskCounts()).iou, resampler.ratio(shared, union))


def _gain(ours: Sequence[MaskCounts], theirs: Sequence[MaskCounts], resampler: Resampler) -> Estimate:
    difference = sum(ours, MaskCounts()).iou - sum(theirs, MaskCounts()).iou
    drawn = [resampler.ratio_samples(*_columns(counts)) for counts in (ours, theirs)]
    return estimate(difference, resampler.interval(drawn[0] - drawn[1]))


def _columns(counts: Sequence[MaskCounts]) -> tuple[list[int], list[int]]:
    return [count.intersection for count in counts], [count.union for count in counts]
