"""Failure types and the gallery."""

from typing import Literal

from pydantic import Field

from dogcam.structures.categories import FailureType, Size
from report.record.base import Estimate, Fraction, Model
from report.record.files import GalleryName


class GalleryBox(Model):
    """A box in a gallery picture."""

    xyxy: tuple[float, float, float, float]
    role: Literal["truth", "missed", "detection", "other", "below"] = Field(
        description="below: the highest-scoring box of an image that has none at the operating point"
    )
    label: str = Field(description="what is written at the box in a picture")
    score: float | None = Field(description="of a detection; null for the truth")


class GalleryItem(Model):
    """One picture of the gallery: a photograph, its map, its boxes, and the facts of its caption."""

    image_id: str
    target: str = Field(description="the class of the box or the object")
    score_threshold: float = Field(description="of the operating point of the class")
    type: FailureType | Literal["success"]
    subject: Literal["detection", "ground_truth"] = Field(
        description="what the item is about: a box, or an object that no box found"
    )
    picked: Literal["worst", "median", "random", "best"]
    score: float | None
    iou: float | None
    image_probability: Fraction
    n_truths: int = Field(description="objects of the class in the image")
    n_merged: int | None = Field(
        description="of a merged box: objects of which it covers at least half; null for other types"
    )
    other_class: str | None = Field(
        description="of an other object: the class under the map's peak in the box, else of the object in it"
    )
    reason: Literal["empty_map", "below_threshold", "box_on_another", "box_elsewhere"] | None = Field(
        description="why no box is on a missed object; null for other types"
    )
    top_score: float | None = Field(description="the highest score of the image's boxes; null without a box")
    area: Fraction = Field(description="share of the image: of the object, or of a box without one")
    size: Size
    height: int
    width: int
    photo: GalleryName
    map: GalleryName | None
    composite: GalleryName
    boxes: list[GalleryBox]


class FailureTypeResult(Model):
    """How often a failure type occurs at the operating point, and what fixing it would gain."""

    type: FailureType
    n_detections: int
    n_missed: int
    ap_gain: Estimate = Field(
        description="gain of AP at the operating point's IoU if this type alone were fixed"
    )
    items: list[GalleryItem]


class Failures(Model):
    """What goes wrong at the operating point: every false positive and missed object has exactly one type."""

    n_success: int
    n_trivial: int = Field(
        description="correct boxes whose object a centre box or the whole image would have found too"
    )
    types: list[FailureTypeResult]
    successes: list[GalleryItem]
    size_edges: tuple[Fraction, Fraction] = Field(
        description="from which share of the image on a size is medium, and large"
    )
    per_type: int
    seed: int
