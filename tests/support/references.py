"""Slow, obvious loops that the metrics are compared with; nothing here is shared with what is tested."""

from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np


def iou(box, other, plus_one=True):
    """IoU of two half-open boxes; without the +1 every side is a pixel shorter."""
    less = 0 if plus_one else 1

    def sides(x0, y0, x1, y1):
        return max(x1 - x0 - less, 0), max(y1 - y0 - less, 0)

    width, height = sides(
        max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])
    )
    shared = width * height
    areas = [w * h for w, h in (sides(*box), sides(*other))]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0


def stable_order(scores):
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def kinds_of(truth, found, iou_threshold, order, difficult="counted", plus_one=True):
    """VOC's matching one detection after the other: 'tp', 'fp' or 'ignored' for each, in input order."""
    taken, kinds = set(), {}
    for detection in order:
        best, best_iou = None, 0.0
        for place in range(len(truth.boxes)):
            if difficult == "absent" and truth.difficult[place]:
                continue
            if truth.image[place] != found.image[detection]:
                continue
            overlap = iou(found.boxes[detection], truth.boxes[place], plus_one)
            if overlap > best_iou:
                best, best_iou = place, overlap
        if best is None or best_iou <= iou_threshold:
            kinds[detection] = "fp"
        elif difficult == "ignored" and truth.difficult[best]:
            kinds[detection] = "ignored"
        else:
            kinds[detection] = "fp" if best in taken else "tp"
            taken.add(best)
    return [kinds[detection] for detection in range(len(found.scores))]


def n_counted(truth, difficult="counted"):
    return len(truth.boxes) if difficult == "counted" else sum(1 for mark in truth.difficult if not mark)


def ap_of(ranked_kinds, n_ground_truth, variant):
    """AP in exact fractions, straight from the definition of the interpolated precision."""
    if n_ground_truth == 0:
        return float("nan")
    points, correct, seen = [], 0, 0
    for kind in ranked_kinds:
        if kind == "ignored":
            continue
        seen += 1
        correct += kind == "tp"
        points.append((Fraction(correct, n_ground_truth), Fraction(correct, seen)))

    def interpolated(reaches):
        return max((precision for recall, precision in points if reaches(recall)), default=Fraction(0))

    if variant == "all_point":
        steps = [Fraction(k, n_ground_truth) for k in range(1, correct + 1)]
        total = sum(interpolated(lambda recall, at=at: recall >= at) for at in steps)
        return float(Fraction(total) / n_ground_truth)
    if variant == "voc07_11point":
        at_grid = [interpolated(lambda recall, k=k: recall >= Fraction(k, 10)) for k in range(11)]
    else:  # COCO compares with floats, each the product of its number and 0.01
        at_grid = [interpolated(lambda recall, k=k: float(recall) >= k * 0.01) for k in range(101)]
    return float(sum(at_grid) / len(at_grid))


def slow_ap(truth, found, iou_threshold, variant, difficult="counted", plus_one=True, order=None):
    order = stable_order(found.scores) if order is None else order
    kinds = kinds_of(truth, found, iou_threshold, order, difficult, plus_one)
    return ap_of([kinds[place] for place in order], n_counted(truth, difficult), variant)


def aps_over_tied_orders(truth, found, iou_threshold, variant):
    """The AP of every order that does not put a lower score before a higher one."""
    scores = found.scores
    for order in permutations(range(len(scores))):
        if all(scores[one] >= scores[next_one] for one, next_one in pairwise(order)):
            yield slow_ap(truth, found, iou_threshold, variant, order=order)


def draw_images(truth, found, drawn, order):
    """The data set with these images, each draw an image of its own; copies of a detection stay neighbours.

    Returns two dicts of arrays: for the ground truth and, in rank order, for the detections.
    """
    copies = {image: [new for new, old in enumerate(drawn) if old == image] for image in set(drawn)}
    boxes = [
        (new, place) for place, image in enumerate(truth.image.tolist()) for new in copies.get(image, [])
    ]
    kept = [(new, place) for place in order for new in copies.get(int(found.image[place]), [])]
    places = np.array([place for _, place in boxes], dtype=int)
    rows = np.array([place for _, place in kept], dtype=int)
    return (
        {
            "image": np.array([new for new, _ in boxes], dtype=int),
            "boxes": truth.boxes[places],
            "difficult": truth.difficult[places],
            "n_images": truth.n_images,
        },
        {
            "image": np.array([new for new, _ in kept], dtype=int),
            "boxes": found.boxes[rows],
            "scores": found.scores[rows],
        },
    )
