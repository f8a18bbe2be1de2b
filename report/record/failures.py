"""Why boxes failed, and what the gallery shows of it."""

from typing import Literal

from pydantic import Field

from dogcam.evaluate.breakdowns import Size
from dogcam.evaluate.errors.kinds import FailureType
from report.record.base import Estimate, Fraction, Model
from report.record.files import GalleryName


class GalleryBox(Model):
    """A box in a gallery picture."""

    xyxy: tuple[float, float, float, float]
    role: Literal["truth", "detection", "other"]
    label: str = Field(description="what is written at the box in a picture")
    score: float | None = Field(description="of a detection; null for the truth")


class GalleryItem(Model):
    """One picture of the gallery: a photograph, its map, its boxes, and the facts of its caption."""

    image_id: str
    kind: FailureType | Literal["success"]
    subject: Literal["detection", "ground_truth"] = Field(
        description="what the item is about: a box, or an object that no box found"
    )
    picked: Literal["worst", "median", "random", "best"]
    score: float | None
    iou: float | None
    image_probability: Fraction
    n_truths: int
    other_class: str | None = Field(description="the class of the object that a look-alike lies on")
    area: Fraction = Field(description="share of the image: of the object, or of a box that speaks of none")
    size: Size
    height: int
    width: int
    photo: GalleryName
    map: GalleryName | None
    composite: GalleryName
    boxes: list[GalleryBox]


class FailureTypeResult(Model):
    """How often a kind of failure occurs at the operating point, and what mending it would be worth."""

    kind: FailureType
    n_detections: int
    n_missed: int
    ap_gain: Estimate = Field(
        description="what AP at the operating point's IoU would gain if this kind alone were mended"
    )
    items: list[GalleryItem]


class Failures(Model):
    """What goes wrong at the operating point: every false positive and missed object has exactly one kind."""

    n_success: int
    kinds: list[FailureTypeResult]
    successes: list[GalleryItem]
    size_edges: tuple[Fraction, Fraction] = Field(
        description="from which share of the image on a size is medium, and large"
    )
    per_kind: int
    seed: int
