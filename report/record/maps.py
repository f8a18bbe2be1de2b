"""How two map methods compare."""

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class MapComparison(Model):
    """Two map methods, over the reported images in which neither map is empty."""

    a: str
    b: str
    n_images: int
    n_empty_a: int
    n_empty_b: int
    largest_difference: Fraction | None = Field(description="of the normalised maps, at any position")
    mean_difference: Estimate = Field(description="of the normalised maps, over positions and images")
    correlation: Estimate = Field(description="Pearson's, mean over the images in which neither map is flat")
    lowest_correlation: float | None
    mean_iou_a: Estimate = Field(description="mean IoU of the image's top-scoring box, over target images")
    mean_iou_b: Estimate
    factor_lowest: float | None = Field(description="smallest ratio of the peaks of a and b over images")
    factor_highest: float | None
    same: bool = Field(description="the largest difference is below the tolerance")
    tolerance: float
