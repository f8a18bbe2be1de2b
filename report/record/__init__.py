"""The record: everything that a report says, typed and versioned, a module for each part of it."""

from report.results.base import Estimate, Fraction, Interval, Model
from report.results.breakdowns import Breakdown, Breakdowns, GroupRow
from report.results.claims import Claim, ClaimChange, ClaimPart
from report.results.data import BackendInfo, ClassCount, CloserLookInfo, DataInfo, ModelInfo, SplitInfo
from report.results.detection import (
    ClassAp,
    Classification,
    Comparison,
    Curve,
    Detection,
    DetectionRow,
    Method,
    OperatingPoint,
    PublishedRow,
    ScoredDetection,
    SweepRow,
    ThresholdRow,
    Tuning,
)
from report.results.failures import FailureKind, Failures, GalleryBox, GalleryItem, KindCount
from report.results.figures import Figure
from report.results.localisation import LabelAndPlace, Localisation, MapMeasures
from report.results.maps import MapComparison, MapExample
from report.results.record import SCHEMA_VERSION, Results
from report.results.run import RunInfo, StageRun
from report.results.sanity import ErasingCurve, PermutedLabels, Sanity, SanityCheck, SanityDepth
from report.results.segmentation import MaskRow, SeedRow, Segmentation

__all__ = [
    "SCHEMA_VERSION",
    "BackendInfo",
    "Breakdown",
    "Breakdowns",
    "Claim",
    "ClaimChange",
    "ClaimPart",
    "ClassAp",
    "ClassCount",
    "Classification",
    "CloserLookInfo",
    "Comparison",
    "Curve",
    "DataInfo",
    "Detection",
    "DetectionRow",
    "ErasingCurve",
    "Estimate",
    "FailureKind",
    "Failures",
    "Figure",
    "Fraction",
    "GalleryBox",
    "GalleryItem",
    "GroupRow",
    "Interval",
    "KindCount",
    "LabelAndPlace",
    "Localisation",
    "MapComparison",
    "MapExample",
    "MapMeasures",
    "MaskRow",
    "Method",
    "Model",
    "ModelInfo",
    "OperatingPoint",
    "PermutedLabels",
    "PublishedRow",
    "Results",
    "RunInfo",
    "Sanity",
    "SanityCheck",
    "SanityDepth",
    "ScoredDetection",
    "SeedRow",
    "Segmentation",
    "SplitInfo",
    "StageRun",
    "SweepRow",
    "ThresholdRow",
    "Tuning",
]
