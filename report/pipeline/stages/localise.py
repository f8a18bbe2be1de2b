"""Choose on the tuning split where to cut the maps, then box the objects of the test split."""

import itertools
from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dogcam.detection import baselines
from dogcam.detection.boxes_from_maps import Components, LocalisationRule, localise_map
from dogcam.evaluate.metrics import match, precision_recall
from dogcam.structures.boxes import Boxes
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import Split
from report.pipeline.context import Context
from report.pipeline.methods import MAIN, RULE_OF, in_use
from report.pipeline.stages import predict

NAME = "localise"

CAM_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
COMPONENTS = get_args(Components)
DEFAULT_CAM_THRESHOLD = 0.3
"""Where to cut when there is no split to choose on: the customary value, not tuned on anything."""

Found = list[tuple[Boxes, NDArray[np.float64]]]
"""For each image its boxes and their scores."""


def run(context: Context) -> dict:
    """Choose a rule for each kind of map, and detect.

    Returns:
        The tuning of each kind of map; for each role and method the detections of every image, as lists of
        [x0, y0, x1, y1, score].
    """
    names = in_use(context.config, "map")
    tuning = {name: _choose(context, name) for name in dict.fromkeys(RULE_OF[name] for name in names)}
    rules = {name: _rule(tuning[RULE_OF[name]]) for name in names}
    detections = {"reported": _detect_all(context, rules)}
    if context.tuning is not None:
        # The operating point is chosen on the tuning split too.
        detections["tuning"] = {MAIN: _as_rows(_detect(context, "tuning", MAIN, rules[MAIN]))}
    return {"tuning": tuning, "detections": detections}


def ground_truth(split: Split, target: str) -> GroundTruth:
    """Return the target's boxes of a split, the difficult ones included."""
    return GroundTruth.from_images(
        [image.boxes_of(target) for image in split.images],
        [[thing.difficult for thing in image.objects_of(target)] for image in split.images],
    )


def detections(context: Context, role: str, method: str) -> Detections:
    """Return what this stage found, of one method."""
    rows = context.outputs[NAME]["detections"][role][method]
    boxes = [[row[:4] for row in image] for image in rows]
    return Detections.from_images(boxes, [[row[4] for row in image] for image in rows])


def _choose(context: Context, method: str) -> dict:
    given = context.config.cam_threshold
    if given is not None or context.tuning is None:
        threshold = DEFAULT_CAM_THRESHOLD if given is None else given
        return _tuning(method, {"cam_threshold": threshold, "components": "all"}, [])
    rows = _sweep(context, method)
    # The first of equals wins: the lower cut, and all components.
    return _tuning(method, max(rows, key=lambda row: row["mean_ap"]), rows)


def _tuning(method: str, best: dict, rows: list[dict]) -> dict:
    choice = {name: best[name] for name in ("cam_threshold", "components")}
    return {"method": method, **choice, "chosen": bool(rows), "rows": rows}


def _rule(tuning: dict) -> LocalisationRule:
    return LocalisationRule(tuning["cam_threshold"], tuning["components"])


def _sweep(context: Context, method: str) -> list[dict]:
    rules = [LocalisationRule(cut, kept) for cut, kept in itertools.product(CAM_THRESHOLDS, COMPONENTS)]
    truth = ground_truth(context.splits["tuning"], context.config.target)
    found = _detect_by_rules(context, "tuning", method, rules)
    thresholds = context.config.iou_thresholds
    rows = []
    for rule, each in zip(rules, found, strict=True):
        matches = match(truth, _detections(each), thresholds)
        ap = [precision_recall(matches, iou).average_precision() for iou in thresholds]
        choice = {"cam_threshold": rule.cam_threshold, "components": rule.components}
        rows.append({**choice, "ap": ap, "mean_ap": float(np.mean(ap))})
    return rows


def _detect_by_rules(
    context: Context, role: str, method: str, rules: Sequence[LocalisationRule]
) -> list[Found]:
    """Return for each rule what it finds; a map is resized once for all of them."""
    predictions = predict.load(context, role)
    images = context.splits[role].images
    scores = predictions.probabilities(context.target, method)
    found: list[Found] = [[] for _ in rules]
    items = zip(predictions.maps[method], images, scores, strict=True)
    for map_, image, score in context.progress.track(items, len(images), f"localise {role}"):
        boxes_by_rule = localise_map(map_, image.size, score, rules)
        for each, boxes_and_scores in zip(found, boxes_by_rule, strict=True):
            each.append(boxes_and_scores)
    return found


def _detect(context: Context, role: str, method: str, rule: LocalisationRule) -> Found:
    return _detect_by_rules(context, role, method, [rule])[0]


def _detect_all(context: Context, rules: dict[str, LocalisationRule]) -> dict:
    sizes = [image.size for image in context.reported.images]
    has_target = [context.has_target(image) for image in context.reported.images]
    scores = predict.load(context, "reported").probabilities(context.target)
    rows = {name: _as_rows(_detect(context, "reported", name, rule)) for name, rule in rules.items()}
    floors = {
        "centerbox": baselines.centerbox(sizes),
        "cheating_centerbox": baselines.cheating_centerbox(sizes, has_target),
        "centerbox_scored": baselines.scored_centre_box(sizes, scores),
        "full_image": baselines.scored_full_image(sizes, scores),
    }
    return rows | {name: _baseline_rows(floor, len(sizes)) for name, floor in floors.items()}


def _detections(found: Found) -> Detections:
    return Detections.from_images([boxes for boxes, _ in found], [scores for _, scores in found])


def _as_rows(found: Found) -> list[list[list[float]]]:
    return [np.column_stack([boxes, scores]).tolist() for boxes, scores in found]


def _baseline_rows(floor: Detections, n_images: int) -> list[list[list[float]]]:
    rows = np.column_stack([floor.boxes, floor.scores])
    return [rows[floor.image == image].tolist() for image in range(n_images)]
