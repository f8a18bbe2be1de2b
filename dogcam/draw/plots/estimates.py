"""Values with their intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dogcam.draw.plots.frame import (
    Colour,
    drawing,
    in_percent,
    iou_title,
    name_rows,
    outer_labels,
    series_colour,
    side_panels,
    single,
)
from dogcam.draw.svg import GRID, INK


@dataclass(frozen=True)
class EstimateRow:
    """One value with its interval (None if undefined), and its colour of the palette."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    colour: Colour = 0


@dataclass(frozen=True)
class EstimateGroup:
    """The values of all methods at one IoU threshold."""

    iou_threshold: float
    rows: Sequence[EstimateRow]


@drawing
def estimates_figure(
    groups: Sequence[EstimateGroup], *, quantity: str = "AP", columns: int | None = None
) -> Figure:
    """Draw values with their intervals: methods are rows, IoU thresholds panels.

    Args:
        groups: at least one, all with the same labels in the same order.
        quantity: what is on the axis, a fraction.
        columns: panels in a row of a narrow figure; None for a wide one.

    Raises:
        ValueError: if there is no group, or the groups differ in their labels.
    """
    labels = [row.label for row in groups[0].rows] if groups else []
    if any([row.label for row in group.rows] != labels for group in groups):
        raise ValueError("the groups name different methods; expected the same labels in the same order")
    figure, grid = side_panels(len(groups), columns, height=0.75 + 0.34 * len(labels))
    upper = _upper_end(row for group in groups for row in group.rows)
    for axes, group in zip(grid, groups, strict=True):
        for place, row in enumerate(group.rows):
            _draw_estimate(axes, place, row)
        axes.set(title=iou_title(group.iou_threshold), xlabel=quantity, xlim=(0, upper))
        name_rows(axes, labels)
        axes.locator_params(axis="x", nbins=4)
        in_percent(axes.xaxis)
        _clear_row_axis(axes)
    outer_labels(grid, columns)
    return figure


@drawing
def class_figure(rows: Sequence[EstimateRow], *, quantity: str = "AP") -> Figure:
    """Draw one value with its interval for each class.

    Args:
        rows: at least one, from top to bottom.
        quantity: what is on the axis, a fraction.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("no rows; expected at least one")
    figure, axes = single(0.9 + 0.26 * len(rows))
    for place, row in enumerate(rows):
        _draw_estimate(axes, place, row)
    axes.set(xlabel=quantity, xlim=(0, 1))
    in_percent(axes.xaxis)
    name_rows(axes, [row.label for row in rows])
    _clear_row_axis(axes)
    return figure


def _upper_end(rows: Iterable[EstimateRow]) -> float:
    """Return the multiple of 0.2, at most 1, up to which an axis shows rows with their intervals."""
    ends = [end for row in rows for end in (row.value, row.high) if end is not None]
    return min(1.0, max(0.2, np.ceil(max(ends, default=1.0) * 5) / 5))


def _clear_row_axis(axes: Axes) -> None:
    """Draw no line along the rows' names, and keep them clear of a dot at zero."""
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", pad=7)


def _draw_estimate(axes: Axes, place: int, row: EstimateRow) -> None:
    """Draw one dot with its whisker and write the value at the right."""
    text = "–" if row.value is None else f"{100 * row.value:.1f}"
    where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
    axes.text(1.03, place, text, color=INK, fontsize=9, **where)
    axes.axhline(place, color=GRID, lw=0.7, zorder=1)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=series_colour(row.colour), lw=2, zorder=3)
    if row.value is not None:
        axes.plot(row.value, place, "o", color=series_colour(row.colour), ms=6.5, zorder=4, clip_on=False)


@dataclass(frozen=True)
class EstimateSection:
    """Rows under one heading."""

    title: str
    rows: Sequence[EstimateRow]


@drawing
def sections_figure(
    sections: Sequence[EstimateSection], *, quantity: str, reference: float | None, points: bool = False
) -> Figure:
    """Draw fractions with their intervals, in sections with a heading each.

    Args:
        sections: at least one with a row.
        quantity: what is on the axis.
        reference: a fraction to compare with, drawn as a line; None for none.
        points: the fractions are differences in points, of which the axis shows no more than it needs.

    Raises:
        ValueError: if there is no row.
    """
    lines: list[tuple[str, EstimateRow | None]] = []
    for section in sections:
        lines += [(section.title, None), *((row.label, row) for row in section.rows)]
    if not lines:
        raise ValueError("no rows; expected at least one")
    figure, axes = single(0.9 + 0.24 * len(lines))
    if reference is not None:
        axes.axvline(reference, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=2)
    for place, (_, row) in enumerate(lines):
        if row is not None:
            _draw_estimate(axes, place, row)
    axes.set(
        xlabel=quantity, xlim=(0, _upper_end(row for _, row in lines if row is not None) if points else 1)
    )
    in_percent(axes.xaxis, symbol="" if points else " %")
    axes.set_yticks(range(len(lines)), [text for text, _ in lines], color=INK, fontsize=9.5)
    for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if row is None else "normal")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    _clear_row_axis(axes)
    return figure
