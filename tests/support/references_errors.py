"""The rules of the failure types again, said with plain loops over one pair of boxes after the other."""

from tests.support.references import ap_of, iou, kinds_of, stable_order


def types_by_loops(truth, found, iou_threshold, score_threshold):
    """Return the failure type of each false positive and of each missed object: two dicts by index."""
    ranked = sorted(range(len(found)), key=lambda d: -found.scores[d])
    ranked = [d for d in ranked if found.scores[d] >= score_threshold]
    false, missed, owner = {}, {}, {}
    claimed = {d: _claimed(truth, found, d, iou_threshold) for d in ranked}
    for d in ranked:
        if claimed[d] is not None:
            owner.setdefault(claimed[d], d)
    judged_by = {}
    for d in ranked:
        if claimed[d] is None:
            false[d], judged_by[d] = _shape(truth, found, d)
        elif owner[claimed[d]] != d:
            false[d], judged_by[d] = "duplicate", [claimed[d]]
    _mark_split(false, judged_by, ranked, claimed)
    for g in range(len(truth)):
        if g not in owner:
            missed[g] = _why_missed(truth, found, g, ranked, claimed, false, judged_by, iou_threshold)
    return false, missed


def _claimed(truth, found, d, iou_threshold):
    here = [g for g in range(len(truth)) if truth.image[g] == found.image[d]]
    nearest = max(here, key=lambda g: iou(found.boxes[d], truth.boxes[g]), default=None)
    if nearest is None or not iou(found.boxes[d], truth.boxes[nearest]) > iou_threshold:
        return None
    return nearest


def _shape(truth, found, d):
    here = [g for g in range(len(truth)) if truth.image[g] == found.image[d]]
    swallowed = [g for g in here if _share(truth.boxes[g], found.boxes[d]) >= 1 / 2]
    if len(swallowed) > 1:
        return "merged", swallowed
    candidates = []
    for g in here:
        large = _share(truth.boxes[g], found.boxes[d]) >= 2 / 3
        small = _share(found.boxes[d], truth.boxes[g]) >= 2 / 3
        ratio = iou(found.boxes[d], truth.boxes[g])
        if large and not small:
            candidates.append((-ratio, g, "too_large"))
        elif small and not large:
            candidates.append((-ratio, g, "too_small"))
        elif ratio >= 0.1:
            candidates.append((-ratio, g, "poor_overlap"))
    if not candidates:
        return "background", []
    _, g, failure_type = min(candidates)
    return failure_type, [g]


def _mark_split(false, judged_by, ranked, claimed):
    parts = [d for d in false if false[d] == "too_small"]
    for d in parts:
        (g,) = judged_by[d]
        siblings = [other for other in parts if other != d and judged_by[other] == [g]]
        if siblings or any(claimed[other] == g for other in ranked):
            false[d] = "split"


def _why_missed(truth, found, g, ranked, claimed, false, judged_by, iou_threshold):
    best, failure_type = -1.0, "missed"
    for d in ranked:
        if found.image[d] != truth.image[g]:
            continue
        ratio = iou(found.boxes[d], truth.boxes[g])
        if claimed[d] is not None:
            speaks = ratio > iou_threshold or _share(truth.boxes[g], found.boxes[d]) >= 1 / 2
            why = "merged"
        else:
            speaks, why = g in judged_by[d], false[d]
        if speaks and ratio > best:
            best, failure_type = ratio, why
    return failure_type


def _share(box, other):
    """Return the share of a box that lies in another one."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((box[2] - box[0]) * (box[3] - box[1]))


def fixed_ap_by_loops(truth, found, failures, failure_type, iou_threshold, score_threshold):
    """Return the all-point AP after the oracle fix of a type, entry by entry of the ranking."""
    order = stable_order(found.scores)
    kinds = kinds_of(truth, found, iou_threshold, order)
    missed = [row.ground_truth for row in failures if row.subject == "ground_truth"]
    boxes = {
        row.detection: row for row in failures if row.subject == "detection" and row.type == failure_type
    }
    misses = [row for row in failures if row.subject == "ground_truth" and row.type == failure_type]
    new, behind = set(), {}
    for d in order:
        if d in boxes:
            objects = boxes[d].held if failure_type == "merged" else [boxes[d].ground_truth]
            behind[d] = [g for g in objects if g in missed and g not in new]
            new.update(behind[d])
    kept = [d for d in order if found.scores[d] >= score_threshold]
    last = kept[-1] if kept else None
    for row in misses:
        if row.ground_truth not in new:
            new.add(row.ground_truth)
            behind.setdefault(last if row.detection is None else row.detection, []).append(row.ground_truth)
    ranking = ["tp"] * len(behind.get(None, []))
    for d in order:
        moved_up = kinds[d] == "tp" and _claimed(truth, found, d, iou_threshold) in new
        if d not in boxes and not moved_up:
            ranking.append(kinds[d])
        ranking += ["tp"] * len(behind.get(d, []))
    return float(ap_of(ranking, len(truth), "all_point"))
