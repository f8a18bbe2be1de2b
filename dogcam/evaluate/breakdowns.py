"""Which objects are found: groups of objects by what they are like, and the recall of each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import TRUE_POSITIVE, Interval, Matches, bootstrap_ratio
from dogcam.structures.boxes import area, iou
from dogcam.structures.detections import GroundTruth

SIZES = {"small": 0.0, "medium": 0.1, "large": 0.3}
"""The share of its image that an object's box takes, from which on it has each name."""

ASPECTS = {"tall": 0.0, "square": 0.8, "wide": 1.25}
"""Width over height of its box, likewise."""

N_INSTANCES = {"alone": 1, "two together": 2, "three or more": 3}
"""How many objects of the class the image shows, itself included, likewise."""

EDGE = 1.0
"""How near to the border of its image, in pixels, a box touches it."""

FEW = 10
"""A group of fewer objects is too small to say anything by itself."""


@dataclass(frozen=True, eq=False)
class Group:
    """Objects that are alike in one way.

    Attributes:
        name: what they are called.
        members: (M,) bool array over the ground truth's boxes.
        low, high: what was measured lies from the one up to, not with, the other; None where there is no
            such end, or nothing was measured.
    """

    name: str
    members: NDArray[np.bool_]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class GroupResult:
    """How many objects of a group there are, how many were found, and how well boxes fit them.

    Attributes:
        n_objects, n_images: how many there are, and in how many images.
        n_found: how many were found at the operating point.
        recall: the share that was found.
        recall_interval: its bootstrap interval over images.
        overlap: mean over the objects of the IoU with the kept detection that fits best, 0 without one.
        overlap_interval: its interval.
    """

    n_objects: int
    n_images: int
    n_found: int
    recall: float
    recall_interval: Interval
    overlap: float
    overlap_interval: Interval

    @property
    def few(self) -> bool:
        """Whether there are too few to say anything of them."""
        return self.n_objects < FEW


def by_size(truth: GroundTruth, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Group objects by the share of the image that their boxes take.

    Args:
        truth: M boxes.
        sizes: for each image (height, width) in pixels.
    """
    pixels = np.array([height * width for height, width in sizes], dtype=np.float64)
    return _binned(area(truth.boxes) / pixels[truth.image], SIZES)


def by_aspect(truth: GroundTruth) -> list[Group]:
    """Group objects by width over height; a box without height is as wide as can be."""
    width, height = (truth.boxes[:, 2:] - truth.boxes[:, :2]).T
    ratio = np.divide(width, height, out=np.full(len(width), np.inf), where=height > 0)
    return _binned(ratio, ASPECTS)


def by_n_instances(truth: GroundTruth) -> list[Group]:
    """Group objects by how many of their class the image shows."""
    together = np.bincount(truth.image, minlength=truth.n_images)[truth.image]
    return _binned(together, N_INSTANCES)


def by_edge(truth: GroundTruth, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Group objects by whether their boxes touch the border of the image, where they may go on beyond it."""
    height, width = np.array(sizes, dtype=np.float64).reshape(-1, 2)[truth.image].T
    x0, y0, x1, y1 = truth.boxes.T
    nearest = np.min([x0, y0, width - x1, height - y1], axis=0, initial=np.inf)
    touches = nearest < EDGE
    return [Group("touches the border", touches), Group("whole inside", ~touches)]


def by_other_class(truth: GroundTruth, labels: Mapping[str, NDArray[np.bool_]]) -> list[Group]:
    """Group objects by what else the image shows; an object may be in several of these groups.

    Args:
        truth: M boxes.
        labels: for each other class an (n_images,) bool array, whether the image shows it.

    Returns:
        A group for each class that occurs together with an object, the most frequent first, and last the
        objects that no other class is with.
    """
    groups = [Group(name, present[truth.image]) for name, present in labels.items()]
    groups = sorted((g for g in groups if g.members.any()), key=lambda g: (-g.members.sum(), g.name))
    accompanied = np.any([g.members for g in groups], axis=0) if groups else np.zeros(len(truth), dtype=bool)
    return [*groups, Group("no other class", ~accompanied)]


def measure_groups(
    matches: Matches,
    groups: Sequence[Group],
    *,
    iou_threshold: float,
    score_threshold: float,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[GroupResult]:
    """Return how well each group is found at an operating point.

    Args:
        matches: of all images; every box of its ground truth must be one that counts.
        groups: what to tell apart.
        iou_threshold: one of the matches' thresholds.
        score_threshold: detections that score less are not made.
        n_resamples, seed: of the bootstrap over images.

    Raises:
        ValueError: where some boxes are not counted: their recall would not be that of the operating point.
    """
    if not matches.counted.all():
        raise ValueError("some boxes are ignored or absent; break down matches in which every box counts")
    kept = matches.detections.scores >= score_threshold
    right = kept & (matches.kind_at(iou_threshold) == TRUE_POSITIVE)
    found = np.zeros(len(matches.ground_truth), dtype=bool)
    found[matches.best[right]] = True
    overlap = _best_overlaps(matches, kept)
    sampling = {"n_resamples": n_resamples, "seed": seed}
    return [_measure(matches.ground_truth, group.members, found, overlap, sampling) for group in groups]


def _measure(
    truth: GroundTruth,
    members: NDArray[np.bool_],
    found: NDArray[np.bool_],
    overlap: NDArray[np.float64],
    sampling: dict,
) -> GroupResult:
    image = truth.image[members]

    def per_image(weights: NDArray) -> NDArray[np.float64]:
        return np.bincount(image, weights=weights[members], minlength=truth.n_images)

    n_objects = int(members.sum())
    counts = per_image(np.ones(len(truth)))
    nothing = float("nan")
    return GroupResult(
        n_objects=n_objects,
        n_images=int((counts > 0).sum()),
        n_found=int(found[members].sum()),
        recall=float(found[members].mean()) if n_objects else nothing,
        recall_interval=bootstrap_ratio(per_image(found), counts, **sampling),
        overlap=float(overlap[members].mean()) if n_objects else nothing,
        overlap_interval=bootstrap_ratio(per_image(overlap), counts, **sampling),
    )


def _best_overlaps(matches: Matches, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU of each object with the kept detection of its image that fits best: (M,) floats."""
    truth, found = matches.ground_truth, matches.detections
    best = np.zeros(len(truth))
    for image in np.unique(truth.image):
        objects, boxes = truth.image == image, found.boxes[kept & (found.image == image)]
        best[objects] = iou(truth.boxes[objects], boxes).max(axis=1, initial=0.0)
    return best


def _binned(values: NDArray, names: Mapping[str, float]) -> list[Group]:
    """Group objects by where a value falls; the last name has no upper end."""
    ends = [*names.values(), np.inf]
    return [
        Group(
            name,
            (values >= low) & ((values < high) | np.isinf(high)),
            float(low) if low > ends[0] else None,
            float(high) if np.isfinite(high) else None,
        )
        for name, low, high in zip(names, ends, ends[1:], strict=False)
    ]
