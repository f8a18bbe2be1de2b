"""Common parts of all plots: style, layout, panels, series, legends, row names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from textwrap import fill
from typing import Any, Literal, ParamSpec, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from dogcam.draw.svg import INK, MUTED, SERIES, drawing_style

_Arguments = ParamSpec("_Arguments")

# Five dashes against six colours: the pair repeats only after thirty series.
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6)), (0, (9, 2.5)))
MARKERS = ("o", "s", "D", "^", "v", "P")

_PANELS_WIDTH = 9.0
NARROW_WIDTH = 4.6
"""Width in inches of a figure for a narrow page, such as a phone's."""

_SINGLE_WIDTH = 5.2
_TENTHS = np.linspace(0, 1, 6)

# Constrained layout places panels of a fixed shape in its second or third pass. Other panels move by less
# than half a point after the first.
_PASSES_OF_FIXED_SHAPES = 3


Colour = int | Literal["ink", "muted"]
"""Index into the palette's series colours, which are for methods; or the name of a neutral colour."""

_NEUTRAL = {"ink": INK, "muted": MUTED}


@dataclass(frozen=True)
class LineStyle:
    """The colour and dash of a method, the same in every figure of a page; neutral for what is no method.

    Attributes:
        colour: of the palette.
        dash: index into `DASHES`.
    """

    colour: Colour
    dash: int = 0


@dataclass(frozen=True)
class Series:
    """Values to be drawn in one colour: (K,) x and (K,) y, joined by a line or as lone points.

    `points` is for methods that have no ranking to draw a curve of, such as boxes of one constant score.
    `low` and `high` are the (K,) ends of a band around a line; None for no band, also at single places.
    `style` is the colour and dash; None for those of the series' place in the figure.
    """

    label: str
    x: Sequence[float] | NDArray[np.float64]
    y: Sequence[float] | NDArray[np.float64]
    kind: Literal["line", "points"] = "line"
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    style: LineStyle | None = None

    def style_at(self, index: int) -> LineStyle:
        """Return the style of the series if it is at this place in the figure."""
        return self.style or LineStyle(index, index)


def drawing(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Let a function draw in the house style, and fix the layout of its figure.

    Constrained layout moves the axes a little at every drawing; with the layout fixed, a figure comes out the
    same each time that it is saved. Without a layout engine, saving draws once, not twice.
    """

    @wraps(draw)
    def drawn(*args: _Arguments.args, **settings: _Arguments.kwargs) -> Figure:
        with drawing_style():
            figure = draw(*args, **settings)
            _fix_empty_labels(figure)
            engine = cast(ConstrainedLayoutEngine, figure.get_layout_engine())
            fixed = any(axes.get_aspect() != "auto" or axes.get_box_aspect() for axes in figure.axes)
            for _ in range(_PASSES_OF_FIXED_SHAPES if fixed else 1):
                engine.execute(figure)
            figure.set_layout_engine(None)
        return figure

    return drawn


def _fix_empty_labels(figure: Figure) -> None:
    """Place the empty labels of axes anywhere: to find their place, all tick labels would be measured."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)


def side_panels(
    count: int, columns: int | None = None, *, height: float, same_height: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels of `height` inches; they share x and, by default, y.

    Args:
        count: number of panels, at least one.
        columns: panels in a row of a narrow figure; None for a wide figure with one row.
        height: of a panel.
        same_height: whether the panels share y.
    """
    if count == 0:
        raise ValueError("no panels; expected at least one")
    lines = -(-count // columns) if columns else 1
    size = (NARROW_WIDTH if columns else _PANELS_WIDTH, lines * height)
    figure = Figure(figsize=size, layout="constrained")
    cast(ConstrainedLayoutEngine, figure.get_layout_engine()).set(h_pad=0.1 if columns else 0.04)
    sharey: Literal["all", "none"] = "all" if same_height else "none"
    panels = list(
        figure.subplots(lines, columns or count, squeeze=False, sharex="all", sharey=sharey).ravel()
    )
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def outer_labels(panels: Sequence[Axes], columns: int | None = None) -> None:
    """Label the axes at the left, and below the lowest panel of each column, also above an empty place.

    Args:
        panels: row by row.
        columns: panels in a row; None for one row.
    """
    columns = columns or len(panels)
    for place, axes in enumerate(panels):
        leftmost, lowest = place % columns == 0, place >= len(panels) - columns
        axes.tick_params(labelleft=leftmost, labelbottom=lowest)
        if not leftmost:
            axes.set_ylabel("")
        if not lowest:
            axes.set_xlabel("")


def large_and_small(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels in order: the last one large, the others small at its right."""
    if count == 0:
        raise ValueError("no panels; expected at least one")
    figure = Figure(figsize=(_PANELS_WIDTH if count > 1 else 6.4, 4.2), layout="constrained")
    if count == 1:
        return figure, [figure.subplots()]
    grid = figure.add_gridspec(count - 1, 2, width_ratios=(2.2, 1))
    small = [figure.add_subplot(grid[row, 1]) for row in range(count - 1)]
    return figure, [*small, figure.add_subplot(grid[:, 0])]


def single(height: float) -> tuple[Figure, Axes]:
    """Return a figure with one panel."""
    figure = Figure(figsize=(_SINGLE_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def draw_series(axes: Axes, series: Series, index: int, **style: Any) -> None:
    """Draw one series in the colour and dash (or marker) of its place among the series."""
    axes.plot(
        series.x, series.y, label=series.label, clip_on=False, zorder=3, **_style(series, index) | style
    )


def _style(series: Series, index: int) -> dict[str, Any]:
    style = series.style_at(index)
    colour: dict[str, Any] = {"color": series_colour(style.colour)}
    if series.kind == "points":
        return colour | {"linestyle": "none", "marker": MARKERS[style.dash % len(MARKERS)], "markersize": 6}
    return colour | {"linestyle": DASHES[style.dash % len(DASHES)], "linewidth": 1.7}


def series_handle(series: Series, index: int) -> Line2D:
    """Return the legend handle of a series."""
    return Line2D([], [], label=series.label, **_style(series, index))


def mark_threshold(axes: Axes, value: float, text: str) -> None:
    """Draw a vertical line at `value`, with its text above the axes on the side with more space."""
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


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below the panels, in as many columns as its longest label allows."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.09 * longest))))
    lines = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * lines)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Write names at the left, from top to bottom, long ones on two lines or more."""
    axes.set_yticks(range(len(labels)), [fill(label, 26) for label in labels], color=INK, fontsize=10)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)


def unit_axes(axes: Axes, percent: str = "xy") -> None:
    """Set both axes to 0 to 1, with a margin for lines on the border.

    Args:
        axes: of the plot.
        percent: the axes in percent: "xy", "y", "x" or "". IoU, scores and probabilities are decimals.
    """
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), xticks=_TENTHS, yticks=_TENTHS)
    in_percent(*(getattr(axes, f"{name}axis") for name in percent))


def in_percent(*axes: Axis, symbol: str = " %") -> None:
    """Label the ticks of axes of fractions in percent, with a symbol behind them."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=symbol))


def series_colour(colour: Colour) -> str:
    """Return a colour of the palette as a figure uses it."""
    return _NEUTRAL[colour] if isinstance(colour, str) else SERIES[colour % len(SERIES)]


def iou_title(iou_threshold: float) -> str:
    """Return the heading of the panel of an IoU threshold."""
    return f"IoU {iou_threshold:g}"
