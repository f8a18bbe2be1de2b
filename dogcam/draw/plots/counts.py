"""Counts as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dogcam.draw.plots.frame import drawing, legend_below, name_rows, series_colour, single
from dogcam.draw.svg import INK


@dataclass(frozen=True)
class CountRow:
    """A row of counts, one for each name of the figure."""

    label: str
    counts: Sequence[int]


@drawing
def counts_figure(rows: Sequence[CountRow], names: Sequence[str] = ("count",)) -> Figure:
    """Draw counts as horizontal bars with the numbers at their ends.

    Args:
        rows: in the order from top to bottom.
        names: of the counts of a row; each is a bar. Several names get a legend.

    Raises:
        ValueError: if a row has not one count for each name.
    """
    if any(len(row.counts) != len(names) for row in rows):
        raise ValueError(f"every row needs {len(names)} counts: {', '.join(names)}")
    figure, axes = single(0.75 + len(rows) * (0.16 + 0.2 * len(names)))
    thickness = 0.76 / len(names)
    for index in range(len(names)):
        places = np.arange(len(rows)) + (index - (len(names) - 1) / 2) * thickness
        counts = [row.counts[index] for row in rows]
        bars = axes.barh(places, counts, height=thickness * 0.86, color=series_colour(index))
        axes.bar_label(bars, padding=4, color=INK, fontsize=9)
    name_rows(axes, [row.label for row in rows])
    axes.set_xlim(0, 1.12 * max((count for row in rows for count in row.counts), default=0) or 1)
    axes.tick_params(axis="x", labelbottom=False)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    if len(names) > 1:
        patches = [Patch(color=series_colour(index), label=name) for index, name in enumerate(names)]
        legend_below(figure, patches)
    return figure
