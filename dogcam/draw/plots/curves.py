"""Precision against recall, and AP against a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dogcam.draw.plots.frame import (
    MARKERS,
    Series,
    draw_series,
    drawing,
    iou_title,
    legend_below,
    mark_threshold,
    series_colour,
    series_handle,
    side_panels,
    single,
    unit_axes,
)
from dogcam.draw.simplify import simplify_polyline
from dogcam.draw.svg import INK, MUTED, PAPER

# In fractions of an axis: a label of three signs and some air.
_LABEL_ROOM = 0.13

# Less than a pixel of a panel as wide as a column of text.
_TOLERANCE = 0.003


@dataclass(frozen=True)
class OperatingMark:
    """A place on the curve of the series with this label."""

    label: str
    recall: float
    precision: float


@dataclass(frozen=True)
class ScoreMark:
    """A place on a curve with the score that leads to it."""

    label: str
    recall: float
    precision: float


@dataclass(frozen=True)
class PrecisionRecallPanel:
    """The curves of all methods at one IoU threshold; x is recall, y precision."""

    iou_threshold: float
    curves: Sequence[Series]
    operating_point: OperatingMark | None = None
    scores: Sequence[ScoreMark] = ()


@drawing
def precision_recall_figure(panels: Sequence[PrecisionRecallPanel], *, stacked: bool = False) -> Figure:
    """Draw precision against recall, one panel for each IoU threshold.

    Args:
        panels: at least one; a method has the same label in all of them. A curve without finite values (no
            ground truth) is not drawn.
        stacked: the panels stand below one another.

    Raises:
        ValueError: where there is no panel, or an operating point lies on a curve that its panel lacks.
    """
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    figure, grid = side_panels(len(panels), stacked, height=3.0 if stacked else 2.75)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            x, y = (
                simplify_polyline(curve.x, curve.y, _TOLERANCE)
                if curve.kind == "line"
                else (curve.x, curve.y)
            )
            draw_series(axes, replace(curve, x=x, y=y), labels.index(curve.label))
            _draw_band(axes, curve, labels.index(curve.label))
        _draw_scores(axes, panel.scores)
        mark = panel.operating_point
        if mark is not None:
            if mark.label not in {curve.label for curve in panel.curves}:
                raise ValueError(f"an operating point on {mark.label!r}, which is no curve of its panel")
            ring = {"color": series_colour(labels.index(mark.label)), "markerfacecolor": PAPER}
            axes.plot(mark.recall, mark.precision, "o", ms=8, mew=2, zorder=4, clip_on=False, **ring)
        axes.set(title=iou_title(panel.iou_threshold), xlabel="recall", ylabel="precision", box_aspect=0.8)
        unit_axes(axes)
        axes.label_outer()
    first = {curve.label: curve for panel in panels for curve in panel.curves}
    handles = [series_handle(first[label], index) for index, label in enumerate(labels)]
    if any(panel.operating_point is not None for panel in panels):
        ring = {"color": MUTED, "markerfacecolor": PAPER, "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", ms=8, mew=2, label="operating point", **ring))
    legend_below(figure, handles)
    return figure


@drawing
def sweep_figure(series: Sequence[Series], chosen: float | None, *, x_label: str = "cam_threshold") -> Figure:
    """Draw AP on the tuning split against a threshold.

    Args:
        series: one for each IoU threshold; x is the threshold, y AP.
        chosen: the threshold that was taken, marked by a line; None for no mark.
        x_label: what the threshold is called.
    """
    figure, axes = single(3.0)
    for index, one in enumerate(series):
        draw_series(axes, one, index, marker=MARKERS[index % len(MARKERS)], markersize=3.5)
    axes.set(xlabel=x_label, ylabel="AP on the tuning split", ylim=(0, None))
    if chosen is not None:
        mark_threshold(axes, chosen, f"chosen: {chosen:g}")
    legend_below(figure, axes.get_lines()[: len(series)])
    return figure


def _draw_band(axes: Axes, series: Series, index: int) -> None:
    if series.low is None or series.high is None:
        return
    low, high = (np.array(ends, dtype=np.float64) for ends in (series.low, series.high))
    known = np.isfinite(low) & np.isfinite(high)
    look = {"color": series_colour(index), "alpha": 0.16, "lw": 0}
    axes.fill_between(series.x, low, high, where=known, zorder=1, **look)


def _draw_scores(axes: Axes, scores: Sequence[ScoreMark]) -> None:
    """Name scores along a curve, leaving out those that would lie on one named before."""
    named: list[tuple[float, float]] = []
    for mark in scores:
        here = (mark.recall, mark.precision)
        if all(np.hypot(here[0] - x, here[1] - y) >= _LABEL_ROOM for x, y in named):
            named.append(here)
            axes.plot(*here, "o", ms=3, color=INK, zorder=4, clip_on=False)
            beside = {"textcoords": "offset points", "fontsize": 8, "color": INK}
            axes.annotate(mark.label, here, (4, 4), zorder=4, annotation_clip=False, **beside)
