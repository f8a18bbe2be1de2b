"""What average precision would be if one kind of failure did not occur: an oracle that mends it.

The idea is that of TIDE (Bolya et al. 2020), on the ranking of all detections, with the kinds of an operating
point. A kind is mended so:

- A wrong box of `background`, `other_object` or `duplicate` is removed.
- A wrong box of `too_small`, `too_large`, `split` or `poor_overlap` is corrected to the object that it is
  judged by, and one that is `merged` becomes a box on each of the objects in it; it keeps its score. Objects
  that something finds are left to what finds them; of several corrected boxes the best-ranked takes the
  object; a box that is left with none is removed.
- A missed object of the kind is found, if the above does not: as surely as the box that explains it, or,
  where none does (`missed`), as the last of the boxes at the operating point.
- A detection below the operating point that found one of these objects moves up with it.

Nothing else changes, so a mended ranking is never worse, and mending a kind that does not occur gains
nothing. The gains of several kinds do not add up: each is what is gained while all others stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.errors.kinds import FAILURE_TYPES, Failure, FailureType
from dogcam.evaluate.metrics import (
    TRUE_POSITIVE,
    Interval,
    Matches,
    percentile_interval,
    precision_recall,
    resampled_ap,
)
from dogcam.structures.detections import Detections


@dataclass(frozen=True)
class Gain:
    """What mending one kind of failure adds to the average precision.

    Attributes:
        kind: what is mended.
        value: the gain, in [0, 1]; nan without ground truth.
        interval: its bootstrap interval over images.
    """

    kind: FailureType
    value: float
    interval: Interval


def ap_gains(
    matches: Matches,
    failures: Sequence[Failure],
    *,
    iou_threshold: float,
    score_threshold: float,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Gain]:
    """Return what mending each kind would gain in all-point AP, in the order of `FAILURE_TYPES`.

    Args:
        matches: what `match` returned.
        failures: what `classify_failures` returned for them.
        iou_threshold, score_threshold: the operating point that the failures were classified at.
        n_resamples, level, seed: of the bootstrap; the failures keep their kinds in every resample.
    """
    sampling = {"n_resamples": n_resamples, "seed": seed}
    place = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    before = _at_one_threshold(matches, iou_threshold)
    drawn, value = resampled_ap(before, **sampling)[0], _ap(before)
    gains = []
    for kind in FAILURE_TYPES:
        occurs = any(failure.kind == kind for failure in failures)
        after = mend(matches, failures, kind, **place) if occurs else before
        drawn_after = resampled_ap(after, **sampling)[0] if occurs else drawn
        gains.append(Gain(kind, _ap(after) - value, percentile_interval(drawn_after - drawn, level)))
    return gains


def mend(
    matches: Matches,
    failures: Sequence[Failure],
    kind: FailureType,
    *,
    iou_threshold: float,
    score_threshold: float,
) -> Matches:
    """Return the matches as they would be if one kind of failure did not occur, at `iou_threshold` alone.

    Arguments as for `ap_gains`. A box that finds an object it did not find before lies on it exactly.
    """
    matches = _at_one_threshold(matches, iou_threshold)
    places = np.empty(len(matches.order), dtype=np.int64)
    places[matches.order] = np.arange(len(matches.order))
    kept = matches.detections.scores >= score_threshold
    found = _newly_found(failures, kind, places, last=int(kept.sum()) - 1)
    wrong = [failure.detection for failure in failures if _is_wrong(failure, kind)]
    objects = np.array(list(found), dtype=np.int64)
    moved_up = (matches.kind[0] == TRUE_POSITIVE) & np.isin(matches.best, objects)
    left = np.flatnonzero(~moved_up & ~np.isin(np.arange(len(kept)), wrong))
    return _rebuilt(matches, left, places[left], objects, np.array(list(found.values()), dtype=np.int64))


def _newly_found(
    failures: Sequence[Failure], kind: FailureType, places: NDArray[np.int64], last: int
) -> dict[int, int]:
    """Return the objects that are found once the kind is mended, each with its place in the ranking."""
    missed = {failure.ground_truth for failure in failures if failure.subject == "ground_truth"}
    found: dict[int, int] = {}
    wrong = (failure for failure in failures if _is_wrong(failure, kind))
    for failure in sorted(wrong, key=lambda failure: places[failure.detection]):
        speaks_of = failure.held if kind == "merged" else (failure.ground_truth,)
        for thing in missed.intersection(speaks_of):
            found.setdefault(thing, int(places[failure.detection]))
    for failure in failures:
        if failure.subject == "ground_truth" and failure.kind == kind:
            place = last if failure.detection is None else int(places[failure.detection])
            found.setdefault(failure.ground_truth, place)
    return found


def _is_wrong(failure: Failure, kind: FailureType) -> bool:
    return failure.kind == kind and failure.subject == "detection"


def _rebuilt(
    matches: Matches,
    left: NDArray[np.int64],
    left_places: NDArray[np.int64],
    objects: NDArray[np.int64],
    places: NDArray[np.int64],
) -> Matches:
    """Put the detections that are left, and a true positive on each of the objects, into one ranking."""
    truth, old = matches.ground_truth, matches.detections
    # Behind the last place, should nothing be kept at the operating point, comes the first.
    ranked_scores = old.scores[matches.order]
    scores = ranked_scores[np.maximum(places, 0)] if len(ranked_scores) else np.zeros(len(objects))
    return replace(
        matches,
        detections=Detections(
            np.append(old.image[left], truth.image[objects]),
            np.vstack([old.boxes[left], truth.boxes[objects]]),
            np.append(old.scores[left], scores),
        ),
        # Stable, and what is left comes first: a box that is added stands behind the one that explains it.
        order=np.argsort(np.append(left_places, places), kind="stable"),
        best=np.append(matches.best[left], objects),
        best_iou=np.append(matches.best_iou[left], np.ones(len(objects))),
        kind=np.append(matches.kind[:, left], np.full((1, len(objects)), TRUE_POSITIVE, np.int8), axis=1),
    )


def _at_one_threshold(matches: Matches, iou_threshold: float) -> Matches:
    return replace(matches, iou_thresholds=(iou_threshold,), kind=matches.kind_at(iou_threshold)[None, :])


def _ap(matches: Matches) -> float:
    return precision_recall(matches, matches.iou_thresholds[0]).average_precision()
