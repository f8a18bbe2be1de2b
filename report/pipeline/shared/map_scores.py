"""Measurements of the maps of one image.

This module does not import torch, which every process that runs it would import, too.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dogcam.data.images import read_mask
from dogcam.detection.boxes_from_maps import Map, heat_map
from dogcam.evaluate.map_metrics import MapScores, centre_map, score_map
from dogcam.structures.images import LabelledImage


def score_maps(
    image: LabelledImage,
    maps: tuple[Map | None, ...],
    target: str,
    mask_index: int | None,
    cam_thresholds: Mapping[str, float],
) -> dict[str, MapScores]:
    """Measure the maps of an image that shows the target.

    Args:
        image: with boxes of the target.
        maps: (h, w) float arrays, class activation maps in the order of `cam_thresholds`; None for the
            centred Gaussian.
        target: the class.
        mask_index: its value in annotated masks; None without masks.
        cam_thresholds: the threshold of each kind of map, chosen on other images.
    """
    boxes, mask = image.boxes_of(target), _mask(image, mask_index)
    scores = {}
    for (name, cam_threshold), map_ in zip(cam_thresholds.items(), maps, strict=True):
        heat = centre_map(image.size) if map_ is None else heat_map(map_, image.size)
        scores[name] = score_map(heat, boxes, cam_threshold, mask)
    return scores


def _mask(image: LabelledImage, index: int | None) -> NDArray[np.uint8] | None:
    """Return 1 for pixels of the target, 0 for others, 255 for undecided ones; None without a mask."""
    if index is None or not image.has_mask:
        return None
    mask = read_mask(image)
    return np.where(mask == 255, 255, mask == index).astype(np.uint8)
