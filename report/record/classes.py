"""Several classes: how well each is ranked, boxed and distinguished from the others."""

from typing import Literal

from pydantic import Field

from dogcam.structures.categories import FailureType
from report.record.base import Estimate, Fraction, Model
from report.record.detection import Curve, ThresholdRow
from report.record.evidence import Case
from report.record.failures import GalleryItem


class ClassRow(Model):
    """One class at one IoU threshold."""

    iou: Fraction
    ap: Estimate
    recall: Estimate


class SizeRow(Model):
    """AP of the objects of one size, at the IoU of the operating points."""

    size: Literal["small", "medium", "large"]
    n_objects: int
    ap: Estimate


class ClassResult(Model):
    """One class: counts, localisation rule, AP, recall, CorLoc, and operating point."""

    name: str
    n_images: int
    n_objects: int = Field(description="that count")
    n_ignored: int = Field(description="objects that are difficult or crowds, and ignored")
    n_detections: int
    n_pooled: int | None = Field(description="outputs of the network that the class pools; null for none")
    cam_threshold: Fraction
    components: Literal["all", "largest"]
    chosen: bool = Field(description="the rule was chosen on the tuning split, on images of this class")
    rows: list[ClassRow]
    ap_of_range: Estimate = Field(description="mean AP over `iou_range`")
    corloc: Estimate = Field(description="at IoU 0.5")
    sizes: list[SizeRow]
    image_ap: Estimate = Field(description="AP of ranking the images by the probability of the class")
    point: ThresholdRow
    point_chosen: bool = Field(description="the score threshold was chosen on the tuning split")
    curve: Curve = Field(description="at the IoU of the operating points")


class MeanRow(Model):
    """The mean over the classes at one IoU threshold."""

    iou: Fraction
    ap: Estimate


class ConfusionTable(Model):
    """Boxes at the operating points by their class and the class of the object that they are on."""

    iou: Fraction
    detected: list[str] = Field(description="classes of the boxes: the rows")
    annotated: list[str] = Field(description="classes of the objects: the columns")
    counts: list[list[int]] = Field(description="one column more than `annotated`: boxes on no object")
    missed: list[int] = Field(description="objects of each class that no box of any class is on")


class UnknownClass(Model):
    """An annotated class that the classifier does not know, so that nothing is measured for it."""

    name: str
    n_images: int
    n_objects: int


class ClassTypeCount(Model):
    """How often a failure type occurs at the operating point of a class."""

    type: FailureType
    n_detections: int
    n_missed: int


class ClassFailures(Model):
    """The failures of one class at its own operating point."""

    name: str
    score_threshold: float
    n_success: int
    types: list[ClassTypeCount]
    items: list[GalleryItem]
    cases: list[Case] = Field(description="first and last are 0: there is one threshold")


class Classes(Model):
    """The results of several classes."""

    asked_all: bool = Field(description="every annotated class that the classifier knows was asked for")
    n_classes: int
    classes: list[ClassResult]
    mean_ap: list[MeanRow]
    mean_ap_of_range: Estimate
    iou_range: list[Fraction]
    iou: Fraction = Field(description="of the operating points, the curves and AP by size")
    size_edges: tuple[Fraction, Fraction] = Field(
        description="shares of the image from which an object is medium or large"
    )
    confusion: ConfusionTable
    failures: list[ClassFailures] = Field(description="of all classes but the main one")
    unknown: list[UnknownClass]
    n_pooled: int = Field(description="classes that pool several outputs of the network")
    n_absent: int
    absent: list[str] = Field(description="classes that the classifier knows and nothing is annotated for")
