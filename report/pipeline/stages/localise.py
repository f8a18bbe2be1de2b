"""Choose the thresholds of the maps on the tuning split, and extract boxes on the reported split."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dogcam.detection import baselines
from dogcam.detection.boxes_from_maps import Components, LocalisationRule, localise_maps
from dogcam.evaluate.metrics import match, precision_recall
from dogcam.structures import defaults
from dogcam.structures.boxes import Boxes
from dogcam.structures.detections import Detections, GroundTruth
from report.pipeline.context import Context
from report.pipeline.methods import MAIN, RULE_OF, in_use
from report.pipeline.shared.boxes import ground_truth
from report.pipeline.shared.predictions import predictions
from report.pipeline.workers import in_processes
from report.record import Model, SweepRow, Tuning

NAME = "localise"

CAM_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
COMPONENTS = get_args(Components)
Found = list[tuple[Boxes, NDArray[np.float64]]]
"""For each image its boxes and their scores."""


class Output(Model):
    """The localisation rule of each kind of map; the boxes of every image by role and method."""

    tuning: dict[str, Tuning]
    detections: dict[str, dict[str, list[list[tuple[float, float, float, float, float]]]]]


def run(context: Context) -> dict:
    """Choose a localisation rule for each kind of map, and detect.

    Returns:
        The tuning of each kind of map; for each role and method the detections of every image, as lists of
        [x0, y0, x1, y1, score].
    """
    names = in_use(context.config, "map")
    choices = choose_rules(context, list(dict.fromkeys(RULE_OF[name] for name in names)))
    rules = {name: choices[RULE_OF[name]].rule for name in names}
    detections = {"reported": _detect_all(context, rules)}
    if context.tuning is not None:
        # The operating point is chosen on the tuning split too.
        found = choices[MAIN].found or detect_by_rules(context, "tuning", {MAIN: [rules[MAIN]]})[MAIN][0]
        detections["tuning"] = {MAIN: _as_rows(found)}
    tuning = {name: choice.tuning.model_dump(mode="json") for name, choice in choices.items()}
    return {"tuning": tuning, "detections": detections}


@dataclass(frozen=True)
class Choice:
    """The localisation rule of a kind of map.

    Attributes:
        tuning: the rule and the sweep that it was chosen by.
        found: the boxes of the rule on the tuning split; None without a sweep.
    """

    tuning: Tuning
    found: Found | None = None

    @property
    def rule(self) -> LocalisationRule:
        """The rule itself."""
        return LocalisationRule(self.tuning.cam_threshold, self.tuning.components)


def choose_rules(context: Context, methods: Sequence[str], target: str | None = None) -> dict[str, Choice]:
    """Choose the localisation rules of methods for a class on the tuning split.

    Args:
        context: after the stage `predict`.
        methods: map methods.
        target: the class; None for the target of the run.
    """
    given, name = context.config.cam_threshold, target or context.config.target
    if given is not None or context.tuning is None or name not in context.tuning.class_names():
        threshold = defaults.CAM_THRESHOLD if given is None else given
        fixed = {"cam_threshold": threshold, "components": "all", "chosen": False, "rows": []}
        return {method: Choice(Tuning(method=method, **fixed)) for method in methods}
    rules = [LocalisationRule(cut, kept) for cut, kept in itertools.product(CAM_THRESHOLDS, COMPONENTS)]
    found = detect_by_rules(context, "tuning", dict.fromkeys(methods, rules), name)
    truth = ground_truth(context, "tuning", name)
    return {method: _best(context, method, rules, each, truth) for method, each in found.items()}


def _best(
    context: Context, method: str, rules: list[LocalisationRule], found: list[Found], truth: GroundTruth
) -> Choice:
    """Measure every candidate on the tuning split."""
    thresholds = context.config.iou_thresholds
    rows = []
    candidates = zip(rules, found, strict=True)
    for rule, each in context.progress.track(candidates, len(rules), f"evaluate thresholds of {method}"):
        matches = match(truth, as_detections(each), thresholds, difficult="ignored")
        ap = [precision_recall(matches, iou).average_precision() for iou in thresholds]
        choice = {"cam_threshold": rule.cam_threshold, "components": rule.components}
        rows.append(SweepRow(**choice, ap=ap, mean_ap=float(np.mean(ap))))
    # The first of equals wins: the lower threshold, and all components.
    best = max(range(len(rows)), key=lambda place: rows[place].mean_ap)
    tuning = Tuning(
        method=method, cam_threshold=rows[best].cam_threshold, components=rows[best].components,
        chosen=True, rows=rows,
    )  # fmt: skip
    return Choice(tuning, found[best])


def detect_by_rules(
    context: Context, role: str, rules: Mapping[str, Sequence[LocalisationRule]], target: str | None = None
) -> dict[str, list[Found]]:
    """Return for each method the boxes of each of its rules; the maps of an image are processed together.

    Args:
        context: after the stage `predict`.
        role: `reported` or `tuning`.
        rules: by map method, how its maps become boxes.
        target: the class; None for the target of the run.
    """
    predicted, images = predictions(context, role), context.splits[role].images
    name = target or context.config.target
    index = context.classifier.index_of(name)
    maps = list(zip(*(predicted.maps_of(name, method) for method in rules), strict=True))
    scores = list(zip(*(predicted.probabilities(index, method) for method in rules), strict=True))
    box = partial(localise_maps, rules=list(rules.values()))
    located = in_processes(context.map_workers, box, maps, [image.size for image in images], scores)
    by_image = list(context.progress.track(located, len(images), f"localise {role}"))
    by_method = zip(rules, zip(*by_image, strict=True), strict=True)
    return {method: [list(each) for each in zip(*of_method, strict=True)] for method, of_method in by_method}


def _detect_all(context: Context, rules: dict[str, LocalisationRule]) -> dict:
    sizes = [image.size for image in context.reported.images]
    has_target = [context.has_target(image) for image in context.reported.images]
    scores = predictions(context, "reported").probabilities(context.target)
    found = detect_by_rules(context, "reported", {name: [rule] for name, rule in rules.items()})
    rows = {name: _as_rows(boxes) for name, (boxes,) in found.items()}
    floors = {
        "centerbox": baselines.centerbox(sizes),
        "cheating_centerbox": baselines.cheating_centerbox(sizes, has_target),
        "centerbox_scored": baselines.scored_centre_box(sizes, scores),
        "full_image": baselines.scored_full_image(sizes, scores),
    }
    return rows | {name: _baseline_rows(floor, len(sizes)) for name, floor in floors.items()}


def as_detections(found: Found) -> Detections:
    """Return the boxes and scores of a class as detections."""
    return Detections.from_images([boxes for boxes, _ in found], [scores for _, scores in found])


def _as_rows(found: Found) -> list[list[list[float]]]:
    return [np.column_stack([boxes, scores]).tolist() for boxes, scores in found]


def _baseline_rows(floor: Detections, n_images: int) -> list[list[list[float]]]:
    rows = np.column_stack([floor.boxes, floor.scores])
    return [rows[floor.image == image].tolist() for image in range(n_images)]
