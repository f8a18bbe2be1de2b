"""How the kinds of map compare."""

from pydantic import Field

from report.results.base import Estimate, Fraction, Model


class MapComparison(Model):
    """Two kinds of map side by side, over all test images whose maps are not empty."""

    a: str
    b: str
    n_images: int
    n_empty_a: int
    n_empty_b: int
    largest_difference: Fraction | None = Field(description="of the normalised maps, in any cell")
    mean_difference: Fraction | None
    correlation: float | None = Field(description="Pearson's, median over images")
    lowest_correlation: float | None
    mean_iou_a: Estimate = Field(description="best IoU of the image's best-scored box, over target images")
    mean_iou_b: Estimate
    factor_lowest: float | None = Field(description="smallest ratio of the peaks of a and b over images")
    factor_highest: float | None
    same: bool = Field(description="the largest difference is below the tolerance")
    tolerance: float
    example_id: str | None = Field(description="the image with a target in which the two differ most")
