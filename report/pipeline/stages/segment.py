"""Grow pseudo-masks from the maps and measure them, where the data set has masks to measure with."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dogcam.data.images import read_mask, read_photo
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.boxes_from_maps import localise as box_objects
from dogcam.detection.masks_from_maps import MaskCounts, grow, mask_counts, seeds
from dogcam.evaluate.metrics import Estimate, Resampler, estimate
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.maps import heat_of
from report.pipeline.shared.masks import mask_index
from report.pipeline.shared.predictions import predictions

NAME = "segment"

SCORE_THRESHOLD = 0.5
"""Only where the classifier thinks a target more likely than not does an image get a mask."""

CAM_THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
BACKGROUND_THRESHOLDS = (0.1, 0.2, 0.3)
DEFAULT_SEEDS = (0.5, 0.2)
N_TUNING = 200
"""How many images of the tuning split the seeds' thresholds are chosen on: growing masks takes its time."""

Mask = NDArray[np.uint8]
_Name = TypeVar("_Name", bound=Hashable)
MaskOf = Callable[[NDArray[np.uint8], NDArray[np.float32]], Mask]
"""Makes a mask from a picture's pixels and its heat map."""

TITLES = {
    "grown": "grown from seeds",
    "thresholded": "the map at the cam_threshold of the boxes",
    "boxes": "the boxes of the same maps, filled",
    "full_image": "the whole image",
}


def run(context: Context) -> dict | None:
    """Choose the seeds' thresholds on the tuning split, and measure on the test split.

    Returns:
        The record's segmentation; None where the split has no masks, or none that shows the target.
    """
    if mask_index(context) is None or not _has_masks(context.reported.images):
        return None
    sweep = _sweep(context)
    best = max(sweep, key=lambda row: row.iou, default=None)
    cam, background = (best.cam_threshold, best.background_threshold) if best else DEFAULT_SEEDS
    tuning = context.outputs["localise"]["tuning"][MAIN]
    rule = LocalisationRule(tuning["cam_threshold"], tuning["components"])
    makers: dict[str, MaskOf] = {
        "grown": grower(cam, background),
        "thresholded": lambda _, heat: (heat >= rule.cam_threshold).astype(np.uint8),
        "boxes": lambda _, heat: _filled(heat, rule),
        "full_image": lambda _, heat: np.ones_like(heat, dtype=np.uint8),
    }
    counts = _count(context, "reported", context.reported.images, makers)
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
        for cam, background in itertools.product(CAM_THRESHOLDS, BACKGROUND_THRESHOLDS)
        if background < cam
    ]
    counts = _count(context, "tuning", images, {pair: grower(*pair) for pair in pairs})
    if not sum(counts[pairs[0]], MaskCounts()).truth:
        # Without a target pixel no pair is better than another.
        return []
    return [
        results.SeedRow(
            cam_threshold=pair[0], background_threshold=pair[1], iou=sum(counts[pair], MaskCounts()).iou
        )
        for pair in pairs
    ]


def grower(cam: float, background: float) -> MaskOf:
    """Return what grows a mask from seeds at these thresholds."""
    return lambda pixels, heat: grow(pixels, seeds(heat, cam, background))


def _filled(heat: NDArray[np.float32], rule: LocalisationRule) -> Mask:
    mask = np.zeros(heat.shape, dtype=np.uint8)
    boxes, _ = box_objects(heat, 1.0, rule)
    for x0, y0, x1, y1 in boxes.astype(int):
        mask[y0:y1, x0:x1] = 1
    return mask


def _count(
    context: Context, role: str, images: Sequence[LabelledImage], makers: Mapping[_Name, MaskOf]
) -> dict[_Name, list[MaskCounts]]:
    """Count the pixels of the masks of several makers, a picture being read once for all of them."""
    index = mask_index(context)
    assert index is not None, "images without masks are left out before"
    counts: dict[_Name, list[MaskCounts]] = {name: [] for name in makers}
    for image, heat in _heats(context, role, images):
        truth = read_mask(image)
        pixels = np.asarray(read_photo(image)) if heat is not None else truth
        for name, mask_of in makers.items():
            mask = mask_of(pixels, heat) if heat is not None else np.zeros_like(truth)
            counts[name].append(mask_counts(mask, truth, index))
    return counts


def _heats(
    context: Context, role: str, images: Sequence[LabelledImage]
) -> Iterator[tuple[LabelledImage, NDArray[np.float32] | None]]:
    """Yield each image with its heat map, None where the classifier thinks a target too unlikely."""
    probabilities = predictions(context, role).probabilities(context.target)
    in_turn = context.progress.track(range(len(images)), len(images), f"segment {role}")
    for place in in_turn:
        likely = probabilities[place] >= SCORE_THRESHOLD
        yield images[place], heat_of(context, role, MAIN, place) if likely else None


def _iou(counts: Sequence[MaskCounts], resampler: Resampler) -> Estimate:
    shared, union = _columns(counts)
    return estimate(sum(counts, MaskCounts()).iou, resampler.ratio(shared, union))


def _gain(ours: Sequence[MaskCounts], theirs: Sequence[MaskCounts], resampler: Resampler) -> Estimate:
    difference = sum(ours, MaskCounts()).iou - sum(theirs, MaskCounts()).iou
    drawn = [resampler.ratio_samples(*_columns(counts)) for counts in (ours, theirs)]
    return estimate(difference, resampler.interval(drawn[0] - drawn[1]))


def _columns(counts: Sequence[MaskCounts]) -> tuple[list[int], list[int]]:
    return [count.intersection for count in counts], [count.union for count in counts]
