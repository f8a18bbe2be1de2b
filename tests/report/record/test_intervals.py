"""Every number of the record that is measured on a sample of images says how sure it is."""

import typing

from pydantic import BaseModel

from report.config import RunConfig
from report.pipeline.shared.shares import TOO_FEW
from report.record import Results
from tests.support.runs import record_of

WITHOUT = {
    "settings and choices": {
        "Tuning.cam_threshold", "SweepRow.cam_threshold", "SweepRow.ap", "SweepRow.mean_ap", "Comparison.iou",
        "Detection.iou_thresholds", "DetectionRow.iou", "Curve.iou", "ThresholdRow.score_threshold",
        "ChosenThreshold.score_threshold", "ChosenThreshold.iou", "ChosenThreshold.asked_precision",
        "Localisation.cam_threshold", "Localisation.strict_iou", "Localisation.iou_levels",
        "Localisation.score_threshold", "Failures.size_edges", "GroupRow.low", "GroupRow.high",
        "MapComparison.tolerance", "Sanity.fractions", "SanityCheck.limit", "Segmentation.score_threshold",
        "Segmentation.cam_threshold", "Segmentation.background_threshold", "Segmentation.box_cam_threshold",
        "SeedRow.cam_threshold", "SeedRow.background_threshold", "SeedRow.iou",
        "HighResolutionPassInfo.share",
        "FurtherMeasurements.fine_iou_thresholds", "FurtherMeasurements.levels",
        "GradientCheck.tolerance", "OverlapBin.low", "OverlapBin.high", "ScoreBin.low", "ScoreBin.high",
        "ScoreMeaning.high_score", "ClassResult.cam_threshold", "ClassRow.iou", "Classes.iou",
        "Classes.iou_range", "Classes.size_edges", "ConfusionTable.iou", "MeanRow.iou", "Presets.iou",
        "Presets.high_score", "PresetMean.iou", "StepRow.iou", "ClassFailures.score_threshold",
        "GalleryItem.score_threshold",
    },
    "facts about one image or one box": {
        "ScoredDetection.score", "GalleryItem.score", "GalleryItem.iou", "GalleryItem.image_probability",
        "GalleryItem.area", "GalleryBox.xyxy", "GalleryBox.score",
        "Case.area", "Case.box", "Case.iou", "Case.matched",
        "Case.score", "GalleryItem.top_score", "GridCell.box", "GridCell.iou", "GridRow.truths",
        "MaskExample.iou",
    },
    "counted on these very images, and said of no others": {
        "SplitInfo.median_target_area", "Classification.chance", "SanityDepth.share_of_parameters",
        "Decision.majority_accuracy", "Randomised.share_of_parameters", "ScoreMeaning.correlation",
        "MeasuredPreset.correlation",
    },
    "extremes of these images, of which no resample can tell more": {
        "MapComparison.largest_difference", "MapComparison.lowest_correlation",
        "MapComparison.factor_lowest", "MapComparison.factor_highest", "GradientCheck.largest_difference",
    },
    "the row's AP, which has its interval, under other orders of equal scores": {
        "DetectionRow.ap_lowest", "DetectionRow.ap_highest", "DetectionRow.ap_introsort",
    },
    "points of a curve, whose band or area has its interval": {
        "Curve.recall", "Curve.precision", "Curve.score", "Curve.precision_low", "Curve.precision_high",
        "ApByIou.ap",
        "InsertionDeletionCurve.deletion", "InsertionDeletionCurve.insertion",
    },
    "other people's figures": {"PublishedRow.ap", "PublishedRow.recall"},
    "seconds and rates": {
        "StageRun.seconds", "MeasuredPreset.seconds", "AblationStep.seconds", "BackendRate.images_per_second",
    },
}  # fmt: skip
"""The numbers that have no interval, by the reason why they need none."""


def models_of(model: type[BaseModel], found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The parts of the record that a model is made of, itself included."""
    if model not in found:
        found.add(model)
        for field in model.model_fields.values():
            for part in parts_of(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    models_of(part, found)
    return found


def parts_of(annotation):
    yield annotation
    for part in typing.get_args(annotation):
        yield from parts_of(part)


def bare_numbers() -> set[str]:
    """The fields that hold a number and neither are an estimate nor have an interval beside them."""
    return {
        f"{model.__name__}.{name}"
        for model in models_of(Results, set()) - {RunConfig}
        for name, field in model.model_fields.items()
        if float in parts_of(field.annotation) and f"{name}_interval" not in model.model_fields
    }


def test_a_number_without_an_interval_has_a_reason():
    reasoned = set().union(*WITHOUT.values())
    assert sum(map(len, WITHOUT.values())) == len(reasoned), "a field has two reasons"
    assert bare_numbers() == reasoned


def estimates_in(document, path="", beside=None):
    """Every estimate of a record as JSON gives it, with its place and what it stands beside."""
    if isinstance(document, dict):
        if document.keys() == {"value", "interval"}:
            yield path, document, beside
        for name, value in document.items():
            yield from estimates_in(value, f"{path}.{name}", document)
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from estimates_in(value, f"{path}.{place}", beside)


def counted(beside: dict) -> int:
    """How many objects or boxes the estimates of a row are shares of."""
    if "true_positives" in beside:
        return beside["true_positives"] + beside["false_positives"]
    return beside.get("n_objects", beside.get("n_boxes", TOO_FEW))


def test_an_estimate_that_is_defined_has_its_interval(finished):
    estimates = list(estimates_in(record_of(finished)))
    assert len(estimates) > 100
    for path, estimate, beside in estimates:
        if estimate["value"] is not None:
            interval = estimate["interval"]
            if interval is None or interval["low"] is None:
                assert counted(beside) < TOO_FEW, path
            else:
                assert interval["low"] <= interval["high"], path
