"""Plots: each function takes plain numbers and returns a matplotlib Figure.

A series with a `LineStyle` has the same colour and dash in every figure. `dogcam.draw.svg.to_svg` turns a
figure into text.
"""

from dogcam.draw.plots.classes import SmallPanel, confusion_figure, small_multiples_figure
from dogcam.draw.plots.counts import CountRow, counts_figure
from dogcam.draw.plots.curves import (
    OperatingMark,
    PrecisionRecallPanel,
    ScoreMark,
    SweepPanel,
    lines_figure,
    precision_recall_figure,
    sweep_figure,
)
from dogcam.draw.plots.distributions import (
    ShareRow,
    agreement_figure,
    bins_figure,
    reliability_figure,
    score_figure,
    score_overlap_figure,
)
from dogcam.draw.plots.estimates import (
    EstimateGroup,
    EstimateRow,
    EstimateSection,
    class_figure,
    estimates_figure,
    sections_figure,
)
from dogcam.draw.plots.frame import LineStyle, Series
from dogcam.draw.plots.sanity import EstimateSeries, insertion_deletion_figure, similarity_figure
from dogcam.draw.plots.training import training_figure

__all__ = [
    "CountRow",
    "EstimateGroup",
    "EstimateRow",
    "EstimateSection",
    "EstimateSeries",
    "LineStyle",
    "OperatingMark",
    "PrecisionRecallPanel",
    "ScoreMark",
    "Series",
    "ShareRow",
    "SmallPanel",
    "SweepPanel",
    "agreement_figure",
    "bins_figure",
    "class_figure",
    "confusion_figure",
    "counts_figure",
    "estimates_figure",
    "insertion_deletion_figure",
    "lines_figure",
    "precision_recall_figure",
    "reliability_figure",
    "score_figure",
    "score_overlap_figure",
    "sections_figure",
    "similarity_figure",
    "small_multiples_figure",
    "sweep_figure",
    "training_figure",
]
