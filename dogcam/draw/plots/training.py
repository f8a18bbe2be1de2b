"""Training curves: loss and mean average precision by epoch."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dogcam.draw.plots.frame import Series, draw_series, drawing, side_panels


@drawing
def training_figure(loss: Series, mean_ap: Series, *, split: str) -> Figure:
    """Draw the loss and the mean average precision of each epoch, a panel each.

    Args:
        loss: x is the epoch, y the mean training loss.
        mean_ap: x is the epoch, y mAP.
        split: what mAP was measured on.
    """
    figure, panels = side_panels(2, height=3.0, same_height=False)
    labels = ("training loss", f"mAP on {split}")
    for axes, series, label in zip(panels, (loss, mean_ap), labels, strict=True):
        draw_series(axes, series, 0, marker="o", markersize=3)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure
