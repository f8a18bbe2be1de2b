"""How values are spread over images: one map against another, and the classifier's probabilities."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dogcam.draw.plots.frame import (
    DASHES,
    drawing,
    legend_below,
    mark_threshold,
    series_colour,
    single,
    unit_axes,
)
from dogcam.draw.simplify import spots
from dogcam.draw.svg import MUTED, SERIES


@drawing
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
    figure, axes = single(4.6)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, linestyle=(0, (4, 3)), zorder=1)
    doublings = np.floor(np.log2(counts))
    for level in np.unique(doublings):
        look = {"color": SERIES[0], "alpha": 0.55, "mew": 0, "clip_on": False}
        axes.plot(x[doublings == level], y[doublings == level], "o", ms=4.5 + 1.8 * level, **look)
    unit_axes(axes)
    axes.set(xlabel=f"best IoU, {a_label}", ylabel=f"best IoU, {b_label}", aspect="equal")
    axes.set_title(f"images: {counts.sum()}", fontweight="normal", fontsize=10, color=MUTED)
    return figure


@drawing
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
    figure, axes = single(3.0)
    groups = ((with_target, f"with {target}"), (without_target, f"without {target}"))
    for index, (values, label) in enumerate(groups):
        values = np.asarray(values, dtype=np.float64)
        counts, edges = np.histogram(values, bins=n_bins, range=(0, 1))
        shares = counts / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=series_colour(index), alpha=0.14, lw=0)
        line = {"color": series_colour(index), "linestyle": DASHES[index], "lw": 1.7}
        axes.stairs(shares, edges, label=f"{label} ({len(values)})", **line)
    axes.set(xlabel=f"probability of {target}", ylabel="share of the images", ylim=(0, None), xlim=(0, 1))
    if score_threshold is not None:
        mark_threshold(axes, score_threshold, f"threshold: {score_threshold:.3g}")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure
