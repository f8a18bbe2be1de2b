"""How the kinds of map compare."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class MapExample(Model):
    """An image that shows two kinds of map side by side, and the rule that selected it."""

    image_id: str
    picked: Literal["most", "middle", "least"] = Field(description="which of the ranked images it is")
    rank: int = Field(description="1 for the image in which the two maps differ most in the mean")
    difference: Fraction = Field(description="mean over the cells, of the normalised maps")
    iou_a: Fraction = Field(description="of the best-scored box with the nearest target; 0 without a box")
    iou_b: Fraction


class MapComparison(Model):
    """Two kinds of map side by side, over all test images whose maps are not empty."""

    a: str
    b: str
    n_images: int
    n_empty_a: int
    n_empty_b: int
    largest_difference: Fraction | None = Field(description="of the normalised maps, in any cell")
    mean_difference: Estimate = Field(description="of the normalised maps, over cells and images")
    correlation: Estimate = Field(description="Pearson's, mean over the images in which neither map is flat")
    lowest_correlation: float | None
    mean_iou_a: Estimate = Field(description="best IoU of the image's best-scored box, over target images")
    mean_iou_b: Estimate
    factor_lowest: float | None = Field(description="smallest ratio of the peaks of a and b over images")
    factor_highest: float | None
    same: bool = Field(description="the largest difference is below the tolerance")
    tolerance: float
    n_ranked: int = Field(description="images with a target in which neither map is empty")
    examples: list[MapExample] = Field(description="the first, middle and last of them by difference")
