"""The AP gain if one failure type were fixed: an oracle corrects all failures of this type.

As in TIDE (Bolya et al. 2020), on the ranking of all detections, with the failure types of an operating
point. `TYPE_TEXTS` of `dogcam.structures.categories` states the fix of each failure type:

- `remove`: a false positive of the type is removed.
- `move`: it is moved onto the object that decided its type. `one_each`: it becomes a box on each of its
  objects. Both keep their score. An object that another detection finds is left to that detection. If
  several boxes are moved onto one object, the best-ranked one takes it. A box without an object is removed.
- A missed object of any type is found, unless these rules find it. Its score is that of the box that
  explains it. If no box does (`missed`), it is ranked last of the boxes at the operating point.
- A detection below the operating point that found one of these objects moves up with it.

Nothing else changes: a fixed ranking is never worse, and fixing a type that does not occur gains nothing. The
gains of several types do not add up, since each is computed while all other failures stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.errors.types import FAILURE_TYPES, Failure, FailureType
from dogcam.evaluate.metrics import (
    TRUE_POSITIVE,
    Estimate,
    Matches,
    Resampler,
    estimate,
    precision_recall,
)
from dogcam.structures.categories import TYPE_TEXTS
from dogcam.structures.detections import Detections


@dataclass(frozen=True)
class Gain:
    """The AP gain if one failure type were fixed.

    Attributes:
        type: the failure type.
        ap: the gain in AP, in [0, 1]; None without ground truth.
    """

    type: FailureType
    ap: Estimate


def ap_gains(
    matches: Matches,
    failures: Sequence[Failure],
    *,
    iou_threshold: float,
    score_threshold: float,
    resampler: Resampler,
) -> list[Gain]:
    """Return the gain in all-point AP if each failure type were fixed, in the order of `FAILURE_TYPES`.

    Args:
        matches: the result of `match`.
        failures: the result of `classify_failures` for them.
        iou_threshold, score_threshold: the operating point at which the failures were classified.
        resampler: of the same images; failures keep their types in every resample.
    """
    point = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    before = _at_one_threshold(matches, iou_threshold)
    drawn, value = resampler.ap_samples(before)[0], _ap(before)
    gains = []
    for failure_type in FAILURE_TYPES:
        occurs = any(failure.type == failure_type for failure in failures)
        after = fix(matches, failures, failure_type, **point) if occurs else before
        drawn_after = resampler.ap_samples(after)[0] if occurs else drawn
        gains.append(
            Gain(failure_type, estimate(_ap(after) - value, resampler.interval(drawn_after - drawn)))
        )
    return gains


def fix(
    matches: Matches,
    failures: Sequence[Failure],
    failure_type: FailureType,
    *,
    iou_threshold: float,
    score_threshold: float,
) -> Matches:
    """Return the matches without the failures of one type, at `iou_threshold` alone.

    Arguments as for `ap_gains`. A box that finds an object it did not find before is the object's box.
    """
    matches = _at_one_threshold(matches, iou_threshold)
    places = np.empty(len(matches.order), dtype=np.int64)
    places[matches.order] = np.arange(len(matches.order))
    kept = matches.detections.scores >= score_threshold
    found = _newly_found(failures, failure_type, places, last=int(kept.sum()) - 1)
    wrong = np.array(
        [failure.detection for failure in failures if _is_wrong(failure, failure_type)], dtype=np.int64
    )
    objects = np.array(list(found), dtype=np.int64)
    moved_up = (matches.kind[0] == TRUE_POSITIVE) & np.isin(matches.best, objects)
    left = np.flatnonzero(~moved_up & ~np.isin(np.arange(len(kept)), wrong))
    return _rebuilt(matches, left, places[left], objects, np.array(list(found.values()), dtype=np.int64))


def _newly_found(
    failures: Sequence[Failure], failure_type: FailureType, places: NDArray[np.int64], last: int
) -> dict[int, int]:
    """Return the objects that are found once the type is fixed, each with its place in the ranking."""
    missed = {
        failure.ground_truth
        for failure in failures
        if failure.subject == "ground_truth" and failure.ground_truth is not None
    }
    found: dict[int, int] = {}
    wrong = (failure for failure in failures if _is_wrong(failure, failure_type))
    for failure in sorted(wrong, key=lambda failure: places[failure.detection]):
        for thing in missed.intersection(_objects_of(failure)):
            found.setdefault(thing, int(places[failure.detection]))
    for failure in failures:
        target = failure.ground_truth
        if failure.subject == "ground_truth" and failure.type == failure_type and target is not None:
            place = last if failure.detection is None else int(places[failure.detection])
            found.setdefault(target, place)
    return found


def _objects_of(failure: Failure) -> tuple[int, ...]:
    """Return the objects that a false positive finds once it is fixed."""
    match TYPE_TEXTS[failure.type].fix:
        case "move":
            return () if failure.ground_truth is None else (failure.ground_truth,)
        case "one_each":
            return failure.held
        case "remove" | "add":
            return ()


def _is_wrong(failure: Failure, failure_type: FailureType) -> bool:
    return failure.type == failure_type and failure.subject == "detection"


def _rebuilt(
    matches: Matches,
    left: NDArray[np.int64],
    left_places: NDArray[np.int64],
    objects: NDArray[np.int64],
    places: NDArray[np.int64],
) -> Matches:
    """Rank the detections that are left together with a true positive on each of the objects."""
    truth, old = matches.ground_truth, matches.detections
    # If nothing is kept at the operating point, the last place is -1: the first place then.
    ranked_scores = old.scores[matches.order]
    scores = ranked_scores[np.maximum(places, 0)] if len(ranked_scores) else np.zeros(len(objects))
    return replace(
        matches,
        detections=Detections(
            np.append(old.image[left], truth.image[objects]),
            np.vstack([old.boxes[left], truth.boxes[objects]]),
            np.append(old.scores[left], scores),
        ),
        # Stable, and detections that are left come first: an added box follows the one that explains it.
        order=np.argsort(np.append(left_places, places), kind="stable"),
        best=np.append(matches.best[left], objects),
        best_iou=np.append(matches.best_iou[left], np.ones(len(objects))),
        kind=np.append(matches.kind[:, left], np.full((1, len(objects)), TRUE_POSITIVE, np.int8), axis=1),
    )


def _at_one_threshold(matches: Matches, iou_threshold: float) -> Matches:
    return replace(matches, iou_thresholds=(iou_threshold,), kind=matches.kind_at(iou_threshold)[None, :])


def _ap(matches: Matches) -> float:
    return precision_recall(matches, matches.iou_thresholds[0]).average_precision()
