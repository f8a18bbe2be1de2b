"""The record of a run on photographs without annotations: boxes, maps, pictures, and no measure."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from report.config import RunConfig
from report.record.base import Fraction, Model, Sealed
from report.record.claims import Claim, ClaimChange
from report.record.files import FileName, GalleryName, Sha256
from report.record.run import RunInfo

SCHEMA_VERSION: Literal[2] = 2


class FoundBox(Model):
    """A box of a picture: its class, xyxy in pixels of the image, half-open, and its score."""

    name: str
    xyxy: tuple[float, float, float, float]
    score: float


class PhotographItem(Model):
    """A picture of the gallery: the map of one class, and the boxes of all classes."""

    image_id: str
    name: str = Field(description="the class whose map is drawn")
    probability: Fraction
    boxes: list[FoundBox]
    composite: GalleryName


class FoundClass(Model):
    """How often a class was found."""

    name: str
    n_images: int = Field(description="images with a box")
    n_boxes: int
    highest: Fraction | None = Field(description="highest score of a box; null without one")


class Photographs(Sealed):
    """The record of a run without ground truth."""

    schema_version: Literal[2] = SCHEMA_VERSION
    kind: Literal["photographs"] = "photographs"
    title: str
    run: RunInfo
    config: RunConfig
    data: str
    split: str
    manifest: str
    n_images: int
    n_skipped_images: int
    n_empty: int = Field(description="images without a box")
    n_boxes: int
    model: str
    source: str
    weights: str = Field(description="SHA-256 of the weights")
    target_layer: str
    cam_threshold: Fraction
    score_threshold: Fraction
    classes: list[FoundClass]
    items: list[PhotographItem]
    most_pictures: int
    files: dict[FileName, Sha256]
    claims: list[Claim] = Field(default_factory=list, max_length=0)
    claim_changes: list[ClaimChange] = Field(default_factory=list, max_length=0)

    @model_validator(mode="after")
    def _lists_its_files(self) -> "Photographs":
        missing = sorted({item.composite for item in self.items} - self.files.keys())
        if missing:
            raise ValueError(f"files has no SHA-256 of {missing[0]}")
        return self

    def pictures_named(self) -> Iterator[str]:
        """Yield the name of every picture."""
        yield from (item.composite for item in self.items)
