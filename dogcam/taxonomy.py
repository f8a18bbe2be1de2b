"""Why a detection failed, and why an object was missed: exactly one kind for each, by geometric rules.

How a box B and an object's box G lie to each other is told by three numbers:

    covered = |B & G| / |G|,    inside = |B & G| / |B|,    IoU = |B & G| / |B | G|

A false positive is, by the first of these that holds,

1. `duplicate`: its IoU with an object that a better-ranked detection found is above `iou_threshold`;
2. `merged`: it holds two or more objects (holds: covered >= `MOST`);
3. judged by one object, the one of highest IoU among those of which it says anything at all:
   `too_large` if it holds the object and does not lie inside it (inside >= `MOST`),
   `too_small` if it lies inside and does not hold it,
   `misplaced` if neither or both, and the IoU is at least `NOTICEABLE`;
4. `false_alarm`: it says nothing of any object.

So a box on a dog's nose, whose IoU may be next to nothing, is too small and no false alarm.

A missed object has the kind of the false positive of highest IoU that was judged by it, or merges it with
others. A detection that found another object, or repeats it, explains the miss as `merged` if it holds this
object too or has an IoU above `iou_threshold` with it: one box for two. An object that nothing explains is
`missed`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.boxes import Boxes, area, as_boxes, intersection, iou
from dogcam.metrics import FALSE_POSITIVE, TRUE_POSITIVE, Matches

FailureKind = Literal["missed", "false_alarm", "too_small", "too_large", "merged", "duplicate", "misplaced"]
Subject = Literal["detection", "ground_truth"]

FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

MOST = 2 / 3
"""The share of an area that is most of it. Two boxes that hold most of each other have an IoU of at least
`1 / (2 / MOST - 1)`, one half: up to this threshold a box that fails cannot be right in both ways."""

NOTICEABLE = 0.1
"""The least IoU of a misplaced box; below it an overlap may be chance."""


@dataclass(frozen=True)
class Failure:
    """One false positive or one missed object at an operating point, with the box that goes with it.

    Attributes:
        subject: what failed. Count rows by it: each false positive is the `detection` of exactly one row of
            its own, each missed object the `ground_truth` of one; the other index names what explains it.
        image: index of the image.
        kind: why.
        detection: index into the detections; None where no detection explains a miss.
        ground_truth: index into the ground truth; None for a false alarm.
        score: the detection's; None without one.
        iou, covered, inside: how the two boxes overlap, each in [0, 1]; 0 where one of them is missing.
        held: indices of the objects that the detection holds; two or more where it merges.
    """

    subject: Subject
    image: int
    kind: FailureKind
    detection: int | None
    ground_truth: int | None
    score: float | None
    iou: float
    covered: float
    inside: float
    held: tuple[int, ...]


@dataclass(frozen=True)
class Success:
    """One object that was found at an operating point, by indices as in `Failure`, and how well."""

    image: int
    detection: int
    ground_truth: int
    score: float
    iou: float


@dataclass(frozen=True)
class KindCount:
    """How many false positives and how many missed objects are of one kind."""

    kind: FailureKind
    n_detections: int
    n_missed: int


def classify_failures(matches: Matches, *, iou_threshold: float, score_threshold: float) -> list[Failure]:
    """Give every false positive and every missed object its kind, by the rules at the head of this module.

    Objects that were not to be found (difficult ones that are ignored or absent) and detections that are
    ignored with them are no subjects; these objects explain nothing either. Overlaps are measured in whole
    pixels.

    Args:
        matches: what `match` returned.
        iou_threshold: one of its thresholds.
        score_threshold: detections with a lower score are not made.

    Returns:
        Failures by ascending image; within an image the false positives, best rank first, then the missed
        objects in their order. There are as many of each as `operating_point` counts.

    Raises:
        ValueError: for an IoU threshold that the matches were not made for.
    """
    kinds = matches.kind_at(iou_threshold)
    failures: list[Failure] = []
    for image, detections, objects in _images(matches, score_threshold):
        scene = _Scene.of(matches, iou_threshold, image, detections, objects)
        kind = kinds[detections]
        found = np.isin(objects, matches.best[detections[kind == TRUE_POSITIVE]])
        verdicts = [_judge(scene, row) for row in range(len(detections))]
        for row in np.flatnonzero(kind == FALSE_POSITIVE):
            failures.append(_failure(scene, "detection", verdicts[row].kind, row, verdicts[row].column))
        for column in np.flatnonzero(~found):
            row, why = _explain(scene, verdicts, column)
            failures.append(_failure(scene, "ground_truth", why, row, column))
    return failures


def find_successes(matches: Matches, *, iou_threshold: float, score_threshold: float) -> list[Success]:
    """Return the true positives at an operating point: arguments and order as in `classify_failures`."""
    kept = _kept(matches, score_threshold)
    right = kept[matches.kind_at(iou_threshold)[kept] == TRUE_POSITIVE]
    by_image = right[np.argsort(matches.detections.image[right], kind="stable")]
    return [
        Success(
            int(matches.detections.image[index]), int(index), int(matches.best[index]),
            float(matches.detections.scores[index]), float(matches.best_iou[index]),
        )
        for index in by_image
    ]  # fmt: skip


def count_kinds(failures: Iterable[Failure]) -> list[KindCount]:
    """Count the failures of each kind, in the order of `FAILURE_KINDS`; kinds that do not occur count 0."""
    pairs = [(failure.kind, failure.subject) for failure in failures]
    return [
        KindCount(kind, pairs.count((kind, "detection")), pairs.count((kind, "ground_truth")))
        for kind in FAILURE_KINDS
    ]


def other_class(
    box: ArrayLike, others: Boxes, names: Sequence[str], *, min_share: float = 0.5
) -> str | None:
    """Name what a false alarm may have been taken in by: the annotated object of another class under it.

    Args:
        box: (4,) floats, half-open xyxy in pixels.
        others: (K, 4) float array, the boxes of the objects of other classes in the image.
        names: their K classes.
        min_share: least share of the false alarm that must lie in the object.

    Returns:
        The class of the object of highest IoU among those that hold this share (a cat on a sofa is named,
        not the sofa); None where none does.
    """
    alarm = as_boxes([box])
    shared = intersection(alarm, others)[0]
    holds = (shared >= min_share * area(alarm)[0]) & (shared > 0)
    if not holds.any():
        return None
    return names[int(np.argmax(np.where(holds, iou(alarm, others)[0], -1.0)))]


@dataclass(frozen=True, eq=False)
class _Scene:
    """The kept detections of one image, best rank first (rows), against its objects (columns).

    Attributes:
        claims: (rows,) bool array, whether the detection overlaps an object by more than `iou_threshold`;
            it has found the object then, or repeats a better one, or is ignored.
        covered, inside, iou: (rows, columns) float arrays, how the boxes lie to each other.
    """

    matches: Matches
    iou_threshold: float
    image: int
    detections: NDArray[np.int64]
    objects: NDArray[np.int64]
    claims: NDArray[np.bool_]
    covered: NDArray[np.float64]
    inside: NDArray[np.float64]
    iou: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        matches: Matches,
        iou_threshold: float,
        image: int,
        detections: NDArray[np.int64],
        objects: NDArray[np.int64],
    ) -> "_Scene":
        boxes, true_boxes = matches.detections.boxes[detections], matches.ground_truth.boxes[objects]
        shared = intersection(boxes, true_boxes)
        # A box without area shares none and says nothing of anything: 0 / 1, not 0 / 0.
        covered = shared / np.where(shared > 0, area(true_boxes)[None, :], 1.0)
        inside = shared / np.where(shared > 0, area(boxes)[:, None], 1.0)
        claims = matches.best_iou[detections] > iou_threshold
        overlap = iou(boxes, true_boxes)
        return cls(matches, iou_threshold, image, detections, objects, claims, covered, inside, overlap)

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """(rows, columns): whether most of the object is in the box."""
        return self.covered >= MOST

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """(rows, columns): whether most of the box is in the object."""
        return self.inside >= MOST

    def closest(self, row: int, candidates: NDArray[np.bool_]) -> int:
        """Return the column of highest IoU with a row among the candidates, the first of several."""
        return int(np.argmax(np.where(candidates, self.iou[row], -1.0)))


@dataclass(frozen=True)
class _Verdict:
    """What a detection would be as a false positive, and the column of the object that it is judged by."""

    kind: FailureKind
    column: int | None


def _judge(scene: _Scene, row: int) -> _Verdict:
    """Judge a detection as if it were a false positive."""
    holds, within = scene.holds[row], scene.within[row]
    if scene.claims[row]:
        claimed = scene.objects == scene.matches.best[scene.detections[row]]
        return _Verdict("duplicate", scene.closest(row, claimed) if claimed.any() else None)
    if holds.sum() >= 2:
        return _Verdict("merged", scene.closest(row, holds))
    speaks_of = holds | within | (scene.iou[row] >= NOTICEABLE)
    if not speaks_of.any():
        return _Verdict("false_alarm", None)
    column = scene.closest(row, speaks_of)
    if holds[column] == within[column]:
        return _Verdict("misplaced", column)
    return _Verdict("too_large" if holds[column] else "too_small", column)


def _explain(scene: _Scene, verdicts: list[_Verdict], column: int) -> tuple[int | None, FailureKind]:
    """Find the row that explains why the object of a column was missed, and the kind of the miss."""
    holds, overlap = scene.holds[:, column], scene.iou[:, column]
    judged_by_it = np.array([verdict.column == column for verdict in verdicts], dtype=bool)
    merges = np.array([verdict.kind == "merged" for verdict in verdicts], dtype=bool)
    box_for_two = scene.claims & (holds | (overlap > scene.iou_threshold))
    explains = box_for_two | judged_by_it | (merges & holds)
    if not explains.any():
        return None, "missed"
    row = int(np.argmax(np.where(explains, overlap, -1.0)))
    return row, "merged" if scene.claims[row] else verdicts[row].kind


def _failure(
    scene: _Scene, subject: Subject, kind: FailureKind, row: int | None, column: int | None
) -> Failure:
    """Write down one failure; `row` and `column` name the two boxes as far as there are two."""
    both = row is not None and column is not None
    detection = None if row is None else int(scene.detections[row])
    return Failure(
        subject=subject,
        image=scene.image,
        kind=kind,
        detection=detection,
        ground_truth=None if column is None else int(scene.objects[column]),
        score=None if detection is None else float(scene.matches.detections.scores[detection]),
        iou=float(scene.iou[row, column]) if both else 0.0,
        covered=float(scene.covered[row, column]) if both else 0.0,
        inside=float(scene.inside[row, column]) if both else 0.0,
        held=() if row is None else tuple(scene.objects[scene.holds[row]].tolist()),
    )


def _kept(matches: Matches, score_threshold: float) -> NDArray[np.int64]:
    """Return the detections of an operating point, best rank first."""
    return matches.order[matches.detections.scores[matches.order] >= score_threshold]


def _images(
    matches: Matches, score_threshold: float
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each image that has any with its kept detections, best rank first, and its counted objects."""
    kept, counted = _kept(matches, score_threshold), np.flatnonzero(matches.counted)
    detections = _by_image(kept, matches.detections.image)
    objects = _by_image(counted, matches.ground_truth.image)
    none = np.zeros(0, dtype=np.int64)
    for image in sorted(detections.keys() | objects.keys()):
        yield image, detections.get(image, none), objects.get(image, none)


def _by_image(indices: NDArray[np.int64], image: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Group indices by the image that each belongs to, keeping their order."""
    grouped = indices[np.argsort(image[indices], kind="stable")]
    images, starts = np.unique(image[grouped], return_index=True)
    return dict(zip(images.tolist(), np.split(grouped, starts[1:]), strict=False))
