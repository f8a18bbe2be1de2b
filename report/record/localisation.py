"""Localisation by the maps alone, in images that are known to show the target."""

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class MapMetrics(Model):
    """The metrics of one CAM method, over all images with a target."""

    name: str
    title: str
    box_accuracy: Estimate = Field(
        description="IoU of the largest component is at least strict_iou; threshold chosen on other images"
    )
    max_box_accuracy: Estimate = Field(
        description="MaxBoxAcc: the same at the best threshold for these images"
    )
    max_box_accuracy_v2: Estimate = Field(
        description="MaxBoxAccV2: any component's box, mean over iou_levels, each at its best threshold"
    )
    pointing: Estimate = Field(description="the peak lies on an object, or within the tolerance")
    energy: Estimate = Field(description="share of the map's sum inside the boxes")
    pixel_ap: Estimate | None = Field(description="PxAP; null if there are no masks")


class ClassifiedAndLocalised(Model):
    """The images with a target, by their classification and by the IoU of the top-scoring box."""

    n_both: int = Field(description="classified and localised")
    n_classified_only: int = Field(description="classified, not localised")
    n_localised_only: int = Field(description="localised, not classified")
    n_neither: int
    localised: Estimate = Field(description="CorLoc: share with a top-scoring box of IoU > strict_iou")
    classified: Estimate = Field(description="share of images with a probability above score_threshold")
    localised_given_label: Estimate = Field(description="share of localised images among the classified ones")
    both: Estimate = Field(description="share of images that are classified and localised")


class Localisation(Model):
    """The maps measured with the class given, separately from errors of the classifier."""

    n_images: int = Field(description="images with a target")
    n_masks: int = Field(description="of these, those with a mask to measure with")
    cam_threshold: Fraction = Field(description="chosen on other images, or given")
    n_thresholds: int = Field(description="number of thresholds from which the best is chosen")
    strict_iou: Fraction
    iou_levels: list[Fraction]
    tolerance: int = Field(description="of the pointing game, in pixels")
    score_threshold: Fraction = Field(description="an image above this probability counts as classified")
    rows: list[MapMetrics]
    classified_and_localised: ClassifiedAndLocalised
