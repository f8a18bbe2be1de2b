"""Sanity checks: randomised weights, deletion and insertion."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dogcam.draw.plots.estimates import EstimateRow
from dogcam.draw.plots.frame import (
    MARKERS,
    LineStyle,
    Series,
    draw_series,
    drawing,
    in_percent,
    legend_below,
    outer_labels,
    series_colour,
    series_handle,
    side_panels,
    single,
)
from dogcam.draw.svg import INK


@dataclass(frozen=True)
class EstimateSeries:
    """One measure at several places: (K,) x, and for each its value with its interval."""

    label: str
    x: Sequence[float]
    rows: Sequence[EstimateRow]


@drawing
def similarity_figure(series: Sequence[EstimateSeries], mark: float) -> Figure:
    """Draw the similarity of maps to the trained network's as its layers are permuted.

    Args:
        series: one for each measure of one method; x is the share of the weights that are permuted. A
            value that is not defined is left out.
        mark: the pass limit for both signs, drawn as two lines.
    """
    figure, axes = single(3.2)
    for limit in (mark, -mark):
        axes.axhline(limit, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=2)
    for index, one in enumerate(series):
        drawn = [(x, row) for x, row in zip(one.x, one.rows, strict=True) if row.value is not None]
        values = [row.value for _, row in drawn if row.value is not None]
        line = Series(one.label, [x for x, _ in drawn], values, style=LineStyle(0, index))
        draw_series(axes, line, index, marker=MARKERS[index], markersize=5)
        for x, row in drawn:
            if row.low is not None and row.high is not None:
                axes.plot([x, x], [row.low, row.high], color=series_colour(0), lw=2, zorder=3)
    axes.set(xlabel="share of the weights permuted, from the head down", ylabel="similarity")
    in_percent(axes.xaxis)
    axes.set_ylim(-1.05, 1.05)
    mark_handle = Line2D([], [], color=INK, lw=1, linestyle=(0, (4, 3)), label="pass limit")
    legend_below(figure, [*axes.get_legend_handles_labels()[0], mark_handle])
    return figure


@drawing
def insertion_deletion_figure(
    panels: Sequence[tuple[str, Sequence[Series]]], *, columns: int | None = None
) -> Figure:
    """Draw the probability of the class while pixels are blurred, and while they come back.

    Args:
        panels: title and curves of each; x is the share of the pixels, y the probability; a label keeps its
            colour from panel to panel by its place.
        columns: panels in a row of a narrow figure; None for a wide one.
    """
    figure, grid = side_panels(len(panels), columns, height=3.0)
    for axes, (title, curves) in zip(grid, panels, strict=True):
        for index, curve in enumerate(curves):
            draw_series(axes, curve, index)
        axes.set(title=title, xlabel="share of the pixels", ylabel="probability", ylim=(0, 1.02), xlim=(0, 1))
    outer_labels(grid, columns)
    legend_below(figure, [series_handle(curve, index) for index, curve in enumerate(panels[0][1])])
    return figure
