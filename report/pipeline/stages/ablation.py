"""Measure the presets, and each step from the published method to the fullest preset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import DEFAULT_RULE
from dogcam.evaluate import breakdowns, metrics
from dogcam.evaluate.metrics import Estimate, Matches, Resampler, estimate, undefined
from dogcam.structures.detections import Detections
from dogcam.structures.presets import PUBLISHED
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN, METHODS
from report.pipeline.shared.boxes import (
    HIGH_SCORE,
    correlation,
    detections_of,
    ground_truth,
    matches_of,
    top_boxes,
)
from report.pipeline.shared.estimates import ap_samples, over_images, resampler_of
from report.pipeline.shared.preset_boxes import STAGE, available, preset_boxes, preset_rows
from report.pipeline.stages import evaluate, localise

NAME = "ablation"

GROUPS = ("sharing their image", "alone, small", "alone, larger")
"""The kinds of objects whose recall is stated; small is the size class of that name."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """Detections of one class by one method: matches and the AP of each resample, (T, B) floats."""

    matches: Matches
    samples: NDArray[np.float64]

    def ap(self, place: int) -> float:
        """Return the AP at the IoU threshold of that place."""
        iou = self.matches.iou_thresholds[place]
        return metrics.precision_recall(self.matches, iou).average_precision()


def run(context: Context) -> dict:
    """Measure the presets of the run."""
    config, resampler = context.config, resampler_of(context)
    matches = {name: matches_of(context, name) for name in available(context)}
    of_target = {name: _Measured(each, ap_samples(context, each)) for name, each in matches.items()}
    output = context.outputs[STAGE]
    classes = _of_classes(context, of_target, resampler)
    return results.Presets(
        iou=config.iou_thresholds[-1],
        chosen_on=None if context.tuning is None else context.tuning.name,
        high_score=HIGH_SCORE,
        unavailable=output["unavailable"],
        not_dense=output["not_dense"],
        measured=[_preset(context, name, each, resampler) for name, each in of_target.items()],
        ablated=output["ablated"],
        steps=_steps(context, of_target, resampler),
        mean_ap=_means(config.iou_thresholds, classes, resampler),
        classes=[
            results.PresetClass(
                name=name,
                n_objects=next(iter(found.values())).matches.n_ground_truth,
                ap=[_ap(each, -1, resampler) for each in found.values()],
            )
            for name, found in classes.items()
        ],
    ).model_dump(mode="json")


def _measure(matches: Matches, resampler: Resampler) -> _Measured:
    return _Measured(matches, resampler.ap_samples(matches))


def _ap(found: _Measured, place: int, resampler: Resampler) -> Estimate:
    """Return the AP with its interval; without a hit every resample is 0, which is no interval."""
    ap = found.ap(place)
    return estimate(ap, resampler.interval(found.samples[place]) if ap > 0 else undefined(resampler.level))


def _difference(found: _Measured, other: _Measured, place: int, resampler: Resampler) -> Estimate:
    n_images = int(np.count_nonzero(metrics.ground_truth_per_image(found.matches)))
    interval = resampler.interval(found.samples[place] - other.samples[place])
    return estimate(found.ap(place) - other.ap(place), over_images(n_images, interval))


def _steps(
    context: Context, of_target: dict[str, _Measured], resampler: Resampler
) -> list[results.AblationStep]:
    """Measure the steps; the first is the published method, the last the preset itself."""
    output = context.outputs[STAGE]
    if output["ablated"] is None:
        return []
    truth, thresholds = ground_truth(context), context.config.iou_thresholds
    chain = [(PUBLISHED, METHODS[PUBLISHED].title, PUBLISHED, of_target[PUBLISHED])]
    for name, title in output["steps"][:-1]:
        boxes = detections_of(preset_rows(context, name))
        matches = metrics.match(truth, boxes, thresholds, difficult="ignored")
        chain.append((name, title, name, _measure(matches, resampler)))
    name, title = output["steps"][-1]
    chain.append((name, title, output["ablated"], of_target[output["ablated"]]))
    steps: list[results.AblationStep] = []
    first, before = chain[0][3], None
    for name, title, method, found in chain:
        rows = [
            results.StepRow(
                iou=iou, ap=_ap(found, place, resampler),
                difference=None if before is None else _difference(found, first, place, resampler),
                gain=None if before is None else _difference(found, before, place, resampler),
            )
            for place, iou in enumerate(thresholds)
        ]  # fmt: skip
        seconds = _seconds(context, method)
        steps.append(results.AblationStep(name=name, title=title, rows=rows, seconds=seconds))
        before = found
    return steps


def _seconds(context: Context, method: str) -> float:
    return float(np.mean([each.seconds[method] for each in preset_boxes(context)]))


def _preset(context: Context, name: str, found: _Measured, resampler: Resampler) -> results.MeasuredPreset:
    matches, iou = found.matches, context.config.iou_thresholds[-1]
    threshold = evaluate.DEFAULT_SCORE_THRESHOLD
    if context.tuning is not None:
        on_tuning = matches_of(context, name, "tuning")
        threshold = evaluate.choose_threshold(on_tuning, iou, None, context.tuning.name)
    high = matches.detections.scores >= HIGH_SCORE
    right = matches.kind_at(iou) == metrics.TRUE_POSITIVE
    return results.MeasuredPreset(
        name=name,
        title=METHODS[name].title,
        seconds=_seconds(context, name),
        point=results.ThresholdRow(**evaluate.at_threshold(matches, iou, threshold, resampler)),
        correlation=correlation(top_boxes(context, name), threshold),
        n_high=int(high.sum()),
        n_high_correct=int((high & right).sum()),
        groups=_groups(context, matches, iou, resampler),
    )


def _groups(
    context: Context, matches: Matches, iou: float, resampler: Resampler
) -> list[results.PresetGroup]:
    truth, sizes = matches.ground_truth, [image.size for image in context.reported.images]
    alone = breakdowns.by_n_instances(truth)[0].members
    small = breakdowns.by_size(truth, sizes)[0].members
    members = (~alone, alone & small, alone & ~small)
    groups = [breakdowns.Group(*each) for each in zip(GROUPS, members, strict=True)]
    found = breakdowns.measure_groups(
        matches, groups, iou_threshold=iou, score_threshold=0.0, resampler=resampler
    )
    return [
        results.PresetGroup(name=name, n_objects=each.n_objects, n_found=each.n_found)
        for name, each in zip(GROUPS, found, strict=True)
    ]


def _of_classes(
    context: Context, of_target: dict[str, _Measured], resampler: Resampler
) -> dict[str, dict[str, _Measured]]:
    """Measure every preset on every class of a run for several; nothing for a single class."""
    found: dict[str, dict[str, _Measured]] = {}
    for target in context.config.several:
        if target == context.config.target:
            found[target] = of_target
            continue
        truth = ground_truth(context, "reported", target)
        found[target] = {
            name: _measure(
                metrics.match(
                    truth, _boxes(context, name, target), context.config.iou_thresholds, difficult="ignored"
                ),
                resampler,
            )
            for name in of_target
        }
    return found


def _boxes(context: Context, name: str, target: str) -> Detections:
    """Return the boxes of another class; those of the published method come from the maps of the run."""
    if name == PUBLISHED:
        (found,) = localise.detect_by_rules(context, "reported", {MAIN: [DEFAULT_RULE]}, target)[MAIN]
        return localise.as_detections(found)
    return detections_of(preset_rows(context, name, "reported", target))


def _means(
    thresholds: tuple[float, ...], classes: dict[str, dict[str, _Measured]], resampler: Resampler
) -> list[results.PresetMean]:
    if not classes:
        return []
    rows = []
    for name in next(iter(classes.values())):
        for place, iou in enumerate(thresholds):
            ap, drawn = _mean(classes, name, place)
            first, first_drawn = _mean(classes, PUBLISHED, place)
            difference = estimate(ap - first, resampler.interval(drawn - first_drawn))
            rows.append(
                results.PresetMean(
                    name=name, iou=iou, ap=estimate(ap, resampler.interval(drawn)),
                    difference=None if name == PUBLISHED else difference,
                )
            )  # fmt: skip
    return rows


def _mean(
    classes: dict[str, dict[str, _Measured]], name: str, place: int
) -> tuple[float, NDArray[np.float64]]:
    found = [each[name] for each in classes.values()]
    drawn = metrics.mean_over_classes([each.samples[place] for each in found])
    return float(np.nanmean([each.ap(place) for each in found])), drawn
