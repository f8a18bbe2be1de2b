"""The record: everything that a report says, typed and versioned; `store.py` reads and writes it."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from report.config import RunConfig

SCHEMA_VERSION = 1

Fraction = float
"""A number from 0 to 1; the record never holds percent."""

FailureKind = Literal["missed", "false_alarm", "too_small", "too_large", "merged", "duplicate", "misplaced"]


class Model(BaseModel):
    """A frozen part of the record in which an unknown or misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Model):
    """A bootstrap interval over images."""

    low: float | None
    high: float | None
    level: Fraction


class Estimate(Model):
    """A number measured on a sample of images, with its interval; null where it is not defined."""

    value: float | None
    interval: Interval | None = None


class StageRun(Model):
    """What the runner did about one stage."""

    name: str
    title: str
    status: Literal["ran", "reused"]
    reason: str
    key: str
    seconds: float


class RunInfo(Model):
    """What was run, where and when."""

    dogcam_version: str
    commit: str | None
    modified: bool = Field(description="the checkout had changes that are in no commit")
    command: str
    finished: str | None = Field(description="UTC time, ISO 8601; from SOURCE_DATE_EPOCH where that is set")
    versions: dict[str, str]
    platform: str
    device: str
    n_threads: int
    stages: list[StageRun] = []


class ClassCount(Model):
    """How often a class occurs in the split."""

    name: str
    n_images: int
    n_objects: int


class SplitInfo(Model):
    """A split of a data set, counted."""

    name: str
    n_images: int
    n_target_images: int
    n_target_objects: int
    n_target_difficult: int
    n_images_with_several: int
    manifest: str
    classes: list[ClassCount]
    median_target_area: Fraction | None = Field(description="box area over image area, median over targets")


class DataInfo(Model):
    """The data that the report is about."""

    name: str
    kind: Literal["sample", "voc2007", "folder"]
    target: str
    test: SplitInfo
    tuning: SplitInfo | None = Field(description="where thresholds were chosen; null where they were given")
    sample_seed: int | None = None


class ModelInfo(Model):
    """The classifier."""

    name: str
    source: str
    classes: list[str]
    target_layer: str
    earlier_layer: str
    input_height: int
    input_width: int
    map_height: int
    map_width: int
    earlier_map_height: int
    earlier_map_width: int
    n_parameters: int
    weights: str = Field(description="SHA-256 of the weights")


class SweepRow(Model):
    """One candidate of the tuning with what it scored on the tuning split."""

    cam_threshold: Fraction
    components: Literal["all", "largest"]
    ap: list[Fraction] = Field(description="one for each IoU threshold")
    mean_ap: Fraction


class Tuning(Model):
    """How the localisation rule of a method was chosen."""

    method: str
    cam_threshold: Fraction
    components: Literal["all", "largest"]
    chosen: bool = Field(description="by the sweep; false where the rule was given")
    rows: list[SweepRow]


class ClassAp(Model):
    """Classification AP of one class: ranking images by the class's probability."""

    name: str
    n_images: int
    ap: Estimate


class Classification(Model):
    """How well the classifier tells images with the class from images without."""

    target: Estimate = Field(description="AP of the target class")
    chance: Fraction = Field(description="AP of a random order: the share of images with the target")
    accuracy: Estimate = Field(description="share of images on the right side of probability one half")
    mean_ap: Estimate | None = Field(description="mean over the classes that occur")
    classes: list[ClassAp]


class DetectionRow(Model):
    """One method at one IoU threshold."""

    iou: Fraction
    ap: Fraction | None
    recall: Fraction | None
    n_ground_truth: int
    n_detections: int
    ap_interval: Interval
    recall_interval: Interval
    ap_lowest: Fraction | None = Field(description="smallest AP over all orders of equal scores")
    ap_highest: Fraction | None = Field(description="largest AP over all orders of equal scores")
    depends_on_ties: bool = Field(description="the order of equal scores can move AP by over a hundredth")
    ap_expected: Fraction | None = Field(description="mean AP over random orders of equal scores")
    ap_introsort: Fraction | None = Field(description="AP with the older order of equal scores")


class Curve(Model):
    """A precision-recall curve, thinned to the points where it bends."""

    iou: Fraction
    recall: list[Fraction]
    precision: list[Fraction]


class Method(Model):
    """A way to make boxes, and how good they are."""

    name: str
    title: str
    description: str
    kind: Literal["map", "baseline"]
    rows: list[DetectionRow]
    curves: list[Curve]


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
    difficult: Literal["counted"]
    n_resamples: int
    bootstrap_seed: int
    iou_thresholds: list[Fraction]
    methods: list[Method]
    comparisons: list[Comparison]

    def method(self, name: str) -> Method:
        """Return a method by name."""
        return next(method for method in self.methods if method.name == name)


class OperatingPoint(Model):
    """One score threshold and what comes of it; counts and gallery are all taken here."""

    method: str
    iou: Fraction
    score_threshold: float
    chosen_on: str = Field(description="the split on which the threshold has the best F1")
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


class GalleryBox(Model):
    """A box in a gallery picture."""

    xyxy: tuple[float, float, float, float]
    role: Literal["truth", "detection", "other"]
    label: str


class GalleryItem(Model):
    """One picture of the gallery: a photograph, its map, its boxes, and the facts of its caption."""

    image_id: str
    kind: FailureKind | Literal["success"]
    picked: Literal["worst", "median", "random", "best"]
    score: float | None
    iou: float | None
    image_probability: Fraction
    n_truths: int
    other_class: str | None = Field(description="an annotated class under a false alarm")
    height: int
    width: int
    photo: str
    map: str | None
    composite: str
    boxes: list[GalleryBox]


class KindCount(Model):
    """How often a kind of failure occurs at the operating point, and what mending it would be worth."""

    kind: FailureKind
    n_detections: int
    n_missed: int
    items: list[GalleryItem]


class Failures(Model):
    """What goes wrong at the operating point: every false positive and missed object has exactly one kind."""

    n_success: int
    kinds: list[KindCount]
    successes: list[GalleryItem]
    per_kind: int
    seed: int


class MapComparison(Model):
    """Two kinds of map side by side, over all test images whose maps are not empty."""

    a: str
    b: str
    n_images: int
    n_empty_a: int
    n_empty_b: int
    largest_difference: Fraction | None = Field(description="of the normalised maps, in any cell")
    mean_difference: Fraction | None
    correlation: float | None = Field(description="Pearson's, median over images")
    lowest_correlation: float | None
    mean_iou_a: Estimate = Field(description="best IoU of the image's best-scored box, over target images")
    mean_iou_b: Estimate
    factor_lowest: float | None = Field(description="smallest ratio of the peaks of a and b over images")
    factor_highest: float | None
    same: bool = Field(description="the largest difference is below the tolerance")
    tolerance: float
    example_id: str | None = Field(description="the image with a target in which the two differ most")


class PublishedRow(Model):
    """A published figure for VOC2007: dogs in the first 500 test images."""

    method: str
    title: str
    ap: list[Fraction]
    recall: list[Fraction]
    ties: Literal["introsort", "stable"] | None


class Figure(Model):
    """A drawing or picture of the report, with its text alternative."""

    name: str
    path: str = Field(description="in the run's folder; an SVG that follows the page's colours, or a WebP")
    standalone: str = Field(description="the same for the Markdown twin: on white, with fixed colours")
    alt: str


class SeedRow(Model):
    """One candidate for the seeds' thresholds with the IoU of the masks that grow from them."""

    cam_threshold: Fraction
    background_threshold: Fraction
    iou: Fraction


class MaskRow(Model):
    """One way to make masks, and their IoU with the annotated ones: sums of pixels over all images."""

    name: Literal["grown", "cut", "boxes", "full_image"]
    title: str
    iou: Estimate


class Segmentation(Model):
    """Pseudo-masks grown from the maps, measured against masks that nothing was trained on."""

    score_threshold: Fraction = Field(description="probability from which on an image gets a mask at all")
    cam_threshold: Fraction
    background_threshold: Fraction
    cut_threshold: Fraction = Field(description="of the maps that are cut and not grown")
    chosen_on: str | None
    n_tuning_images: int
    n_images: int
    n_target_images: int
    rows: list[MaskRow]
    gain: Estimate = Field(description="IoU of the grown masks minus that of the cut maps, paired")
    sweep: list[SeedRow]


class Results(Model):
    """The record of one run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    title: str
    run: RunInfo
    config: RunConfig
    data: DataInfo
    model: ModelInfo
    tuning: list[Tuning]
    classification: Classification
    detection: Detection
    operating_point: OperatingPoint
    failures: Failures
    map_comparisons: list[MapComparison]
    segmentation: Segmentation | None
    published: list[PublishedRow]
    figures: list[Figure]

    def to_json(self) -> str:
        """Return the record as JSON text, the same text for equal records."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
