"""The drawings of a report: every function takes plain numbers and returns a matplotlib Figure.

Panels stand side by side for a wide page, or with `stacked=True` below one another for a telephone. A method
keeps its colour through all figures as long as the methods come in the same order. `dogcam.draw.svg.to_svg`
turns a figure into text.
"""

from dogcam.draw.plots.counts import CountRow, counts_figure
from dogcam.draw.plots.curves import (
    OperatingMark,
    PrecisionRecallPanel,
    ScoreMark,
    precision_recall_figure,
    sweep_figure,
)
from dogcam.draw.plots.distributions import agreement_figure, score_figure
from dogcam.draw.plots.estimates import EstimateGroup, EstimateRow, class_figure, estimates_figure
from dogcam.draw.plots.frame import Series
from dogcam.draw.plots.sanity import EstimateSeries, insertion_deletion_figure, similarity_figure
from dogcam.draw.plots.training import training_figure

__all__ = [
    "CountRow",
    "EstimateGroup",
    "EstimateRow",
    "EstimateSeries",
    "OperatingMark",
    "PrecisionRecallPanel",
    "ScoreMark",
    "Series",
    "agreement_figure",
    "class_figure",
    "counts_figure",
    "estimates_figure",
    "insertion_deletion_figure",
    "precision_recall_figure",
    "score_figure",
    "similarity_figure",
    "sweep_figure",
    "training_figure",
]
