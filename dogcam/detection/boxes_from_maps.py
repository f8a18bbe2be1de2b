"""From class activation maps to scored boxes: threshold the map, box its connected components."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.detection.components import FoundComponents, components_of, runs_of_heat
from dogcam.detection.interpolated import InterpolatedMaps, have_exact_runs, runs_of_maps
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


def localise_maps(
    maps: Sequence[Map],
    size: tuple[int, int],
    scores: Sequence[float],
    rules: Sequence[Sequence[LocalisationRule]],
) -> list[list[Located]]:
    """Box the objects of the class activation maps of one image, each by several rules.

    The boxes and scores are those of `localise` on `heat_map(map_, size)`. They are computed without the
    enlarged maps: the time depends on the height of the image, not on its number of pixels. Maps of one
    shape are processed together.

    Args:
        maps: (h, w) float arrays, one class activation map each.
        size: (height, width) of the image in pixels.
        scores: for each map the score of the image for its class, such as its probability.
        rules: for each map thresholds, and which components to keep.

    Returns:
        For each map boxes and scores for each of its rules; both are empty if the map has no positive value.
    """
    cells = [normalise(each) for each in maps]
    thresholds = [list(dict.fromkeys(rule.cam_threshold for rule in each)) for each in rules]
    located: dict[int, list[Located]] = {}
    for numbers, found in _components(cells, size, thresholds):
        foregrounds = [(number, threshold) for number in numbers for threshold in thresholds[number]]
        scored = _Scored.of(found, [scores[number] for number, _ in foregrounds])
        place = {each: index for index, each in enumerate(foregrounds)}
        for number in numbers:
            of_rules = ((place[number, rule.cam_threshold], rule.components) for rule in rules[number])
            located[number] = [scored.located(*each) for each in of_rules]
    return [located[number] for number in range(len(maps))]


def _components(
    cells: Sequence[Map], size: tuple[int, int], thresholds: Sequence[Sequence[float]]
) -> Iterator[tuple[list[int], FoundComponents]]:
    """Yield numbers of maps, and the components of these maps at their thresholds, map by map."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, each in enumerate(cells):
        alike[each.shape].append(number)
    for shape, numbers in alike.items():
        exact: list[int] = []
        if 0 < shape[0] <= size[0] and 0 < shape[1] <= size[1]:
            enlarged = InterpolatedMaps(np.stack([cells[number] for number in numbers]), size)
            levels = [thresholds[number] for number in numbers]
            have = have_exact_runs(enlarged, levels)
            exact = [number for number, has in zip(numbers, have, strict=True) if has]
            kept = [each if has else () for each, has in zip(levels, have, strict=True)]
            yield exact, components_of(runs_of_maps(enlarged, kept))
        for number in set(numbers).difference(exact):
            heat = heat_map(cells[number], size)
            yield [number], components_of_heat(heat, thresholds[number])


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
    found = components_of_heat(heat, [rule.cam_threshold])
    return _Scored.of(found, [score]).located(0, rule.components)


@dataclass(frozen=True)
class _Scored:
    """The scored components of K foregrounds, those of each sorted by score, and again by area.

    `bounds` are those of `FoundComponents`.
    """

    by_score: Located
    by_area: Located
    bounds: list[int]

    @classmethod
    def of(cls, found: FoundComponents, scores: Sequence[float]) -> "_Scored":
        """Score the components; for each foreground there is the score of its image."""
        scored = np.asarray(scores, dtype=np.float64)[found.foreground] * found.peaks.astype(np.float64)
        orders = (np.lexsort((-values, found.foreground)) for values in (found.peaks, found.areas))
        by_score, by_area = ((found.boxes[order], scored[order]) for order in orders)
        return cls(by_score, by_area, found.bounds.tolist())

    def located(self, foreground: int, kept: Components) -> Located:
        """Return all components of a foreground, or only the largest one."""
        low, high = self.bounds[foreground : foreground + 2]
        boxes, scores = self.by_score if kept == "all" else self.by_area
        high = high if kept == "all" else min(high, low + 1)
        return boxes[low:high], scores[low:high]


def reason_for_no_box(heat: Map) -> str | None:
    """State why `localise` finds no box on a heat map at any threshold; None if it finds one."""
    return None if heat.any() else "the map is 0 everywhere: no evidence for the class at this layer"


def components_of_heat(heat: Map, cam_thresholds: Sequence[float]) -> FoundComponents:
    """Return the connected components of a map at each of several thresholds, without a score.

    Args:
        heat: (height, width) float32 array, such as a heat map or the logits of positions.
        cam_thresholds: in the unit of the map. Pixels that share a corner are connected; a threshold that no
            pixel reaches has no components.
    """
    return components_of(runs_of_heat(heat, cam_thresholds))
