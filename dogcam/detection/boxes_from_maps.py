"""From class activation maps to scored boxes: threshold the map, box its connected components."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.detection.components import FoundComponents, Runs, components_of, runs_of_heat
from dogcam.detection.interpolated import InterpolatedMap, has_exact_runs, runs_of_map
from dogcam.structures.boxes import Boxes
from dogcam.structures.defaults import CAM_THRESHOLD

Components = Literal["all", "largest"]

Map = NDArray[np.float32]

Located = tuple[Boxes, NDArray[np.float64]]
"""(N, 4) boxes, half-open xyxy in pixels, and their (N,) scores, the highest first."""


@dataclass(frozen=True)
class LocalisationRule:
    """How a map becomes boxes.

    Attributes:
        cam_threshold: fraction of the map's peak, in (0, 1); a pixel is foreground if it is at least as high.
        components: box every connected component, or only the one of largest area.

    Raises:
        ValueError: if the threshold is not such a fraction; at 0 the whole image would be foreground.
    """

    cam_threshold: float
    components: Components = "all"

    def __post_init__(self) -> None:
        if not 0 < self.cam_threshold < 1:
            raise ValueError(f"cam_threshold is {self.cam_threshold}; expected a fraction between 0 and 1")


DEFAULT_RULE = LocalisationRule(CAM_THRESHOLD)
"""The customary threshold for class activation maps, tuned on no data; all components are boxed."""


def normalise(map_: Map) -> Map:
    """Return the positive part of a map, divided by its peak.

    Args:
        map_: (h, w) float array.

    Returns:
        (h, w) float32 array in [0, 1]; 0 everywhere if the map has no positive value.

    Raises:
        ValueError: if the map has no finite peak, for example because it holds a nan.
    """
    positive = np.maximum(map_, 0.0, dtype=np.float32)
    peak = positive.max(initial=0.0)
    if not np.isfinite(peak):
        raise ValueError(f"the peak of a class activation map is {peak}; expected a finite number")
    return positive / peak if peak > 0 else positive


def resize(map_: Map, size: tuple[int, int]) -> Map:
    """Return a map at another size, interpolated bilinearly between the centres of its cells.

    Args:
        map_: (h, w) float array.
        size: (height, width) wanted, in pixels.

    Returns:
        (height, width) float32 array.
    """
    image = Image.fromarray(np.ascontiguousarray(map_, dtype=np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def heat_map(map_: Map, size: tuple[int, int]) -> Map:
    """Return a map as it is thresholded: at the size of its image, and as a fraction of its peak.

    Args:
        map_: (h, w) float array, one class activation map.
        size: (height, width) of the image in pixels.

    Returns:
        (height, width) float32 array in [0, 1]; 0 everywhere if the map has no positive value.
    """
    # Negative values are removed before the map is enlarged. Interpolated, they would reduce neighbouring
    # cells, and CAM's boxes would differ from those of Grad-CAM, whose maps have no negative values.
    return normalise(resize(normalise(map_), size))


def localise_map(
    map_: Map, size: tuple[int, int], score: float, rules: Sequence[LocalisationRule]
) -> list[Located]:
    """Box the objects of a class activation map by each of several rules.

    The boxes and scores are those of `localise` on `heat_map(map_, size)`. They are computed without the
    enlarged map, so that an image of 12 megapixels takes hardly longer than a small one.

    Args:
        map_: (h, w) float array, one class activation map.
        size: (height, width) of the image in pixels.
        score: score of the image for the class, such as its probability.
        rules: thresholds, and which components to keep.

    Returns:
        Boxes and scores for each rule; both are empty if the map has no positive value.
    """
    thresholds = [rule.cam_threshold for rule in rules]
    distinct = list(dict.fromkeys(thresholds))
    found = dict(zip(distinct, components_of(_runs(map_, size, distinct)), strict=True))
    return [_scored(found[rule.cam_threshold], score, rule.components) for rule in rules]


def _runs(map_: Map, size: tuple[int, int], thresholds: Sequence[float]) -> Runs:
    cells = normalise(map_)
    if cells.size and size[0] >= cells.shape[0] and size[1] >= cells.shape[1]:
        enlarged = InterpolatedMap(cells, size)
        if has_exact_runs(enlarged, thresholds):
            return runs_of_map(enlarged, thresholds)
    return runs_of_heat(heat_map(map_, size), thresholds)


def localise(heat: Map, score: float, rule: LocalisationRule) -> Located:
    """Box the objects of a heat map.

    The map is thresholded at `cam_threshold`; each connected component (pixels that share a side or a corner)
    gives one tight box. The score of a box is the score of the image times the peak of the component: the
    component with the peak of the map keeps the full score.

    Args:
        heat: (height, width) float array in [0, 1], from `heat_map`.
        score: score of the image for the class, such as its probability.
        rule: the threshold, and which components to keep.

    Returns:
        Boxes and scores; both are empty if no pixel is as high as the threshold.
    """
    (found,) = components_of(runs_of_heat(heat, [rule.cam_threshold]))
    return _scored(found, score, rule.components)


def _scored(found: FoundComponents, score: float, kept: Components) -> Located:
    boxes, peaks = found.boxes, found.peaks.astype(np.float64)
    if kept == "largest" and len(boxes):
        largest = [int(np.argmax(found.areas))]
        boxes, peaks = boxes[largest], peaks[largest]
    order = np.argsort(-peaks, kind="stable")
    return boxes[order], score * peaks[order]


def reason_for_no_box(heat: Map) -> str | None:
    """State why `localise` finds no box on a heat map at any threshold; None if it finds one."""
    return None if heat.any() else "the map is 0 everywhere: no evidence for the class at this layer"


def component_boxes(heat: Map, cam_thresholds: Sequence[float]) -> list[tuple[Boxes, NDArray[np.int64]]]:
    """Box every connected component of a map at each of several thresholds, without a score.

    Args:
        heat: (height, width) float32 array, such as a heat map or the logits of positions.
        cam_thresholds: in the unit of the map; pixels that share a corner are connected.

    Returns:
        For each threshold an (N, 4) float64 array, half-open xyxy in pixels, and an (N,) int array, the areas
        of the components in pixels, both from top to bottom; empty if no pixel is as high as the threshold.
    """
    return [(found.boxes, found.areas) for found in components_of(runs_of_heat(heat, cam_thresholds))]
