"""How good boxes are: matching, precision and recall, average precision, operating points, intervals."""

from dogcam.evaluate.metrics.bootstrap import (
    Resampler,
    counts_per_image,
    ground_truth_per_image,
    mean_over_classes,
)
from dogcam.evaluate.metrics.estimates import (
    Estimate,
    Interval,
    defined,
    estimate,
    percentile_interval,
    undefined,
)
from dogcam.evaluate.metrics.localisation import located
from dogcam.evaluate.metrics.matching import (
    DIFFICULT,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Difficult,
    Matches,
    match,
)
from dogcam.evaluate.metrics.operating_point import (
    OperatingPoint,
    best_f1_point,
    best_precision,
    operating_point,
    precision_at_least,
)
from dogcam.evaluate.metrics.ordering import TIES, Ties, rank
from dogcam.evaluate.metrics.precision_recall import (
    VARIANTS,
    PrecisionRecall,
    Variant,
    average_precision,
    precision_recall,
)
from dogcam.evaluate.metrics.proportion import Proportion
from dogcam.evaluate.metrics.tied_scores import TieRange, ap_over_ties

__all__ = [
    "DIFFICULT",
    "FALSE_POSITIVE",
    "IGNORED",
    "TIES",
    "TRUE_POSITIVE",
    "VARIANTS",
    "Difficult",
    "Estimate",
    "Interval",
    "Matches",
    "OperatingPoint",
    "PrecisionRecall",
    "Proportion",
    "Resampler",
    "TieRange",
    "Ties",
    "Variant",
    "ap_over_ties",
    "average_precision",
    "best_f1_point",
    "best_precision",
    "counts_per_image",
    "defined",
    "estimate",
    "ground_truth_per_image",
    "located",
    "match",
    "mean_over_classes",
    "operating_point",
    "percentile_interval",
    "precision_at_least",
    "precision_recall",
    "rank",
    "undefined",
]
