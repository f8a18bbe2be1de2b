"""The record: everything that a report says, typed and versioned, a module for each part of it."""

from report.record.base import Estimate, Fraction, Interval, Model
from report.record.breakdowns import Breakdown, Breakdowns, GroupRow
from report.record.claims import Claim, ClaimChange, ClaimPart
from report.record.data import BackendInfo, ClassCount, DataInfo, HighResolutionPassInfo, ModelInfo, SplitInfo
from report.record.detection import (
    ChosenThreshold,
    ClassAp,
    Classification,
    Comparison,
    Curve,
    Detection,
    DetectionRow,
    Method,
    PublishedRow,
    ScoredDetection,
    SweepRow,
    ThresholdRow,
    Tuning,
)
from report.record.failures import Failures, FailureTypeResult, GalleryBox, GalleryItem
from report.record.figures import Figure
from report.record.localisation import ClassifiedAndLocalised, Localisation, MapMetrics
from report.record.maps import MapComparison, MapExample
from report.record.record import SCHEMA_VERSION, Results
from report.record.run import RunInfo, StageRun
from report.record.sanity import InsertionDeletionCurve, PermutedLabels, Sanity, SanityCheck, SanityDepth
from report.record.segmentation import MaskRow, SeedRow, Segmentation

__all__ = [
    "SCHEMA_VERSION",
    "BackendInfo",
    "Breakdown",
    "Breakdowns",
    "ChosenThreshold",
    "Claim",
    "ClaimChange",
    "ClaimPart",
    "ClassAp",
    "ClassCount",
    "Classification",
    "ClassifiedAndLocalised",
    "Comparison",
    "Curve",
    "DataInfo",
    "Detection",
    "DetectionRow",
    "Estimate",
    "FailureTypeResult",
    "Failures",
    "Figure",
    "Fraction",
    "GalleryBox",
    "GalleryItem",
    "GroupRow",
    "HighResolutionPassInfo",
    "InsertionDeletionCurve",
    "Interval",
    "Localisation",
    "MapComparison",
    "MapExample",
    "MapMetrics",
    "MaskRow",
    "Method",
    "Model",
    "ModelInfo",
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
