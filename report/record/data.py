"""The data and the classifier."""

from typing import Literal

from pydantic import Field

from dogcam.structures.backends import BackendName
from report.config import MapSource
from report.record.base import Fraction, Model


class ClassCount(Model):
    """How often a class occurs in the split."""

    name: str
    n_images: int
    n_objects: int


class SplitInfo(Model):
    """A split of a data set, counted."""

    name: str
    n_images: int
    n_listed: int = Field(description="images in the split's list; more than n_images if limited")
    n_target_images: int
    n_target_objects: int
    n_target_difficult: int
    n_target_ignored: int = Field(
        0, description="objects of the target that the settings ignore, of all n_target_objects"
    )
    n_images_with_several: int
    n_clipped_boxes: int = Field(0, description="boxes that left their image and were clipped to it")
    n_skipped_boxes: int = Field(0, description="boxes that were empty or left their image and were left out")
    n_skipped_images: int = Field(0, description="images with a fault that were left out")
    manifest: str
    classes: list[ClassCount]
    median_target_area: Fraction | None = Field(description="box area over image area, median over targets")
    learned_from: bool = Field(
        description="the model card states a training on these images, alone or with the rest "
        "of their split; false if it states nothing or names other images, which may include some of these"
    )


class DataInfo(Model):
    """The data that the report is about."""

    name: str
    kind: Literal["sample", "voc2007", "folder"]
    target: str
    reported: SplitInfo = Field(description="the split that is reported on")
    tuning: SplitInfo | None = Field(
        description="the split on which thresholds were chosen; null if they were given"
    )
    sample_seed: int | None = None


class BackendRate(Model):
    """The rate of a backend in the measurement that chose the fastest."""

    name: BackendName
    images_per_second: float


class BackendInfo(Model):
    """What computed the maps of the target layer."""

    asked: MapSource
    used: MapSource
    reason: str | None = Field(None, description="why another than the one that was asked for")
    n_calibration: int | None = Field(None, description="images that 8 bits were fitted to")
    versions: dict[str, str] = Field(default_factory=dict, description="of the libraries other than torch")
    rates: list[BackendRate] = Field(
        default_factory=list, description="of the exact backends, of which `auto` took the fastest"
    )
    measured_batch: int | None = Field(None, description="images in a batch of the measurement")


class HighResolutionPassInfo(Model):
    """The high-resolution pass, whose logits are averaged with those of the first pass."""

    height: int
    width: int
    share: Fraction = Field(description="share of spatial positions, by descending logit, that are averaged")


class ModelInfo(Model):
    """The classifier."""

    name: str
    source: str
    classes: list[str]
    target_layer: str
    earlier_layer: str
    input_height: int
    input_width: int
    high_resolution_pass: HighResolutionPassInfo | None = Field(
        description="the second forward pass on a larger copy; null without one"
    )
    map_height: int
    map_width: int
    earlier_map_height: int
    earlier_map_width: int
    n_parameters: int
    weights: str = Field(description="SHA-256 of the weights")
    backend: BackendInfo
