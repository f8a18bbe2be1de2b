"""Pixel counts of masks that several rules make of one map; without torch, so that processes start fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dogcam.data.images import read_mask, read_pixels
from dogcam.detection.boxes_from_maps import LocalisationRule, Map, heat_map, localise
from dogcam.detection.masks_from_maps import Mask, MaskCounts, Walker, mask_counts, seeds
from dogcam.structures.images import LabelledImage


class MaskRule(Protocol):
    """Makes a mask from the random walker of an image and its (H, W) heat map; can be pickled."""

    def __call__(self, walker: Walker, heat: Map) -> Mask:
        """Return the mask: (H, W) uint8 array of 0 and 1."""


@dataclass(frozen=True)
class Grown:
    """Grows the mask from seeds at these thresholds."""

    cam_threshold: float
    background_threshold: float

    def __call__(self, walker: Walker, heat: Map) -> Mask:
        """Return the mask: (H, W) uint8 array of 0 and 1."""
        return walker.grow(seeds(heat, self.cam_threshold, self.background_threshold))


@dataclass(frozen=True)
class Thresholded:
    """Takes the pixels whose heat is at least the threshold."""

    cam_threshold: float

    def __call__(self, walker: Walker, heat: Map) -> Mask:
        """Return the mask: (H, W) uint8 array of 0 and 1."""
        return (heat >= self.cam_threshold).astype(np.uint8)


@dataclass(frozen=True)
class FilledBoxes:
    """Fills the boxes that a localisation rule finds."""

    rule: LocalisationRule

    def __call__(self, walker: Walker, heat: Map) -> Mask:
        """Return the mask: (H, W) uint8 array of 0 and 1."""
        mask = np.zeros(heat.shape, dtype=np.uint8)
        for x0, y0, x1, y1 in localise(heat, 1.0, self.rule)[0].astype(int):
            mask[y0:y1, x0:x1] = 1
        return mask


@dataclass(frozen=True)
class FullImage:
    """Takes all pixels."""

    def __call__(self, walker: Walker, heat: Map) -> Mask:
        """Return the mask: (H, W) uint8 array of 1."""
        return np.ones_like(heat, dtype=np.uint8)


def count_masks(
    image: LabelledImage, map_: Map | None, index: int, rules: Sequence[MaskRule]
) -> list[MaskCounts]:
    """Count the pixels of the mask of each rule; the image is read once for all of them.

    Args:
        image: has a mask.
        map_: (h, w) float array, its class activation map; None if it gets an empty mask.
        index: the value of the target in annotated masks.
        rules: what makes the masks.
    """
    truth = read_mask(image)
    if map_ is None:
        return [mask_counts(np.zeros_like(truth), truth, index)] * len(rules)
    walker, heat = Walker(np.asarray(read_pixels(image))), heat_map(map_, image.size)
    return [mask_counts(rule(walker, heat), truth, index) for rule in rules]
