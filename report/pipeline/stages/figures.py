"""The drawings of a report, each with its name and its text alternative."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
from matplotlib.figure import Figure

from dogcam.draw import plots
from dogcam.draw.plots import EstimateRow, LineStyle, Series
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import EARLIER, MAIN, METHODS
from report.pipeline.shared.predictions import predictions
from report.pipeline.stages import evaluate
from report.record.words import TYPE_TITLES

STYLES = {name: LineStyle(method.colour, method.dash) for name, method in METHODS.items()}
"""The colour and dash of each method in every figure."""

CONSTANT = ("centerbox", "cheating_centerbox")
"""Baselines whose boxes all have one score: one place on the plot, not a curve."""

ORDERS = {
    "map": ("map", STYLES[MAIN]),
    "random": ("shuffled map", LineStyle("muted", 1)),
    "centre": ("centre outwards", LineStyle("ink", 2)),
}
"""The title and style of each order in which pixels are removed."""


class NamedFigure(NamedTuple):
    """A figure with its name and its text alternative, and the same for a narrow page if it is wide."""

    name: str
    figure: Figure
    alt: str
    narrow: Figure | None = None


def drawings(context: Context) -> Iterator[NamedFigure]:
    """Yield each figure with its name and its text alternative."""
    outputs = context.outputs
    detection = results.Detection(**outputs["evaluate"]["detection"])
    point = results.ChosenThreshold(**outputs["evaluate"]["operating_point"])
    found = results.FurtherMeasurements(**outputs["evidence"]["evidence"])
    same = {each["b"] for each in outputs["compare"]["comparisons"] if each["a"] == MAIN and each["same"]}
    distinct = [method for method in detection.methods if method.name not in same]
    yield _precision_recall(detection, distinct, point)
    yield _estimates(detection, distinct)
    yield _by_property(results.Breakdowns(**outputs["break_down"]), found.cells, point)
    yield _reliability(found.score, context.config.target)
    yield _score_overlap(outputs["evidence"]["tops"], point)
    yield _overlaps(found.overlaps)
    yield _fine_ap(found, distinct)
    yield from _other_classes(found)
    yield _stakes(results.Failures(**outputs["analyse"]))
    yield from _sweeps(context)
    yield _agreement(context)
    yield _probabilities(context, point)
    yield from _sanity(results.Sanity(**outputs["sanity"]))


def _precision_recall(
    detection: results.Detection, methods: list[results.MethodResult], point: results.ChosenThreshold
) -> NamedFigure:
    panels = []
    for index, iou in enumerate(detection.iou_thresholds):
        mark = None
        if iou == point.iou and point.precision.value is not None and point.recall.value is not None:
            mark = plots.OperatingMark(
                METHODS[MAIN].title, point.recall.value, point.precision.value, f"{point.score_threshold:.3f}"
            )
        scores = _score_marks(detection.method(MAIN).curves[index]) if iou == point.iou else []
        panels.append(
            plots.PrecisionRecallPanel(iou, [_series(each, index) for each in methods], mark, scores)
        )
    best = "; ".join(f"{method.title}: AP {_percents(row.ap for row in method.rows)}" for method in methods)
    ious = ", ".join(f"{iou:g}" for iou in detection.iou_thresholds)
    alt = f"Precision against recall at IoU {ious}. {best}."
    return NamedFigure("precision_recall", plots.precision_recall_figure(panels), alt)


def _series(method: results.MethodResult, index: int) -> Series:
    curve = method.curves[index]
    constant = method.name in CONSTANT
    x, y = (curve.recall[-1:], curve.precision[-1:]) if constant else (curve.recall, curve.precision)
    # One band: a band for each method would hide the others.
    low, high = (curve.precision_low, curve.precision_high) if method.name == MAIN else (None, None)
    return Series(method.title, x, y, "points" if constant else "line", low, high, STYLES[method.name])


def _score_marks(curve: results.Curve) -> list[plots.ScoreMark]:
    """Return the last point of a curve that each round score reaches."""
    marks = []
    for score in evaluate.ROUND_SCORES:
        reached = sum(each >= score for each in curve.score)
        if reached:
            marks.append(
                plots.ScoreMark(f"{score:.1f}", curve.recall[reached - 1], curve.precision[reached - 1])
            )
    return marks


def _estimates(detection: results.Detection, methods: list[results.MethodResult]) -> NamedFigure:
    ordered = sorted(methods, key=lambda method: -(method.rows[-1].ap or 0.0))
    groups = [
        plots.EstimateGroup(
            iou,
            [
                EstimateRow(
                    method.title, method.rows[index].ap, method.rows[index].ap_interval.low,
                    method.rows[index].ap_interval.high, STYLES[method.name].colour,
                )
                for method in ordered
            ],
        )
        for index, iou in enumerate(detection.iou_thresholds)
    ]  # fmt: skip
    parts = (f"{method.title} {_percents(row.ap for row in method.rows)}" for method in ordered)
    alt = f"AP with CI, by IoU threshold. {'; '.join(parts)}."
    wide, narrow = (plots.estimates_figure(groups, quantity="AP", columns=columns) for columns in (None, 1))
    return NamedFigure("estimates", wide, alt, narrow)


def _by_property(
    found: results.Breakdowns, cells: list[results.SizeCell], point: results.ChosenThreshold
) -> NamedFigure:
    instances = {"one": "alone in the image", "several": "with others"}
    first = plots.EstimateSection(
        "size and number",
        [_row(f"{cell.size}, {instances[cell.instances]} ({cell.n_objects})", cell.recall) for cell in cells
         if cell.n_objects >= found.few_below],
    )  # fmt: skip
    titles = {"aspect": "aspect ratio", "edge": "image border", "other_class": "other classes in the image"}
    rest = [
        plots.EstimateSection(
            titles[group.by], [_row(f"{row.name} ({row.n_objects})", row.recall) for row in group.rows
                               if not row.few],
        )
        for group in found.breakdowns if group.by in titles
    ]  # fmt: skip
    sections = [first, *(section for section in rest if section.rows)]
    parts = "; ".join(
        f"{row.label}: {_percents([row.value])}" for section in sections for row in section.rows
    )
    figure = plots.sections_figure(sections, quantity="recall", reference=point.recall.value)
    return NamedFigure("recall_by_property", figure, f"Recall at the operating point with CI. {parts}.")


def _row(label: str, found: results.Estimate) -> EstimateRow:
    interval = found.interval
    low, high = (interval.low, interval.high) if interval is not None else (None, None)
    return EstimateRow(label, found.value, low, high)


def _reliability(score: results.ScoreMeaning, target: str) -> NamedFigure:
    boxes = [_share(each, each.correct, each.n_boxes) for each in score.bins if each.n_boxes]
    images = [_share(each, each.with_target, each.n_images) for each in score.bins if each.n_images]
    groups = [
        ("correct boxes", boxes, STYLES[MAIN]),
        (f"images with {target}", images, LineStyle("ink", 1)),
    ]
    parts = "; ".join(
        f"{each.low:g} to {each.high:g}: {_percents([each.correct.value])} of {each.n_boxes} boxes correct"
        for each in score.bins if each.n_boxes
    )  # fmt: skip
    alt = f"Share of correct boxes and share of images with {target}, by score. {parts}."
    return NamedFigure("reliability", plots.reliability_figure(groups, x_label="score"), alt)


def _share(each: results.ScoreBin, found: results.Estimate, n: int) -> plots.ShareRow:
    middle, interval = (each.low + each.high) / 2, cast(results.Interval, found.interval)
    value, low, high = (cast(float, number) for number in (found.value, interval.low, interval.high))
    return plots.ShareRow(middle, value, low, high, n)


def _score_overlap(tops: list[list[float]], point: results.ChosenThreshold) -> NamedFigure:
    rows = np.array(tops, dtype=float).reshape(-1, 3)
    present = rows[:, 2] > 0
    groups = [
        ("image with the class", rows[present, 0], rows[present, 1], STYLES[MAIN]),
        ("image without", rows[~present, 0], rows[~present, 1], LineStyle("muted")),
    ]
    figure = plots.score_overlap_figure(
        groups, score_threshold=point.score_threshold, iou_threshold=point.iou
    )
    alt = (
        f"Score of the top-scoring box against its IoU, one dot per image: {int(present.sum())} images with "
        f"the class, {int((~present).sum())} without."
    )
    return NamedFigure("score_overlap", figure, alt)


def _overlaps(found: results.Overlaps) -> NamedFigure:
    edges = [found.bins[0].low, *(each.high for each in found.bins)]
    groups = [
        (METHODS[MAIN].title, [each.n_map for each in found.bins], STYLES[MAIN]),
        ("centre box", [each.n_centre for each in found.bins], STYLES["cheating_centerbox"]),
    ]
    figure = plots.bins_figure(
        edges, groups, x_label="IoU of the top-scoring box with the best-matching object", y_label="images"
    )
    parts = "; ".join(
        f"{each.low:g} to {each.high:g}: {each.n_map} and {each.n_centre}" for each in found.bins
    )
    return NamedFigure("overlaps", figure, f"Images by IoU, map and centre box. {parts}.")


def _fine_ap(found: results.FurtherMeasurements, methods: list[results.MethodResult]) -> NamedFigure:
    titles = {method.name: method.title for method in methods}
    ious = found.fine_iou_thresholds
    drawn = [each for each in found.fine_ap if each.method in titles and each.method not in CONSTANT]
    series = [
        Series(titles[each.method], ious, [np.nan if ap is None else ap for ap in each.ap],
               style=STYLES[each.method])
        for each in drawn
    ]  # fmt: skip
    parts = "; ".join(f"{titles[each.method]}: {_percents(each.ap)}" for each in drawn)
    figure = plots.lines_figure(series, x_label="IoU threshold", y_label="AP")
    return NamedFigure("fine_ap", figure, f"AP against the IoU threshold from 0.1 to 0.9. {parts}.")


def _other_classes(found: results.FurtherMeasurements) -> Iterator[NamedFigure]:
    if found.other_classes:
        rows = [plots.CountRow(each.name, (each.n_boxes,)) for each in found.other_classes]
        parts = "; ".join(f"{each.name}: {each.n_boxes}" for each in found.other_classes)
        yield NamedFigure(
            "other_classes", plots.counts_figure(rows), f"Boxes on other objects by class. {parts}."
        )


def _stakes(failures: results.Failures) -> NamedFigure:
    types = sorted(
        (each for each in failures.types if each.n_detections or each.n_missed),
        key=lambda each: -(each.ap_gain.value or 0.0),
    )
    rows = [
        _row(f"{TYPE_TITLES[each.type]} ({each.n_detections} / {each.n_missed})", each.ap_gain)
        for each in types
    ]
    title = "AP gain if fixed (false positives / missed)"
    figure = plots.sections_figure(
        [plots.EstimateSection(title, rows)], quantity="AP gain (points)", reference=None, points=True
    )
    parts = "; ".join(f"{row.label}: {100 * (row.value or 0.0):+.1f}" for row in rows)
    return NamedFigure(
        "stakes", figure, f"AP gain in points if one failure type were fixed, with CI. {parts}."
    )


def _sweeps(context: Context) -> Iterator[NamedFigure]:
    """Draw the threshold sweep of every method that has one, as small multiples."""
    ious = context.config.iou_thresholds
    panels, parts = [], []
    for method, tuning in context.outputs["localise"]["tuning"].items():
        rows = [row for row in tuning["rows"] if row["components"] == tuning["components"]]
        if rows:
            thresholds = [row["cam_threshold"] for row in rows]
            series = [
                Series(
                    f"IoU {iou:g}",
                    thresholds,
                    [row["ap"][index] for row in rows],
                    style=LineStyle(METHODS[method].colour, index),
                )
                for index, iou in enumerate(ious)
            ]
            title = f"{METHODS[method].title} ({tuning['components']})"
            panels.append(plots.SweepPanel(title, series, tuning["cam_threshold"]))
            parts.append(f"{METHODS[method].title}: {tuning['cam_threshold']:g}")
    if panels:
        alt = (
            f"AP on the tuning split against cam_threshold, one panel per method. Chosen: {'; '.join(parts)}."
        )
        yield NamedFigure("sweeps", plots.sweep_figure(panels), alt, plots.sweep_figure(panels, columns=2))


def _agreement(context: Context) -> NamedFigure:
    best = context.outputs["compare"]["best_iou"]
    a, b = METHODS[MAIN].title, METHODS[EARLIER].title
    figure = plots.agreement_figure(best[MAIN], best[EARLIER], a_label=a, b_label=b)
    higher, lower = (int((np.array(best[x]) > best[y]).sum()) for x, y in ((MAIN, EARLIER), (EARLIER, MAIN)))
    alt = f"IoU of the top-scoring box, {len(best[MAIN])} images: {a} is higher in {higher}, {b} in {lower}."
    return NamedFigure("agreement", figure, alt)


def _probabilities(context: Context, point: results.ChosenThreshold) -> NamedFigure:
    probabilities = predictions(context, "reported").probabilities(context.target)
    present = np.array([context.has_target(image) for image in context.reported.images])
    target = context.config.target
    figure = plots.score_figure(
        probabilities[present], probabilities[~present], point.score_threshold, target=target
    )
    alt = f"Probability of {target}: median {np.median(probabilities[present]):.2f} with {target}"
    if not present.all():
        alt += f", {np.median(probabilities[~present]):.2f} without"
    return NamedFigure("probabilities", figure, f"{alt}.")


def _sanity(found: results.Sanity) -> Iterator[NamedFigure]:
    """Draw similarity against depth, and the deletion and insertion curves, if anything was measured."""
    if not found.n_images:
        return
    measures = {"rank correlation": "spearman", "structural similarity": "ssim"}
    shares = [depth.share_of_parameters for depth in found.depths]
    series = [
        plots.EstimateSeries(label, shares, [_row("", getattr(depth, name)) for depth in found.depths])
        for label, name in measures.items()
    ]
    limit = next(check.limit for check in found.checks if check.name == "randomised_spearman")
    parts = (f"{depth.layer}: {_signed(depth.spearman)} and {_signed(depth.ssim)}" for depth in found.depths)
    alt = f"Rank correlation and structural similarity by the lowest permuted layer. {'; '.join(parts)}."
    yield NamedFigure("sanity_weights", plots.similarity_figure(series, limit), alt)
    panels = [
        (way, [Series(title, found.fractions, getattr(curve, way), style=style)
               for curve, (title, style) in ((each, ORDERS[each.order]) for each in found.curves)])
        for way in ("deletion", "insertion")
    ]  # fmt: skip
    areas = (
        f"{ORDERS[curve.order][0]}: {_signed(curve.deletion_auc)} and {_signed(curve.insertion_auc)}"
        for curve in found.curves
    )
    alt = f"Class probability under deletion and insertion, three orders. AUC: {'; '.join(areas)}."
    wide, narrow = (plots.insertion_deletion_figure(panels, columns=columns) for columns in (None, 1))
    yield NamedFigure("sanity_pixels", wide, alt, narrow)


def _signed(found: results.Estimate) -> str:
    return "n/a" if found.value is None else f"{found.value:.2f}"


def _percents(values: Iterator[float | None] | list[float | None]) -> str:
    return " / ".join("n/a" if value is None else f"{100 * value:.1f} %" for value in values)
