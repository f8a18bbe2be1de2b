"""What was looked at, and by which classifier."""

from typing import Literal

from pydantic import Field

from report.results.base import Fraction, Model


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
