"""Several classes: a small panel for each, and which objects their boxes are on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dogcam.draw.plots.frame import NARROW_WIDTH, drawing, in_percent, outer_labels, series_colour
from dogcam.draw.svg import INK, MUTED

COLUMNS = 5
"""Number of panels in a row of a wide figure."""


@dataclass(frozen=True)
class SmallPanel:
    """One line in a panel of its own: (K,) x and (K,) y fractions, with a title and a short note."""

    title: str
    x: Sequence[float]
    y: Sequence[float]
    note: str = ""


@drawing
def small_multiples_figure(
    panels: Sequence[SmallPanel], *, x_label: str, y_label: str, columns: int | None = None
) -> Figure:
    """Draw a small panel for each class, all on the unit square, in the order given.

    Args:
        panels: at least one.
        x_label, y_label: names of the axes.
        columns: panels in a row of a narrow figure; None for a wide one.

    Raises:
        ValueError: if there is no panel.
    """
    if not panels:
        raise ValueError("there is nothing to draw; expected at least one panel")
    in_row = min(columns or COLUMNS, len(panels))
    lines = ceil(len(panels) / in_row)
    width = NARROW_WIDTH if columns else 1.75 * in_row + 0.5
    figure = Figure(figsize=(width, 1.6 * lines + 0.4), layout="constrained")
    grid = figure.subplots(lines, in_row, squeeze=False, sharex="all", sharey="all").ravel()
    for axes, panel in zip(grid, panels, strict=False):
        axes.plot(panel.x, panel.y, color=series_colour(0), lw=1.5, clip_on=False, zorder=3)
        axes.set_title(panel.title, fontsize=9.5)
        axes.text(
            0.97, 0.95, panel.note, transform=axes.transAxes, ha="right", va="top", color=INK, fontsize=8.5
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        in_percent(axes.xaxis, axes.yaxis)
        axes.tick_params(labelsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    outer_labels(list(grid[: len(panels)]), in_row)
    figure.supxlabel(x_label, fontsize=10, color=INK)
    figure.supylabel(y_label, fontsize=10, color=INK)
    return figure


@drawing
def confusion_figure(
    rows: Sequence[str],
    columns: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    x_label: str,
    y_label: str,
) -> Figure:
    """Draw a matrix of counts: each cell is as dark as its share of its row, and holds its count.

    Args:
        rows: K names, at least one.
        columns: C names.
        counts: K rows of C counts.
        x_label, y_label: what columns and rows are.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("there is nothing to draw; expected at least one row")
    values = np.array(counts, dtype=np.float64)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(2.0 + 0.36 * len(columns), 1.7 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for row, column in zip(*np.nonzero(values), strict=True):
        share = float(shares[row, column])
        square: dict[str, Any] = {"facecolor": series_colour(0), "alpha": 0.12 + 0.6 * share, "lw": 0}
        axes.axvspan(column - 0.5, column + 0.5, *_span(row, len(rows)), **square)
        axes.text(column, row, f"{int(values[row, column])}", ha="center", va="center", fontsize=8, color=INK)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel=x_label, ylabel=y_label)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=8.5, color=INK)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_color(MUTED)
    return figure


def _span(row: int, n_rows: int) -> tuple[float, float]:
    """Return the lower and upper end of a row, as fractions of the height of the axes."""
    return 1 - (row + 1) / n_rows, 1 - row / n_rows
