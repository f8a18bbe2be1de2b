"""Assign exactly one failure type to each false positive and each missed object, by geometry.

Three numbers describe the overlap of a box B with the box G of an object:

    covered = |B & G| / |G|,    inside = |B & G| / |B|,    IoU = |B & G| / |B | G|

A false positive has the first type whose condition holds:

1. `duplicate`: its IoU with an object that a higher-ranked detection found exceeds `iou_threshold`.
2. `merged`: it covers at least half (covered >= `HALF`) of each of two or more objects.
3. An object is *related* to the box if covered >= `MOST`, inside >= `MOST`, or IoU >= `NOTICEABLE`. The
   related object of highest IoU decides:
   `too_large` if covered >= `MOST` and inside < `MOST`;
   `too_small` if inside >= `MOST` and covered < `MOST`, or `split` if another detection is too small for the
   same object, or found it;
   `poor_overlap` otherwise.
4. `other_object`: no object is related, but the box lies on an object of another class: at least half of the
   box is inside that object, or the box covers `MOST` of it with an IoU of at least `NOTICEABLE`.
5. `background`: none of these.

So a box on the nose of a dog is too small, not background, even if its IoU is close to 0.

A missed object has the type of the false positive of highest IoU that it decides, or that merges it with
other objects. A true positive or duplicate of another object explains the miss as `merged` if it also covers
at least half of this object, or its IoU with this object exceeds `iou_threshold`. Otherwise the object is
`missed`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dogcam.evaluate.errors.scene import HALF, MOST, Scene, kept_detections, scenes
from dogcam.evaluate.errors.types import Failure, FailureType, OtherObjects, Subject, Success
from dogcam.evaluate.metrics import FALSE_POSITIVE, TRUE_POSITIVE, Matches
from dogcam.structures.boxes import Boxes, area, as_boxes, intersection, iou

NOTICEABLE = 0.1
"""Least IoU of a poor overlap, and of a box around an object of another class; less may be chance."""


def classify_failures(
    matches: Matches, *, iou_threshold: float, score_threshold: float, others: OtherObjects | None = None
) -> list[Failure]:
    """Assign a failure type to every false positive and missed object, by the rules of this module.

    Objects that do not count (difficult objects that are ignored or absent) and detections that are ignored
    with them are excluded. Overlaps are measured in whole pixels.

    Args:
        matches: the result of `match`.
        iou_threshold: one of its thresholds.
        score_threshold: detections with a lower score are excluded.
        others: the objects of other classes; None if none are annotated.

    Returns:
        Failures by ascending image; within an image the false positives in rank order, then the missed
        objects in their order. Their numbers are those of `operating_point`.

    Raises:
        ValueError: if the matches do not have this IoU threshold.
    """
    kinds = matches.kind_at(iou_threshold)
    others = OtherObjects.from_images() if others is None else others
    failures: list[Failure] = []
    for scene in scenes(matches, iou_threshold, score_threshold):
        kind = kinds[scene.detections]
        found = np.isin(scene.objects, matches.best[scene.detections[kind == TRUE_POSITIVE]])
        verdicts = _judge_all(scene, others)
        for row in np.flatnonzero(kind == FALSE_POSITIVE).tolist():
            failures.append(_failure(scene, "detection", verdicts[row], row, verdicts[row].column))
        for column in np.flatnonzero(~found).tolist():
            held_by, why = _explain(scene, verdicts, column)
            failures.append(_failure(scene, "ground_truth", why, held_by, column))
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
    """Return the class of the annotated object of another class that a box lies on.

    Args:
        box: (4,) floats, half-open xyxy in pixels.
        others: (K, 4) float array, the boxes of the objects of other classes in the image.
        names: their K classes.

    Returns:
        The class of the object of highest IoU among those that the box lies on by rule 4 (the cat on a sofa,
        not the sofa); None if there is none.
    """
    alarm = as_boxes(np.asarray(box)[None])
    shared, overlap = intersection(alarm, others)[0], iou(alarm, others)[0]
    within = shared >= HALF * area(alarm)[0]
    around = (shared >= MOST * area(others)) & (overlap >= NOTICEABLE)
    lies_on = (within | around) & (shared > 0)
    return names[int(np.argmax(np.where(lies_on, overlap, -1.0)))] if lies_on.any() else None


@dataclass(frozen=True)
class _Verdict:
    """The failure type of a detection if it is a false positive, and the column of the deciding object."""

    type: FailureType
    column: int | None = None
    other_class: str | None = None


def _judge_all(scene: Scene, others: OtherObjects) -> list[_Verdict]:
    """Judge each detection as a false positive; detections of one object are judged together."""
    here = np.flatnonzero(others.image == scene.image)
    boxes, names = others.boxes[here], [others.names[index] for index in here]
    verdicts = [_judge(scene, row, boxes, names) for row in range(len(scene.detections))]
    # A true positive claims its object, so here it is judged as a duplicate.
    on_object = Counter(verdict.column for verdict in verdicts if verdict.type in ("too_small", "duplicate"))
    return [
        replace(verdict, type="split")
        if verdict.type == "too_small" and on_object[verdict.column] > 1
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
    related = holds | within | (scene.iou[row] >= NOTICEABLE)
    if not related.any():
        name = other_object(scene.box(row), others, names)
        return _Verdict("background") if name is None else _Verdict("other_object", other_class=name)
    column = scene.closest(row, related)
    if holds[column] == within[column]:
        return _Verdict("poor_overlap", column)
    return _Verdict("too_large" if holds[column] else "too_small", column)


def _explain(scene: Scene, verdicts: list[_Verdict], column: int) -> tuple[int | None, _Verdict]:
    """Find the row that explains why the object of a column was missed, and the failure type."""
    shares, overlap = scene.shares[:, column], scene.iou[:, column]
    judged_by_it = np.array([verdict.column == column for verdict in verdicts], dtype=bool)
    merges = np.array([verdict.type == "merged" for verdict in verdicts], dtype=bool)
    box_for_two = scene.claims & (shares | (overlap > scene.iou_threshold))
    explains = box_for_two | judged_by_it | (merges & shares)
    if not explains.any():
        return None, _Verdict("missed")
    row = int(np.argmax(np.where(explains, overlap, -1.0)))
    return row, _Verdict("merged") if scene.claims[row] else verdicts[row]


def _failure(scene: Scene, subject: Subject, why: _Verdict, row: int | None, column: int | None) -> Failure:
    """Build one failure from its row and column, either of which may be missing."""
    both = row is not None and column is not None
    detection = None if row is None else int(scene.detections[row])
    return Failure(
        subject=subject,
        image=scene.image,
        type=why.type,
        detection=detection,
        ground_truth=None if column is None else int(scene.objects[column]),
        score=None if detection is None else float(scene.matches.detections.scores[detection]),
        iou=float(scene.iou[row, column]) if both else 0.0,
        covered=float(scene.covered[row, column]) if both else 0.0,
        inside=float(scene.inside[row, column]) if both else 0.0,
        held=() if row is None else tuple(scene.objects[scene.shares[row]].tolist()),
        other_class=why.other_class,
    )
