"""The boxes of a run: ground truth, detections, and their matches, computed once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import Matches, match
from dogcam.structures.boxes import as_boxes, iou
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import LabelledObject
from report.config import RunConfig
from report.pipeline.context import Context
from report.pipeline.methods import in_use
from report.pipeline.shared.preset_boxes import available, preset_rows

HIGH_SCORE = 0.9
"""The score from which the share of correct boxes is stated."""

Rows = list[list[list[float]]]
"""For each image its boxes, each [x0, y0, x1, y1, score]."""


def found_rows(context: Context, role: str = "reported") -> dict[str, Rows]:
    """Return the boxes that the stage `localise` found on a split, by method."""
    return context.outputs["localise"]["detections"][role]


def rows_of(context: Context, method: str, role: str = "reported") -> Rows:
    """Return the boxes of a map, a baseline or a preset on a split."""
    found = found_rows(context, role)
    return found[method] if method in found else preset_rows(context, method, role)


def compared(context: Context) -> tuple[str, ...]:
    """Return the methods of the run that have boxes: all but presets that the network cannot run."""
    return tuple(
        name for name in in_use(context.config) if name in {*found_rows(context), *available(context)}
    )


def matches_of(context: Context, method: str, role: str = "reported") -> Matches:
    """Return the matches of a method's detections, at all IoU thresholds of the settings."""
    rows, thresholds = rows_of(context, method, role), context.config.iou_thresholds

    def compute() -> Matches:
        truth = ground_truth(context, role)
        return match(truth, detections(context, role, method), thresholds, difficult="ignored")

    # The rows are kept with the matches: while they live, no other list has their id.
    return context.once(("matches", id(rows), thresholds), lambda: (rows, compute()))[1]


def ground_truth(context: Context, role: str = "reported", target: str | None = None) -> GroundTruth:
    """Return the boxes of a class on a split; those that the settings ignore are marked difficult.

    Args:
        context: at any stage.
        role: `reported` or `tuning`.
        target: the class; None for the target of the run.
    """
    name, images = target or context.config.target, context.splits[role].images
    return GroundTruth.from_images(
        [image.boxes_of(name) for image in images],
        [[is_ignored(context.config, thing) for thing in image.objects_of(name)] for image in images],
    )


def is_ignored(config: RunConfig, thing: LabelledObject) -> bool:
    """Tell whether the settings ignore an object for one of its flags."""
    hard = thing.difficult and config.difficult == "ignored"
    return hard or (thing.crowd and config.crowd == "ignored")


def detections(context: Context, role: str, method: str) -> Detections:
    """Return the detections of a method on a split."""
    return detections_of(rows_of(context, method, role))


def detections_of(rows: Rows) -> Detections:
    """Return rows of boxes as detections."""
    boxes = [[row[:4] for row in image] for image in rows]
    return Detections.from_images(boxes, [[row[4] for row in image] for image in rows])


def top_boxes(context: Context, method: str) -> list[list[float]]:
    """Return [score, IoU with the best-fitting target, target present] of each image that has a box."""
    tops = []
    for image, found in zip(context.reported.images, rows_of(context, method), strict=True):
        if found:
            best = max(found, key=lambda row: row[4])
            overlap = iou(as_boxes([best[:4]]), image.boxes_of(context.config.target)).max(initial=0.0)
            tops.append([best[4], float(overlap), float(context.has_target(image))])
    return tops


def correlation(tops: Sequence[Sequence[float]], score_threshold: float) -> float | None:
    """Return the correlation of score and IoU over top-scoring boxes; None if it is not defined.

    Args:
        tops: as from `top_boxes`.
        score_threshold: boxes of a lower score are left out.
    """
    pairs = np.array([top[:2] for top in tops if top[0] >= score_threshold])
    known = len(pairs) > 2 and pairs.std(axis=0).min() > 0
    return float(np.corrcoef(pairs.T)[0, 1]) if known else None


def best_ious(context: Context, method: str) -> NDArray[np.float64]:
    """Return the IoU of each target image's top-scoring box with the target that fits best: (P,) floats."""
    found = found_rows(context)[method]
    values = []
    for image, rows in zip(context.reported.images, found, strict=True):
        if context.has_target(image):
            truth = image.boxes_of(context.config.target)
            values.append(iou(best_box(rows), truth).max(initial=0.0))
    return np.array(values)


def best_box(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the box of the highest score among rows of xyxy and score: (1, 4), or (0, 4) without a row."""
    return as_boxes([row[:4] for row in sorted(rows, key=lambda row: -row[4])[:1]])
