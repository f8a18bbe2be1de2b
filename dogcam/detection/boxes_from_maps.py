"""From class activation maps to scored boxes: cut at a fraction of the peak, box what hangs together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dogcam.structures.boxes import Boxes, as_boxes

Components = Literal["all", "largest"]

Map = NDArray[np.float32]

_Component = tuple[tuple[slice, slice], NDArray[np.bool_]]


@dataclass(frozen=True)
class LocalisationRule:
    """How a map becomes boxes.

    Attributes:
        cam_threshold: fraction of the map's peak, in (0, 1), from which on a pixel belongs to an object.
        components: box every connected component, or the one of largest area alone.

    Raises:
        ValueError: where the threshold is not such a fraction: at 0 the whole image would be the object.
    """

    cam_threshold: float
    components: Components = "all"

    def __post_init__(self) -> None:
        if not 0 < self.cam_threshold < 1:
            raise ValueError(f"cam_threshold is {self.cam_threshold}; expected a fraction between 0 and 1")


def normalise(map_: Map) -> Map:
    """Return the positive part of a map, divided by its peak.

    Args:
        map_: (h, w) float array.

    Returns:
        (h, w) float32 array in [0, 1]; 0 everywhere where the map is nowhere positive.

    Raises:
        ValueError: where the map has no finite peak, as one that holds a nan: that is no map, whereas a map
            that shows nothing is an answer.
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
    picture = Image.fromarray(np.ascontiguousarray(map_, dtype=np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def heat_map(map_: Map, size: tuple[int, int]) -> Map:
    """Return a map as it is cut: at the size of its image, and as a fraction of its peak.

    Args:
        map_: (h, w) float array, one class activation map.
        size: (height, width) of the image in pixels.

    Returns:
        (height, width) float32 array in [0, 1]; 0 everywhere where the map is nowhere positive.
    """
    # What speaks against the class is dropped before the map is enlarged: interpolated, it would eat into the
    # cells beside it, and CAM's boxes would differ from Grad-CAM's, whose maps hold nothing negative.
    return normalise(resize(normalise(map_), size))


def localise(heat: Map, score: float, rule: LocalisationRule) -> tuple[Boxes, NDArray[np.float64]]:
    """Box the objects that a heat map shows.

    The map is cut at `cam_threshold`; each connected component (pixels that share a side or a corner) gives
    one tight box. A box is scored by how sure the classifier is that the class is in the image, times how
    high the component reaches: the component that holds the map's peak keeps the whole score.

    Args:
        heat: (height, width) float array in [0, 1], from `heat_map`.
        score: the image's score for the class, the classifier's probability say.
        rule: where to cut and what to keep.

    Returns:
        boxes: (N, 4) float64 array, half-open xyxy in pixels, best score first.
        scores: (N,) float64 array.
        Both are empty where the map is nowhere as high as the threshold: it shows nothing of the class.
    """
    return localise_by_rules(heat, score, [rule])[0]


def localise_by_rules(
    heat: Map, score: float, rules: Sequence[LocalisationRule]
) -> list[tuple[Boxes, NDArray[np.float64]]]:
    """Return what `localise` finds by each of several rules, cutting the map once for each threshold."""
    cuts = {
        threshold: _components(heat, threshold)
        for threshold in dict.fromkeys(rule.cam_threshold for rule in rules)
    }
    return [_scored(heat, score, cuts[rule.cam_threshold], rule.components) for rule in rules]


def _scored(
    heat: Map, score: float, components: Sequence[_Component], kept: Components
) -> tuple[Boxes, NDArray[np.float64]]:
    if kept == "largest" and components:
        components = [max(components, key=lambda component: component[1].sum())]
    boxes = as_boxes([_box(window) for window, _ in components])
    peaks = np.array([heat[window][inside].max() for window, inside in components], dtype=np.float64)
    order = np.argsort(-peaks, kind="stable")
    return boxes[order], score * peaks[order]


def reason_for_no_box(heat: Map) -> str | None:
    """Say why `localise` finds no box on a heat map, at any threshold; None where it finds one."""
    return None if heat.any() else "the map is 0 everywhere: nothing at this layer speaks for the class"


def component_boxes(heat: Map, cam_threshold: float) -> tuple[Boxes, NDArray[np.int64]]:
    """Box every connected component of a map that is cut, without a score.

    Args:
        heat: (height, width) float array in [0, 1], from `heat_map`.
        cam_threshold: where to cut, in (0, 1).

    Returns:
        (N, 4) float64 array, half-open xyxy in pixels, and (N,) int array, the components' areas in pixels,
        both from top to bottom; empty where the map is nowhere as high.
    """
    components = _components(heat, cam_threshold)
    areas = np.array([inside.sum() for _, inside in components], dtype=np.int64)
    return as_boxes([_box(window) for window, _ in components]), areas


def _components(heat: Map, cam_threshold: float) -> list[_Component]:
    """Return each component as the window around it and its pixels inside that window."""
    if heat.max(initial=0.0) < cam_threshold:
        return []
    labels, _ = ndimage.label(heat >= cam_threshold, structure=np.ones((3, 3)))
    # Looking inside each component's own box is several times faster than ndimage.maximum, which goes over
    # the whole picture.
    return [
        (window, labels[window] == number)
        for number, window in enumerate(ndimage.find_objects(labels), start=1)
    ]


def _box(window: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = window
    return columns.start, rows.start, columns.stop, rows.stop
