"""How good classifier and boxes are."""

from typing import Literal

from pydantic import Field

from report.config import Treatment
from report.record.base import Estimate, Fraction, Interval, Model


class SweepRow(Model):
    """One candidate of the tuning, with its AP on the tuning split."""

    cam_threshold: Fraction
    components: Literal["all", "largest"]
    ap: list[Fraction] = Field(description="one for each IoU threshold")
    mean_ap: Fraction


class Tuning(Model):
    """How the localisation rule of a method was chosen."""

    method: str
    cam_threshold: Fraction
    components: Literal["all", "largest"]
    chosen: bool = Field(description="by the sweep; false if the rule was given")
    rows: list[SweepRow]


class ClassAp(Model):
    """Classification AP of one class: ranking images by the class's probability."""

    name: str
    n_images: int
    ap: Estimate


class Classification(Model):
    """How well the classifier distinguishes images with and without the class."""

    target: Estimate = Field(description="AP of the target class")
    chance: Fraction = Field(description="AP of a random order: the share of images with the target")
    accuracy: Estimate = Field(description="share of images classified correctly at probability one half")
    mean_ap: Estimate | None = Field(description="mean over the classes that occur")
    classes: list[ClassAp]
    ap_variant: str = Field(description="variant of AP")


class DetectionRow(Model):
    """One method at one IoU threshold."""

    iou: Fraction
    ap: Fraction | None
    recall: Fraction | None
    n_ground_truth: int
    n_detections: int
    ap_interval: Interval
    recall_interval: Interval | None
    ap_lowest: Fraction | None = Field(description="smallest AP over all orders of equal scores")
    ap_highest: Fraction | None = Field(description="largest AP over all orders of equal scores")
    depends_on_ties: bool = Field(description="the order of equal scores can move AP by over a hundredth")
    ap_expected: Estimate = Field(
        description="mean AP over orders of equal scores, drawn at random; the interval is of the drawing"
    )
    ap_introsort: Fraction | None = Field(description="AP with the older order of equal scores")


class Curve(Model):
    """A precision-recall curve, simplified as a polyline; the lists have one length."""

    iou: Fraction
    recall: list[Fraction]
    precision: list[Fraction]
    score: list[float] = Field(description="the score threshold that leads to each point, descending")
    precision_low: list[Fraction | None] = Field(
        description="lower end of the pointwise bootstrap band of the interpolated precision at this recall"
    )
    precision_high: list[Fraction | None] = Field(description="upper end of the band")


class ScoredDetection(Model):
    """One detection of the main method and whether it is right at the operating point's IoU."""

    image_id: str
    score: float
    correct: bool


class MethodResult(Model):
    """A way to make boxes, and how good they are."""

    name: str
    title: str
    description: str
    kind: Literal["map", "baseline", "preset"]
    colour: int = Field(ge=0, description="index of the colour of its lines")
    dash: int = Field(ge=0, description="index of the dash of its lines")
    rows: list[DetectionRow]
    curves: list[Curve]


class ThresholdRow(Model):
    """The counts at one score threshold: correct boxes, false positives and missed objects."""

    score_threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


class Comparison(Model):
    """A paired difference of AP between two methods on the same images: a minus b."""

    a: str
    b: str
    iou: Fraction
    difference: Estimate
    verdict: Literal["better", "worse", "not distinguishable"]


class Detection(Model):
    """The detection experiment."""

    ap_variant: Literal["all_point"]
    ties: Literal["stable"]
    difficult: Treatment
    crowd: Treatment
    n_resamples: int
    bootstrap_seed: int
    iou_thresholds: list[Fraction]
    methods: list[MethodResult]
    comparisons: list[Comparison]
    points: list[ScoredDetection] = Field(
        description="every detection of the main method at the operating point's IoU, in rank order; "
        "the counts at every score threshold follow from them"
    )
    thresholds: list[ThresholdRow] = Field(
        description="counts at round thresholds and at the operating point, descending, at its IoU"
    )

    def method(self, name: str) -> MethodResult:
        """Return a method by name."""
        return next(method for method in self.methods if method.name == name)


class ChosenThreshold(ThresholdRow):
    """The operating point: the score threshold of all counts and of the gallery."""

    method: str
    iou: Fraction
    rule: Literal["best_f1", "precision", "default"] = Field(
        description="the threshold with the best F1, or that with the highest recall among those that reach "
        "the precision asked for, both on chosen_on; default: there is no tuning split"
    )
    asked_precision: Fraction | None = Field(description="what was asked for; null under another rule")
    chosen_on: str


class PublishedRow(Model):
    """A published figure for VOC2007: dogs in the first 500 test images."""

    method: str
    title: str
    ap: list[Fraction]
    recall: list[Fraction]
    ties: Literal["introsort", "stable"] | None
