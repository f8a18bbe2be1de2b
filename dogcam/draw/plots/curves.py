"""Precision against recall, and AP against a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dogcam.draw.plots.frame import (
    MARKERS,
    Series,
    draw_series,
    drawing,
    in_percent,
    iou_title,
    large_and_small,
    legend_below,
    outer_labels,
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
    """A point on the curve of the series with this label, and its text."""

    label: str
    recall: float
    precision: float
    text: str = ""


@dataclass(frozen=True)
class ScoreMark:
    """A point on a curve and the score threshold that gives it."""

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


@dataclass(frozen=True)
class SweepPanel:
    """AP of one method against a threshold, a line for each IoU, and the threshold that was chosen."""

    title: str
    series: Sequence[Series]
    chosen: float | None


@drawing
def precision_recall_figure(panels: Sequence[PrecisionRecallPanel]) -> Figure:
    """Draw precision against recall: the last IoU threshold large, the others small at its right.

    Args:
        panels: at least one; a method has the same label in all of them. A curve without finite values (no
            ground truth) is not drawn.

    Raises:
        ValueError: if there is no panel, or an operating point is on a curve that its panel lacks.
    """
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    figure, grid = large_and_small(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            x, y = (
                simplify_polyline(curve.x, curve.y, _TOLERANCE)
                if curve.kind == "line"
                else (curve.x, curve.y)
            )
            draw_series(axes, replace(curve, x=x, y=y), labels.index(curve.label))
            _draw_band(axes, curve, labels.index(curve.label))
        mark = panel.operating_point
        if mark is not None:
            named = {curve.label: curve for curve in panel.curves}
            if mark.label not in named:
                raise ValueError(f"an operating point on {mark.label!r}, which is no curve of its panel")
            _draw_ring(axes, mark, series_colour(named[mark.label].style_at(labels.index(mark.label)).colour))
        _draw_scores(axes, panel.scores, [(mark.recall, mark.precision)] if mark else [])
        axes.set(title=iou_title(panel.iou_threshold), xlabel="recall", ylabel="precision")
        unit_axes(axes)
    first = {curve.label: curve for panel in panels for curve in panel.curves}
    handles = [series_handle(first[label], index) for index, label in enumerate(labels)]
    if any(panel.operating_point is not None for panel in panels):
        ring: dict[str, Any] = {"color": MUTED, "markerfacecolor": PAPER, "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", ms=8, mew=2, label="operating point", **ring))
    legend_below(figure, handles)
    return figure


def _draw_ring(axes: Axes, mark: OperatingMark, colour: str) -> None:
    here = (mark.recall, mark.precision)
    ring: dict[str, Any] = {"color": colour, "markerfacecolor": PAPER}
    axes.plot(*here, "o", ms=8, mew=2, zorder=5, clip_on=False, **ring)
    offset: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "fontweight": "bold"}
    axes.annotate(mark.text, here, (8, 6), color=INK, zorder=5, annotation_clip=False, **offset)


@drawing
def sweep_figure(
    panels: Sequence[SweepPanel], *, x_label: str = "cam_threshold", columns: int | None = None
) -> Figure:
    """Draw AP on the tuning split against a threshold: a small panel for each method, on one y scale.

    Args:
        panels: at least one.
        x_label: what the threshold is called.
        columns: panels in a row of a narrow figure; None for a wide one.
    """
    figure, grid = side_panels(len(panels), columns, height=2.3)
    for axes, panel in zip(grid, panels, strict=True):
        for index, one in enumerate(panel.series):
            draw_series(axes, one, index, marker=MARKERS[index % len(MARKERS)], markersize=3)
        axes.set(xlabel=x_label, ylabel="AP")
        in_percent(axes.yaxis)
        axes.set_title(fill(panel.title, 16), fontsize=10)
        if panel.chosen is not None:
            axes.axvline(panel.chosen, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=2)
    # Not before: a limit that is set ends the scaling to the panels that follow.
    grid[0].set_ylim(0, None)
    outer_labels(grid, columns)
    chosen = Line2D([], [], color=INK, lw=1, linestyle=(0, (4, 3)), label="chosen")
    handles = [series_handle(one, index) for index, one in enumerate(panels[0].series)]
    for handle in handles:  # The colour of a line is that of its panel's method; its dash names the IoU.
        handle.set_color(INK)
    legend_below(figure, [*handles, chosen])
    return figure


@drawing
def lines_figure(series: Sequence[Series], *, x_label: str, y_label: str) -> Figure:
    """Draw several lines of one quantity on the unit square, such as AP against the IoU threshold."""
    figure, axes = single(3.6)
    for index, one in enumerate(series):
        draw_series(axes, one, index)
    unit_axes(axes, percent="y")
    axes.set(xlabel=x_label, ylabel=y_label)
    legend_below(figure, [series_handle(one, index) for index, one in enumerate(series)])
    return figure


def _draw_band(axes: Axes, series: Series, index: int) -> None:
    if series.low is None or series.high is None:
        return
    low, high = (np.array(ends, dtype=np.float64) for ends in (series.low, series.high))
    known = np.isfinite(low) & np.isfinite(high)
    options: dict[str, Any] = {"color": series_colour(series.style_at(index).colour), "alpha": 0.16, "lw": 0}
    axes.fill_between(series.x, low, high, where=known, zorder=1, **options)


def _draw_scores(axes: Axes, scores: Sequence[ScoreMark], taken: Sequence[tuple[float, float]]) -> None:
    """Write scores along a curve, except those that would overlap."""
    named = list(taken)
    for mark in scores:
        here = (mark.recall, mark.precision)
        if all(np.hypot(here[0] - x, here[1] - y) >= _LABEL_ROOM for x, y in named):
            named.append(here)
            axes.plot(*here, "o", ms=3, color=INK, zorder=4, clip_on=False)
            offset: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": INK}
            axes.annotate(mark.label, here, (4, 4), zorder=4, annotation_clip=False, **offset)
