"""Measure several classes by the protocol of the main one: rules, AP, operating points, failures."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import metrics
from dogcam.evaluate.breakdowns import SIZES
from dogcam.evaluate.confusion import confusion
from dogcam.evaluate.metrics import Matches, Resampler, estimate, undefined
from dogcam.evaluate.metrics.by_size import match_of_size
from dogcam.network.heads import JointHead, LogOddsOfGroups
from dogcam.structures.detections import Detections
from report import record as results
from report.config import RunConfig
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.boxes import detections, ground_truth
from report.pipeline.shared.estimates import over_images, resampler_of
from report.pipeline.shared.shares import share
from report.pipeline.stages import evaluate, localise
from report.pipeline.stages.class_failures import AtPoint, failures_of
from report.pipeline.stages.class_figures import drawings
from report.pipeline.stages.draw import save_figure

NAME = "classes"

IOU_RANGE = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The thresholds of COCO's AP."""

CORLOC_IOU = 0.5


@dataclass(frozen=True)
class _Measured:
    """One class, with what the mean and the confusion are computed from.

    Attributes:
        result: its part of the record.
        samples: (T, B) float array, AP in each resample at `_ious`.
        matches: of all its boxes.
    """

    result: results.ClassResult
    samples: NDArray[np.float64]
    matches: Matches

    @property
    def detections(self) -> Detections:
        """Those at the operating point."""
        return self.matches.detections.above(self.result.point.score_threshold)


class Output(results.Model):
    """The part of the record, its figures, and all files."""

    classes: results.Classes
    figures: list[results.Figure]
    files: list[str]


def run(context: Context) -> dict:
    """Measure every class that is asked for, and draw the figures."""
    names, resampler = context.config.several, resampler_of(context)
    in_turn = context.progress.track(names, len(names), "classes")
    measured = {name: _measure(context, name, resampler) for name in in_turn}
    iou = context.config.iou_thresholds[-1]
    points = [
        AtPoint(name, each.matches, iou, each.result.point.score_threshold)
        for name, each in measured.items()
        if name != context.config.target
    ]
    failures, files = failures_of(context, points)
    found = _gathered(context, measured, failures, resampler)
    figures = [save_figure(context, drawing) for drawing in drawings(found)]
    files += [name for figure in figures for name in figure.files()]
    return Output(classes=found, figures=figures, files=sorted(files)).model_dump(mode="json")


def _gathered(
    context: Context,
    measured: dict[str, _Measured],
    failures: list[results.ClassFailures],
    resampler: Resampler,
) -> results.Classes:
    config, known = context.config, context.classifier.classes
    samples = np.array([each.samples for each in measured.values()])
    means = [metrics.mean_over_classes(list(drawn)) for drawn in samples.swapaxes(0, 1)]
    range_means = metrics.mean_over_classes(list(samples[:, -len(IOU_RANGE) :].mean(axis=1)))
    found = [each.result for each in measured.values()]
    counts = Counter(thing.name for image in context.reported.images for thing in image.objects)
    shown = Counter(name for image in context.reported.images for name in image.labels)
    return results.Classes(
        asked_all=set(measured) == set(known) & set(counts),
        n_classes=len(found),
        classes=found,
        mean_ap=[
            results.MeanRow(iou=iou, ap=_mean([each.rows[place].ap for each in found], drawn, resampler))
            for place, (iou, drawn) in enumerate(zip(config.iou_thresholds, means, strict=False))
        ],
        mean_ap_of_range=_mean([each.ap_of_range for each in found], range_means, resampler),
        iou_range=list(IOU_RANGE),
        iou=config.iou_thresholds[-1],
        size_edges=(SIZES["medium"], SIZES["large"]),
        confusion=_confusion(context, measured),
        failures=failures,
        unknown=[
            results.UnknownClass(name=name, n_images=shown[name], n_objects=counts[name])
            for name in sorted(counts)
            if name not in known
        ],
        n_pooled=sum(each.n_pooled is not None for each in found),
        n_absent=len(set(known) - counts.keys()),
        absent=[name for name in known if not counts[name]],
    )


def _confusion(context: Context, measured: dict[str, _Measured]) -> results.ConfusionTable:
    iou = context.config.iou_thresholds[-1]
    boxes = {name: each.detections for name, each in measured.items()}
    pairs = confusion(context.reported.images, boxes, iou)
    return results.ConfusionTable(
        iou=iou, detected=list(pairs.detected), annotated=list(pairs.annotated),
        counts=pairs.counts.tolist(), missed=pairs.missed.tolist(),
    )  # fmt: skip


def _ious(config: RunConfig) -> tuple[float, ...]:
    """Return the thresholds of the settings, then those of the range."""
    return (*config.iou_thresholds, *IOU_RANGE)


def _mean(
    estimates: list[results.Estimate], samples: NDArray[np.float64], resampler: Resampler
) -> results.Estimate:
    values = [each.value for each in estimates if each.value is not None]
    return estimate(float(np.mean(values)) if values else float("nan"), resampler.interval(samples))


def _measure(context: Context, name: str, resampler: Resampler) -> _Measured:
    choice, boxes = _detect(context, name)
    truth = ground_truth(context, "reported", name)
    config, ious = context.config, _ious(context.config)
    matches = metrics.match(truth, boxes, sorted(set(ious)), difficult="ignored")
    drawn = dict(zip(matches.iou_thresholds, resampler.ap_samples(matches), strict=True))
    samples = np.array([drawn[iou] for iou in ious])
    of_range = samples[-len(IOU_RANGE) :].mean(axis=0)
    rows = [_row(matches, iou, drawn[iou], resampler) for iou in config.iou_thresholds]
    curves = [metrics.precision_recall(matches, iou) for iou in IOU_RANGE]
    range_ap = float(np.mean([curve.average_precision() for curve in curves]))
    n_images = sum(name in image.labels for image in context.reported.images)
    iou = config.iou_thresholds[-1]
    threshold, tuned = _score_threshold(context, name, choice, iou)
    right, shown = metrics.located(matches, CORLOC_IOU)
    result = results.ClassResult(
        name=name,
        n_images=n_images,
        n_objects=matches.n_ground_truth,
        n_ignored=len(truth) - matches.n_ground_truth,
        n_detections=len(boxes),
        n_pooled=_n_pooled(context, name),
        cam_threshold=choice.rule.cam_threshold,
        components=choice.rule.components,
        chosen=choice.tuning.chosen,
        rows=rows,
        ap_of_range=estimate(range_ap, over_images(n_images, resampler.interval(of_range))),
        corloc=share(int(right.sum()), int(shown.sum()), resampler.ratio(right, shown)),
        sizes=_sizes(context, matches, iou, resampler),
        image_ap=_image_ap(context, name),
        point=results.ThresholdRow(**evaluate.at_threshold(matches, iou, threshold, resampler)),
        point_chosen=tuned,
        curve=evaluate.thinned_curve(matches, metrics.precision_recall(matches, iou), resampler),
    )
    return _Measured(result, samples, matches)


def _detect(context: Context, name: str) -> tuple[localise.Choice, Detections]:
    """Return the localisation rule of a class and its boxes; `localise` has those of the run's target."""
    if name == context.config.target:
        tuning = results.Tuning(**context.outputs[localise.NAME]["tuning"][MAIN])
        return localise.Choice(tuning), detections(context, "reported", MAIN)
    choice = localise.choose_rules(context, [MAIN], name)[MAIN]
    (found,) = localise.detect_by_rules(context, "reported", {MAIN: [choice.rule]}, name)[MAIN]
    return choice, localise.as_detections(found)


def _row(matches: Matches, iou: float, drawn: NDArray[np.float64], resampler: Resampler) -> results.ClassRow:
    curve = metrics.precision_recall(matches, iou)
    recall = share(curve.n_found, matches.n_ground_truth, resampler.recall(matches, iou))
    return results.ClassRow(iou=iou, ap=_ap_estimate(matches, curve, drawn, resampler), recall=recall)


def _ap_estimate(
    matches: Matches, curve: metrics.PrecisionRecall, drawn: NDArray[np.float64], resampler: Resampler
) -> results.Estimate:
    """Return AP with its interval; without a hit every resample is 0, which is no interval."""
    n_images = int(np.count_nonzero(metrics.ground_truth_per_image(matches)))
    interval = resampler.interval(drawn) if curve.n_found else undefined(resampler.level)
    return estimate(curve.average_precision(), over_images(n_images, interval))


def _sizes(context: Context, matches: Matches, iou: float, resampler: Resampler) -> list[results.SizeRow]:
    areas = np.array([image.height * image.width for image in context.reported.images], dtype=np.float64)
    edges = [*SIZES.values(), np.inf]
    rows = []
    for size, low, high in zip(SIZES, edges, edges[1:], strict=False):
        of_size = match_of_size(
            matches.ground_truth, matches.detections, areas, low, high, [iou], difficult="ignored"
        )
        curve = metrics.precision_recall(of_size, iou)
        found = _ap_estimate(of_size, curve, resampler.ap_samples(of_size)[0], resampler)
        rows.append(results.SizeRow(size=size, n_objects=of_size.n_ground_truth, ap=found))
    return rows


def _image_ap(context: Context, name: str) -> results.Estimate:
    """Return the AP that the stage `evaluate` measured for ranking the images."""
    ranked = results.Classification(**context.outputs[evaluate.NAME]["classification"]).classes
    return next(each.ap for each in ranked if each.name == name)


def _score_threshold(context: Context, name: str, choice: localise.Choice, iou: float) -> tuple[float, bool]:
    """Return the score threshold with the best F1 on the tuning split, and whether it was chosen there."""
    if name == context.config.target:
        point = context.outputs[evaluate.NAME]["operating_point"]
        return point["score_threshold"], point["rule"] != "default"
    if context.tuning is None or name not in context.tuning.class_names():
        return evaluate.DEFAULT_SCORE_THRESHOLD, False
    rule = {MAIN: [choice.rule]}
    found = choice.found or localise.detect_by_rules(context, "tuning", rule, name)[MAIN][0]
    truth = ground_truth(context, "tuning", name)
    matches = metrics.match(truth, localise.as_detections(found), [iou], difficult="ignored")
    return evaluate.choose_threshold(matches, iou, None, context.tuning.name), True


def _n_pooled(context: Context, name: str) -> int | None:
    """Return how many outputs of the network the class pools; None if its outputs are not pooled."""
    modules = list(context.classifier.network.modules())
    if any(isinstance(module, JointHead) for module in modules):
        return None
    for module in modules:
        if isinstance(module, LogOddsOfGroups):
            return int(module.members[context.classifier.index_of(name)].sum())
    return None
