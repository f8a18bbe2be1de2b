"""Distributions over images: scatter plots, histograms, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dogcam.draw.plots.frame import (
    DASHES,
    MARKERS,
    LineStyle,
    drawing,
    legend_below,
    mark_threshold,
    series_colour,
    single,
    unit_axes,
)
from dogcam.draw.simplify import bin_points
from dogcam.draw.svg import INK, MUTED, SERIES


@drawing
def agreement_figure(a: ArrayLike, b: ArrayLike, *, a_label: str, b_label: str) -> Figure:
    """Draw the top-box IoU of each image with one CAM method against the other's.

    Images in one bin become one dot, whose diameter grows with the logarithm of their number.

    Args:
        a: (N,) numbers in [0, 1], across.
        b: (N,) numbers in [0, 1], upwards; element i is of the same image.
        a_label: name of the map across.
        b_label: name of the map upwards.

    Raises:
        ValueError: if the two differ in length, or a number is outside [0, 1].
    """
    x, y, counts = bin_points(a, b)
    figure, axes = single(4.6)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, linestyle=(0, (4, 3)), zorder=1)
    doublings = np.floor(np.log2(counts))
    for level in np.unique(doublings):
        style: dict[str, Any] = {"color": SERIES[0], "alpha": 0.55, "mew": 0, "clip_on": False}
        axes.plot(x[doublings == level], y[doublings == level], "o", ms=4.5 + 1.8 * level, **style)
    unit_axes(axes, percent="")
    axes.set(xlabel=f"top-box IoU, {a_label}", ylabel=f"top-box IoU, {b_label}", aspect="equal")
    below, above = (int((np.asarray(one) > np.asarray(other)).sum()) for one, other in ((a, b), (b, a)))
    title = f"images: {counts.sum()}; below the diagonal: {below}, above: {above}"
    axes.set_title(title, fontweight="normal", fontsize=10, color=MUTED)
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
    """Draw the distribution of the classifier's probability over images with and without the target.

    The counts are on a square-root axis, so that a few false alarms remain visible.

    Args:
        with_target: (N,) probabilities of the images that show the target.
        without_target: (M,) probabilities of the others.
        score_threshold: marked by a line; None for no mark.
        target: name of the class.
        n_bins: number of bins from 0 to 1.
    """
    figure, axes = single(3.0)
    groups = ((with_target, f"with {target}", INK), (without_target, f"without {target}", MUTED))
    for dash, (values, label, colour) in zip(DASHES, groups, strict=False):
        values = np.asarray(values, dtype=np.float64)
        counts, edges = np.histogram(values, bins=n_bins, range=(0, 1))
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.14, lw=0)
        line: dict[str, Any] = {"color": colour, "linestyle": dash, "lw": 1.7}
        axes.stairs(counts, edges, label=f"{label} ({len(values)})", **line)
    axes.set_yscale("function", functions=(np.sqrt, np.square))
    axes.set(xlabel=f"probability of {target}", ylabel="images (square-root scale)", ylim=(0, None))
    axes.set_xlim(0, 1)
    if score_threshold is not None:
        mark_threshold(axes, score_threshold, f"operating point: {score_threshold:.3f}")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@drawing
def bins_figure(
    edges: ArrayLike, groups: Sequence[tuple[str, ArrayLike, LineStyle]], *, x_label: str, y_label: str
) -> Figure:
    """Draw histograms over the same bins.

    Args:
        edges: (K + 1,) ends of the bins, in [0, 1].
        groups: name, (K,) counts and style of each.
        x_label: what is binned.
        y_label: what is counted.
    """
    figure, axes = single(3.0)
    for label, counts, style in groups:
        colour = series_colour(style.colour)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.14, lw=0)
        axes.stairs(counts, edges, label=label, color=colour, linestyle=DASHES[style.dash], lw=1.7)
    axes.set(xlabel=x_label, ylabel=y_label, ylim=(0, None), xlim=(0, 1))
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@dataclass(frozen=True)
class ShareRow:
    """A share in one bin: the middle of the bin, the share with its interval, and its number of cases."""

    x: float
    value: float
    low: float
    high: float
    n: int


@drawing
def reliability_figure(
    groups: Sequence[tuple[str, Sequence[ShareRow], LineStyle]], *, x_label: str
) -> Figure:
    """Draw shares against a score, with intervals and the diagonal of a calibrated score.

    Args:
        groups: name, one row for each bin with cases, and style; a line above the axes has the numbers of
            cases of each group.
        x_label: what the score is.
    """
    figure, axes = single(3.8)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, linestyle=(0, (4, 3)), zorder=1, label="calibrated")
    for place, (label, rows, style) in enumerate(groups):
        colour, shift = series_colour(style.colour), 0.008 * (2 * place - 1)
        x = [row.x + shift for row in rows]
        line: dict[str, Any] = {"color": colour, "linestyle": DASHES[style.dash], "lw": 1.2, "zorder": 3}
        axes.plot(x, [row.value for row in rows], marker=MARKERS[place], ms=5, label=label, **line)
        for at, row in zip(x, rows, strict=True):
            axes.plot([at, at], [row.low, row.high], color=colour, lw=2, zorder=3)
            # Next to the dots the numbers of two groups would overlap.
            line_above = 1.03 + 0.07 * (len(groups) - 1 - place)
            text: dict[str, Any] = {"fontsize": 8, "color": colour, "ha": "center"}
            axes.text(row.x, line_above, str(row.n), transform=axes.get_xaxis_transform(), **text)
    unit_axes(axes, percent="y")
    axes.set(xlabel=x_label, ylabel="share")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@drawing
def score_overlap_figure(
    groups: Sequence[tuple[str, ArrayLike, ArrayLike, LineStyle]],
    *,
    score_threshold: float,
    iou_threshold: float,
) -> Figure:
    """Draw the score of each image's top box against its IoU.

    Args:
        groups: name, (N,) scores, (N,) IoUs and style of each group of images.
        score_threshold: drawn as an upright line.
        iou_threshold: drawn as a level line.
    """
    figure, axes = single(3.8)
    axes.axvline(score_threshold, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(iou_threshold, color=INK, lw=1, linestyle=(0, (4, 3)), zorder=1)
    for place, (label, scores, ious, style) in enumerate(groups):
        x, y, counts = bin_points(scores, ious)
        colour, doublings = series_colour(style.colour), np.floor(np.log2(counts))
        for level in np.unique(doublings):
            chosen = doublings == level
            dots = {"color": colour, "alpha": 0.5, "mew": 0, "clip_on": False, "ms": 4 + 1.8 * level}
            axes.plot(x[chosen], y[chosen], MARKERS[place], **dots)
        axes.plot([], [], MARKERS[place], color=colour, label=f"{label} ({int(counts.sum())})")
    unit_axes(axes, percent="")
    axes.set(xlabel="score of the top-scoring box", ylabel="IoU with the best-matching object")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure
