"""The drawings of a report: every function takes plain numbers and returns a matplotlib Figure.

Panels stand side by side for a wide page, or with `stacked=True` below one another for a telephone. A method
keeps its colour through all figures as long as the methods come in the same order. `dogcam.svg.to_svg` turns
a figure into text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from textwrap import fill
from typing import Literal, ParamSpec

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from dogcam.svg import GRID, INK, MUTED, PAPER, SERIES, drawing_style
from dogcam.thinning import spots, thinned

_Arguments = ParamSpec("_Arguments")

# Five dashes against six colours: the pair repeats only after thirty series.
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6)), (0, (9, 2.5)))
_MARKERS = ("o", "s", "D", "^", "v", "P")

_PANELS_WIDTH = 9.0
_STACK_WIDTH = 4.6
_SINGLE_WIDTH = 5.2
_TENTHS = np.linspace(0, 1, 6)

# Panels of a fixed shape find their place only in the second or third pass of constrained layout.
_LAYOUT_PASSES = 3

# Less than a pixel of a panel as wide as a column of text.
_TOLERANCE = 0.003


@dataclass(frozen=True)
class Series:
    """Values to be drawn in one colour: (K,) x and (K,) y, joined by a line or as lone points.

    `points` is for methods that have no ranking to draw a curve of, such as boxes of one constant score.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "points"] = "line"


@dataclass(frozen=True)
class OperatingMark:
    """A place on the curve of the series with this label."""

    label: str
    recall: float
    precision: float


@dataclass(frozen=True)
class PrecisionRecallPanel:
    """The curves of all methods at one IoU threshold; x is recall, y precision."""

    iou_threshold: float
    curves: Sequence[Series]
    operating_point: OperatingMark | None = None


@dataclass(frozen=True)
class EstimateRow:
    """One method's value with its interval; None where it is not defined."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class EstimateGroup:
    """The values of all methods at one IoU threshold."""

    iou_threshold: float
    rows: Sequence[EstimateRow]


@dataclass(frozen=True)
class CountRow:
    """One kind of something, with as many counts as the figure has names."""

    label: str
    counts: Sequence[int]


def _drawing(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Let a function draw in the house style, and fix the layout of its figure.

    Constrained layout moves the axes a little at every drawing; with the layout fixed, a figure comes out the
    same each time that it is saved.
    """

    @wraps(draw)
    def drawn(*args: _Arguments.args, **settings: _Arguments.kwargs) -> Figure:
        with drawing_style():
            figure = draw(*args, **settings)
            for _ in range(_LAYOUT_PASSES):
                figure.draw_without_rendering()
        figure.set_layout_engine("none")
        return figure

    return drawn


@_drawing
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
    figure, grid = _panels(len(panels), stacked, height=3.0 if stacked else 2.75)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            x, y = thinned(curve.x, curve.y, _TOLERANCE) if curve.kind == "line" else (curve.x, curve.y)
            _draw_series(axes, replace(curve, x=x, y=y), labels.index(curve.label))
        mark = panel.operating_point
        if mark is not None:
            if mark.label not in {curve.label for curve in panel.curves}:
                raise ValueError(f"an operating point on {mark.label!r}, which is no curve of its panel")
            ring = {"color": _colour(labels.index(mark.label)), "markerfacecolor": PAPER}
            axes.plot(mark.recall, mark.precision, "o", ms=8, mew=2, zorder=4, clip_on=False, **ring)
        axes.set(title=_iou_title(panel.iou_threshold), xlabel="recall", ylabel="precision", box_aspect=0.8)
        _unit_axes(axes)
        axes.label_outer()
    first = {curve.label: curve for panel in panels for curve in panel.curves}
    handles = [_series_handle(first[label], index) for index, label in enumerate(labels)]
    if any(panel.operating_point is not None for panel in panels):
        ring = {"color": MUTED, "markerfacecolor": PAPER, "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", ms=8, mew=2, label="operating point", **ring))
    _legend_below(figure, handles)
    return figure


@_drawing
def estimates_figure(
    groups: Sequence[EstimateGroup], *, quantity: str = "AP", stacked: bool = False
) -> Figure:
    """Draw values with their intervals: methods are rows, IoU thresholds panels.

    Args:
        groups: at least one, all with the same labels in the same order.
        quantity: what is on the axis, a fraction.
        stacked: the panels stand below one another.

    Raises:
        ValueError: where there is no group, or the groups differ in their labels.
    """
    labels = [row.label for row in groups[0].rows] if groups else []
    if any([row.label for row in group.rows] != labels for group in groups):
        raise ValueError("the groups name different methods; expected the same labels in the same order")
    figure, grid = _panels(len(groups), stacked, height=0.75 + 0.34 * len(labels))
    ends = [end for group in groups for row in group.rows for end in (row.value, row.high) if end is not None]
    upper = min(1.0, max(0.2, np.ceil(max(ends, default=1.0) * 5) / 5))
    for axes, group in zip(grid, groups, strict=True):
        for place, row in enumerate(group.rows):
            _draw_estimate(axes, place, row)
        axes.set(title=_iou_title(group.iou_threshold), xlabel=quantity, xlim=(0, upper))
        _name_rows(axes, labels)
        axes.label_outer()
        axes.locator_params(axis="x", nbins=5)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
    return figure


@_drawing
def sweep_figure(series: Sequence[Series], chosen: float | None, *, x_label: str = "cam_threshold") -> Figure:
    """Draw AP on the tuning split against a threshold.

    Args:
        series: one for each IoU threshold; x is the threshold, y AP.
        chosen: the threshold that was taken, marked by a line; None for no mark.
        x_label: what the threshold is called.
    """
    figure, axes = _single(3.0)
    for index, one in enumerate(series):
        _draw_series(axes, one, index, marker=_MARKERS[index % len(_MARKERS)], markersize=3.5)
    axes.set(xlabel=x_label, ylabel="AP on the tuning split", ylim=(0, None))
    if chosen is not None:
        _mark_threshold(axes, chosen, f"chosen: {chosen:g}")
    _legend_below(figure, axes.get_lines()[: len(series)])
    return figure


@_drawing
def counts_figure(rows: Sequence[CountRow], names: Sequence[str] = ("count",)) -> Figure:
    """Draw counts as horizontal bars with the numbers at their ends.

    Args:
        rows: in the order from top to bottom.
        names: what the counts of a row are; one bar for each, and a legend where there are several.

    Raises:
        ValueError: where a row has not one count for each name.
    """
    if any(len(row.counts) != len(names) for row in rows):
        raise ValueError(f"every row needs {len(names)} counts: {', '.join(names)}")
    figure, axes = _single(0.75 + len(rows) * (0.16 + 0.2 * len(names)))
    thickness = 0.76 / len(names)
    for index in range(len(names)):
        places = np.arange(len(rows)) + (index - (len(names) - 1) / 2) * thickness
        counts = [row.counts[index] for row in rows]
        bars = axes.barh(places, counts, height=thickness * 0.86, color=_colour(index))
        axes.bar_label(bars, padding=4, color=INK, fontsize=9)
    _name_rows(axes, [row.label for row in rows])
    axes.set_xlim(0, 1.12 * max((count for row in rows for count in row.counts), default=0) or 1)
    axes.tick_params(axis="x", labelbottom=False)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    if len(names) > 1:
        _legend_below(figure, [Patch(color=_colour(index), label=name) for index, name in enumerate(names)])
    return figure


@_drawing
def agreement_figure(a: ArrayLike, b: ArrayLike, *, a_label: str, b_label: str) -> Figure:
    """Draw the best IoU of each image with one kind of map against the other's.

    Images that fall on one spot become one larger dot: its diameter grows with the logarithm of their number.

    Args:
        a: (N,) numbers in [0, 1], across.
        b: (N,) numbers in [0, 1], upwards; element i is of the same image.
        a_label: name of the map across.
        b_label: name of the map upwards.

    Raises:
        ValueError: where the two differ in length, or a number is outside [0, 1].
    """
    x, y, counts = spots(a, b)
    figure, axes = _single(4.6)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, linestyle=(0, (4, 3)), zorder=1)
    doublings = np.floor(np.log2(counts))
    for level in np.unique(doublings):
        look = {"color": SERIES[0], "alpha": 0.55, "mew": 0, "clip_on": False}
        axes.plot(x[doublings == level], y[doublings == level], "o", ms=4.5 + 1.8 * level, **look)
    _unit_axes(axes)
    axes.set(xlabel=f"best IoU, {a_label}", ylabel=f"best IoU, {b_label}", aspect="equal")
    axes.set_title(f"images: {counts.sum()}", fontweight="normal", fontsize=10, color=MUTED)
    return figure


@_drawing
def score_figure(
    with_target: ArrayLike,
    without_target: ArrayLike,
    score_threshold: float | None,
    *,
    target: str = "target",
    n_bins: int = 20,
) -> Figure:
    """Draw how the classifier's probability is spread over images with and without the target.

    Args:
        with_target: (N,) probabilities of the images that show the target.
        without_target: (M,) probabilities of the others.
        score_threshold: marked by a line; None for no mark.
        target: name of the class.
        n_bins: how many bins the range from 0 to 1 is cut into.
    """
    figure, axes = _single(3.0)
    groups = ((with_target, f"with {target}"), (without_target, f"without {target}"))
    for index, (values, label) in enumerate(groups):
        values = np.asarray(values, dtype=np.float64)
        counts, edges = np.histogram(values, bins=n_bins, range=(0, 1))
        shares = counts / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=_colour(index), alpha=0.14, lw=0)
        line = {"color": _colour(index), "linestyle": _DASHES[index], "lw": 1.7}
        axes.stairs(shares, edges, label=f"{label} ({len(values)})", **line)
    axes.set(xlabel=f"probability of {target}", ylabel="share of the images", ylim=(0, None), xlim=(0, 1))
    if score_threshold is not None:
        _mark_threshold(axes, score_threshold, f"threshold: {score_threshold:.3g}")
    _legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


def _panels(count: int, stacked: bool, *, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels of `height` inches each that share their axes."""
    if count == 0:
        raise ValueError("there is nothing to draw; expected at least one panel")
    lines, columns = (count, 1) if stacked else (1, count)
    size = (_STACK_WIDTH if stacked else _PANELS_WIDTH, lines * height)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1 if stacked else 0.04)
    return figure, list(figure.subplots(lines, columns, squeeze=False, sharex="all", sharey="all").ravel())


def _single(height: float) -> tuple[Figure, Axes]:
    """Return a figure with one panel."""
    figure = Figure(figsize=(_SINGLE_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _draw_series(axes: Axes, series: Series, index: int, **look: object) -> None:
    """Draw one series in the colour and dash (or marker) of its place among the series."""
    axes.plot(series.x, series.y, label=series.label, clip_on=False, zorder=3, **_look(series, index) | look)


def _look(series: Series, index: int) -> dict[str, object]:
    colour = {"color": _colour(index)}
    if series.kind == "points":
        return colour | {"linestyle": "none", "marker": _MARKERS[index % len(_MARKERS)], "markersize": 6}
    return colour | {"linestyle": _DASHES[index % len(_DASHES)], "linewidth": 1.7}


def _series_handle(series: Series, index: int) -> Line2D:
    return Line2D([], [], label=series.label, **_look(series, index))


def _draw_estimate(axes: Axes, place: int, row: EstimateRow) -> None:
    """Draw one dot with its whisker and write the value at the right."""
    text = "–" if row.value is None else f"{row.value:.3f}"
    where = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
    axes.text(1.03, place, text, color=INK, fontsize=9, **where)
    axes.axhline(place, color=GRID, lw=0.7, zorder=1)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=_colour(place), lw=2, zorder=3)
    if row.value is not None:
        axes.plot(row.value, place, "o", color=_colour(place), ms=6.5, zorder=4, clip_on=False)


def _mark_threshold(axes: Axes, value: float, text: str) -> None:
    """Draw an upright line at `value`, with its text above the axes, on the side where there is room."""
    axes.axvline(value, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=2)
    low, high = axes.get_xlim()
    right = value > (low + high) / 2
    axes.annotate(
        text,
        (value, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(4 if right else -4, 4),
        textcoords="offset points",
        ha="right" if right else "left",
        color=INK,
        fontsize=9,
    )


def _legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below the panels, in as many columns as its longest label allows."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.09 * longest))))
    lines = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * lines)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Write names at the left, from top to bottom, long ones on two lines or more."""
    axes.set_yticks(range(len(labels)), [fill(label, 20) for label in labels], color=INK, fontsize=10)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)


def _unit_axes(axes: Axes) -> None:
    """Let both axes go from 0 to 1, with a little air so that a line on the border is whole."""
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), xticks=_TENTHS, yticks=_TENTHS)


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _iou_title(iou_threshold: float) -> str:
    return f"IoU > {iou_threshold:g}"
