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

Rows = list[list[list[float]]]
"""For each image its boxes, each [x0, y0, x1, y1, score]."""


def found_rows(context: Context, role: str = "reported") -> dict[str, Rows]:
    """Return the boxes that the stage `localise` found on a split, by method."""
    return context.outputs["localise"]["detections"][role]


def matches_of(context: Context, method: str, role: str = "reported") -> Matches:
    """Return the matches of a method's detections, at all IoU thresholds of the settings."""
    rows, thresholds = found_rows(context, role)[method], context.config.iou_thresholds

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
    rows = found_rows(context, role)[method]
    boxes = [[row[:4] for row in image] for image in rows]
    return Detections.from_images(boxes, [[row[4] for row in image] for image in rows])


def best_ious(context: Context, method: str) -> NDArray[np.float64]:
    """Return the IoU of each target image's best-scored box with the target that fits best: (P,) floats."""
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
