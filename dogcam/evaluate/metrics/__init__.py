"""How good boxes are: matching, precision and recall, average precision, operating points, intervals."""

from dogcam.evaluate.metrics.bootstrap import (
    Interval,
    bootstrap_ap,
    bootstrap_ap_difference,
    bootstrap_f1,
    bootstrap_ratio,
    bootstrap_recall,
    ground_truth_per_image,
    image_draws,
    percentile_interval,
    precision_band,
    resampled_ap,
    resampled_ratio,
    resampled_sums,
)
from dogcam.evaluate.metrics.localisation import bootstrap_corloc, corloc
from dogcam.evaluate.metrics.matching import (
    DIFFICULT,
    FALSE_POSITIVE,
    IGNORED,
    IOU_THRESHOLDS,
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
    merge_curves,
    precision_recall,
)
from dogcam.evaluate.metrics.proportion import Proportion
from dogcam.evaluate.metrics.ranking import resampled_ranking_ap
from dogcam.evaluate.metrics.tied_scores import TieRange, ap_over_ties

__all__ = [
    "DIFFICULT",
    "FALSE_POSITIVE",
    "IGNORED",
    "IOU_THRESHOLDS",
    "TIES",
    "TRUE_POSITIVE",
    "VARIANTS",
    "Difficult",
    "Interval",
    "Matches",
    "OperatingPoint",
    "PrecisionRecall",
    "Proportion",
    "TieRange",
    "Ties",
    "Variant",
    "ap_over_ties",
    "average_precision",
    "best_f1_point",
    "best_precision",
    "bootstrap_ap",
    "bootstrap_ap_difference",
    "bootstrap_corloc",
    "bootstrap_f1",
    "bootstrap_ratio",
    "bootstrap_recall",
    "corloc",
    "ground_truth_per_image",
    "image_draws",
    "match",
    "merge_curves",
    "operating_point",
    "percentile_interval",
    "precision_at_least",
    "precision_band",
    "precision_recall",
    "rank",
    "resampled_ap",
    "resampled_ranking_ap",
    "resampled_ratio",
    "resampled_sums",
]
