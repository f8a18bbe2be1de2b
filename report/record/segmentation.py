"""How good the masks are that grow from the maps."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class SeedRow(Model):
    """One candidate for the seeds' thresholds with the IoU of the masks that grow from them."""

    cam_threshold: Fraction
    background_threshold: Fraction
    iou: Fraction


class MaskRow(Model):
    """One way to make masks, and their IoU with the annotated ones: sums of pixels over all images."""

    name: Literal["grown", "thresholded", "boxes", "full_image"]
    title: str
    iou: Estimate


class Segmentation(Model):
    """Pseudo-masks grown from the maps, measured against masks that nothing was trained on."""

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
