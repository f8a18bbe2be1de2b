"""Measure recall at the operating point by property of the objects."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import breakdowns
from dogcam.evaluate.breakdowns import Group
from dogcam.evaluate.metrics import Estimate, Interval
from dogcam.structures.detections import GroundTruth
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.boxes import matches_of
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.shares import share

NAME = "break_down"


def run(context: Context) -> dict:
    """Break the main method's recall down."""
    point = context.outputs["evaluate"]["operating_point"]
    matches = matches_of(context, MAIN)
    truth = matches.ground_truth
    settings = {
        "iou_threshold": point["iou"],
        "score_threshold": point["score_threshold"],
        "resampler": resampler_of(context),
    }
    return results.Breakdowns(
        few_below=breakdowns.FEW,
        breakdowns=[
            results.Breakdown(
                by=by,
                rows=[
                    _row(group, found)
                    for group, found in zip(
                        groups, breakdowns.measure_groups(matches, groups, **settings), strict=True
                    )
                    if found.n_objects
                ],
            )
            for by, groups in _groupings(context, truth).items()
        ],
    ).model_dump(mode="json")


def _groupings(context: Context, truth: GroundTruth) -> dict[str, list[Group]]:
    sizes = [image.size for image in context.reported.images]
    return {
        "size": breakdowns.by_size(truth, sizes),
        "aspect": breakdowns.by_aspect(truth),
        "n_instances": breakdowns.by_n_instances(truth),
        "edge": breakdowns.by_edge(truth, sizes),
        "other_class": breakdowns.by_other_class(truth, _labels(context)),
    }


def _labels(context: Context) -> dict[str, NDArray[np.bool_]]:
    """Return for each class but the target which images show it."""
    images = context.reported.images
    return {
        name: np.array([name in image.labels for image in images], dtype=bool)
        for name in context.reported.class_names()
        if name != context.config.target
    }


def _row(group: Group, found: breakdowns.GroupResult) -> results.GroupRow:
    return results.GroupRow(
        name=group.name,
        low=group.low,
        high=group.high,
        n_objects=found.n_objects,
        n_images=found.n_images,
        n_found=found.n_found,
        few=found.few,
        recall=share(found.n_found, found.n_objects, cast(Interval, found.recall.interval)),
        overlap=found.overlap if found.overlap.value else Estimate(found.overlap.value),
    )
