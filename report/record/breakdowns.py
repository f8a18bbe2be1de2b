"""Which objects are found, and which are not: recall by what the objects are like."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Model


class GroupRow(Model):
    """One group of objects at the operating point."""

    name: str
    low: float | None = Field(description="lower end of the interval; null if there is none")
    high: float | None = Field(description="upper end, not included; null if there is none")
    n_objects: int
    n_images: int
    n_found: int
    few: bool = Field(description="fewer objects than few_below: the row alone is not conclusive")
    recall: Estimate
    overlap: Estimate = Field(description="mean IoU of each object with the kept box that fits it best")


class Breakdown(Model):
    """The objects grouped by one property."""

    by: Literal["size", "aspect", "n_instances", "edge", "other_class"]
    rows: list[GroupRow]


class Breakdowns(Model):
    """All breakdowns of the objects."""

    few_below: int
    breakdowns: list[Breakdown]
