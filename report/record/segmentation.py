"""The pseudo-masks and their IoU."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class SeedRow(Model):
    """One pair of thresholds of the seeds, and the IoU of its pseudo-masks."""

    cam_threshold: Fraction
    background_threshold: Fraction
    iou: Fraction


class MaskRow(Model):
    """One way to make masks, and their IoU with the annotated ones: sums of pixels over all images."""

    name: Literal["grown", "thresholded", "boxes", "full_image"]
    title: str
    iou: Estimate


class Segmentation(Model):
    """Pseudo-masks grown from the maps, and their IoU with annotated masks, never used for training."""

    score_threshold: Fraction = Field(description="least probability of an image with a mask")
    cam_threshold: Fraction
    background_threshold: Fraction
    box_cam_threshold: Fraction = Field(description="of the boxes, and of the thresholded maps")
    chosen_on: str | None
    n_tuning_images: int
    n_images: int
    n_target_images: int
    rows: list[MaskRow]
    gain: Estimate = Field(description="IoU of the grown masks minus that of the thresholded maps, paired")
    sweep: list[SeedRow]
