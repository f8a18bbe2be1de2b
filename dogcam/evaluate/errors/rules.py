"""The rules of the taxonomy: exactly one kind for each false positive and each missed object, by geometry.

How a box B and an object's box G lie to each other is told by three numbers:

    covered = |B & G| / |G|,    inside = |B & G| / |B|,    IoU = |B & G| / |B | G|

A false positive is, by the first of these that holds,

1. `duplicate`: its IoU with an object that a better-ranked detection found is above `iou_threshold`;
2. `merged`: at least half (covered >= `HALF`) of each of two or more objects is in it;
3. judged by one object, the one of highest IoU among those of which it says anything at all:
   `too_large` (includes background) if it holds the object (covered >= `MOST`) and does not lie inside,
   `too_small` (part of the object only) if it lies inside (inside >= `MOST`) and does not hold it,
   `poor_overlap` if neither or both, and the IoU is at least `NOTICEABLE`;
   what would be a part is `split` (one object split over boxes) if another detection is a part of the same
   object, or has found it;
4. `other_object`, if it says nothing of any object but lies on one of another class: at least half of it
   does, or it holds that object with an IoU of at least `NOTICEABLE`;
5. `background`: none of these. It meets nothing that is annotated, or too little of it: it says nothing of
   any object by rule 3, and lies on none of another class by rule 4.

So a box on a dog's nose, whose IoU may be next to nothing, is a part and not background.

A missed object has the kind of the false positive of highest IoU that was judged by it, or merges it with
others. A detection that found another object, or repeats it, explains the miss as `merged` if at least half
of this object is in it too, or its IoU with it is above `iou_threshold`: one box for two. An object that
nothing explains is `missed`: no box says anything of it, or one that does is judged by another object.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dogcam.evaluate.errors.kinds import Failure, FailureType, OtherObjects, Subject, Success
from dogcam.evaluate.errors.scene import HALF, MOST, Scene, kept_detections, scenes
from dogcam.evaluate.metrics import FALSE_POSITIVE, TRUE_POSITIVE, Matches
from dogcam.structures.boxes import Boxes, area, as_boxes, intersection, iou

NOTICEABLE = 0.1
"""The least IoU of a poor overlap, and of a box around a look-alike; below it an overlap may be chance."""


def classify_failures(
    matches: Matches, *, iou_threshold: float, score_threshold: float, others: OtherObjects | None = None
) -> list[Failure]:
    """Give every false positive and every missed object its kind, by the rules at the head of this module.

    Objects that were not to be found (difficult ones that are ignored or absent) and detections that are
    ignored with them are no subjects; these objects explain nothing either. Overlaps are measured in whole
    pixels.

    Args:
        matches: what `match` returned.
        iou_threshold: one of its thresholds.
        score_threshold: detections with a lower score are not made.
        others: the objects of other classes, for look-alikes; None where no others are annotated.

    Returns:
        Failures by ascending image; within an image the false positives, best rank first, then the missed
        objects in their order. There are as many of each as `operating_point` counts.

    Raises:
        ValueError: for an IoU threshold that the matches were not made for.
    """
    kinds = matches.kind_at(iou_threshold)
    others = OtherObjects.from_images() if others is None else others
    failures: list[Failure] = []
    for scene in scenes(matches, iou_threshold, score_threshold):
        kind = kinds[scene.detections]
        found = np.isin(scene.objects, matches.best[scene.detections[kind == TRUE_POSITIVE]])
        verdicts = _judge_all(scene, others)
        for row in np.flatnonzero(kind == FALSE_POSITIVE):
            failures.append(_failure(scene, "detection", verdicts[row], row, verdicts[row].column))
        for column in np.flatnonzero(~found):
            row, why = _explain(scene, verdicts, column)
            failures.append(_failure(scene, "ground_truth", why, row, column))
    return failures


def find_successes(matches: Matches, *, iou_threshold: float, score_threshold: float) -> list[Success]:
    """Return the true positives at an operating point: arguments and order as in `classify_failures`."""
    kept = kept_detections(matches, score_threshold)
    right = kept[matches.kind_at(iou_threshold)[kept] == TRUE_POSITIVE]
    by_image = right[np.argsort(matches.detections.image[right], kind="stable")]
    return [
        Success(
            int(matches.detections.image[index]), int(index), int(matches.best[index]),
            float(matches.detections.scores[index]), float(matches.best_iou[index]),
        )
        for index in by_image
    ]  # fmt: skip


def other_object(box: ArrayLike, others: Boxes, names: Sequence[str]) -> str | None:
    """Name what a box may have been taken in by: the annotated object of another class that it lies on.

    Args:
        box: (4,) floats, half-open xyxy in pixels.
        others: (K, 4) float array, the boxes of the objects of other classes in the image.
        names: their K classes.

    Returns:
        The class of the object of highest IoU among those that the box lies on by the rules (a cat on a sofa
        is named, not the sofa); None where it lies on none.
    """
    alarm = as_boxes([box])
    shared, overlap = intersection(alarm, others)[0], iou(alarm, others)[0]
    within = shared >= HALF * area(alarm)[0]
    around = (shared >= MOST * area(others)) & (overlap >= NOTICEABLE)
    lies_on = (within | around) & (shared > 0)
    return names[int(np.argmax(np.where(lies_on, overlap, -1.0)))] if lies_on.any() else None


@dataclass(frozen=True)
class _Verdict:
    """What a detection would be as a false positive, and the column of the object that it is judged by."""

    kind: FailureType
    column: int | None = None
    other_class: str | None = None


def _judge_all(scene: Scene, others: OtherObjects) -> list[_Verdict]:
    """Judge each detection as if it were a false positive, those of one object in view of each other."""
    here = np.flatnonzero(others.image == scene.image)
    boxes, names = others.boxes[here], [others.names[index] for index in here]
    verdicts = [_judge(scene, row, boxes, names) for row in range(len(scene.detections))]
    # What finds an object claims it, and is judged a duplicate here like what repeats it.
    on_object = Counter(verdict.column for verdict in verdicts if verdict.kind in ("too_small", "duplicate"))
    return [
        replace(verdict, kind="split")
        if verdict.kind == "too_small" and on_object[verdict.column] > 1
        else verdict
        for verdict in verdicts
    ]


def _judge(scene: Scene, row: int, others: Boxes, names: Sequence[str]) -> _Verdict:
    holds, within, shares = scene.holds[row], scene.within[row], scene.shares[row]
    if scene.claims[row]:
        claimed = scene.objects == scene.matches.best[scene.detections[row]]
        return _Verdict("duplicate", scene.closest(row, claimed) if claimed.any() else None)
    if shares.sum() >= 2:
        return _Verdict("merged", scene.closest(row, shares))
    speaks_of = holds | within | (scene.iou[row] >= NOTICEABLE)
    if not speaks_of.any():
        name = other_object(scene.box(row), others, names)
        return _Verdict("background") if name is None else _Verdict("other_object", other_class=name)
    column = scene.closest(row, speaks_of)
    if holds[column] == within[column]:
        return _Verdict("poor_overlap", column)
    return _Verdict("too_large" if holds[column] else "too_small", column)


def _explain(scene: Scene, verdicts: list[_Verdict], column: int) -> tuple[int | None, _Verdict]:
    """Find the row that explains why the object of a column was missed, and the kind of the miss."""
    shares, overlap = scene.shares[:, column], scene.iou[:, column]
    judged_by_it = np.array([verdict.column == column for verdict in verdicts], dtype=bool)
    merges = np.array([verdict.kind == "merged" for verdict in verdicts], dtype=bool)
    box_for_two = scene.claims & (shares | (overlap > scene.iou_threshold))
    explains = box_for_two | judged_by_it | (merges & shares)
    if not explains.any():
        return None, _Verdict("missed")
    row = int(np.argmax(np.where(explains, overlap, -1.0)))
    return row, _Verdict("merged") if scene.claims[row] else verdicts[row]


def _failure(scene: Scene, subject: Subject, why: _Verdict, row: int | None, column: int | None) -> Failure:
    """Write down one failure; `row` and `column` name the two boxes as far as there are two."""
    both = row is not None and column is not None
    detection = None if row is None else int(scene.detections[row])
    return Failure(
        subject=subject,
        image=scene.image,
        kind=why.kind,
        detection=detection,
        ground_truth=None if column is None else int(scene.objects[column]),
        score=None if detection is None else float(scene.matches.detections.scores[detection]),
        iou=float(scene.iou[row, column]) if both else 0.0,
        covered=float(scene.covered[row, column]) if both else 0.0,
        inside=float(scene.inside[row, column]) if both else 0.0,
        held=() if row is None else tuple(scene.objects[scene.shares[row]].tolist()),
        other_class=why.other_class,
    )
