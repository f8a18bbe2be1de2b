"""The drawings of the section on several classes, each with its name and its text alternative."""

from collections.abc import Iterator

from dogcam.draw import plots
from report import record as results
from report.pipeline.stages.figures import NamedFigure


def drawings(found: results.Classes) -> Iterator[NamedFigure]:
    """Yield each figure with its name and its text alternative."""
    yield _ap(found)
    yield _curves(found)
    yield _confusion(found.confusion)


def _ap(found: results.Classes) -> NamedFigure:
    rows = []
    for each in sorted(found.classes, key=lambda each: -(_at_point(found, each).value or 0.0)):
        ap = _at_point(found, each)
        low, high = (ap.interval.low, ap.interval.high) if ap.interval else (None, None)
        rows.append(plots.EstimateRow(f"{each.name} ({each.n_objects})", ap.value, low, high))
    parts = "; ".join(f"{row.label}: {_percent(row.value)}" for row in rows)
    figure = plots.class_figure(rows, quantity=f"AP at IoU {found.iou:g}")
    return NamedFigure("class_ap", figure, f"AP of each class at IoU {found.iou:g} with CI. {parts}.")


def _at_point(found: results.Classes, each: results.ClassResult) -> results.Estimate:
    return next(row.ap for row in each.rows if row.iou == found.iou)


def _curves(found: results.Classes) -> NamedFigure:
    panels = [
        plots.SmallPanel(
            each.name, each.curve.recall, each.curve.precision, _percent(_at_point(found, each).value)
        )
        for each in found.classes
    ]
    parts = "; ".join(f"{panel.title}: AP {panel.note}" for panel in panels)
    alt = f"Precision against recall at IoU {found.iou:g}, a panel for each class. {parts}."
    wide, narrow = (
        plots.small_multiples_figure(panels, x_label="recall", y_label="precision", columns=columns)
        for columns in (None, 3)
    )
    return NamedFigure("class_curves", wide, alt, narrow)


def _confusion(found: results.ConfusionTable) -> NamedFigure:
    columns = [*found.annotated, "no object"]
    figure = plots.confusion_figure(
        found.detected, columns, found.counts, x_label="object", y_label="box of the class"
    )
    parts = []
    for name, row in zip(found.detected, found.counts, strict=True):
        on = [f"{count} on {column}" for column, count in zip(columns, row, strict=True) if count]
        parts.append(f"{name}: {', '.join(on) or 'no box'}")
    alt = f"Boxes by class and by the object that they are on. {'; '.join(parts)}."
    return NamedFigure("class_confusion", figure, alt)


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f} %"
