"""Which objects are found, and which are not: recall by what the objects are like."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Model


class GroupRow(Model):
    """One group of objects at the operating point."""

    name: str
    low: float | None = Field(description="what was measured begins here; null where there is no lower end")
    high: float | None = Field(description="and ends before this; null where there is no upper end")
    n_objects: int
    n_images: int
    n_found: int
    few: bool = Field(description="fewer objects than few_below: the row says little by itself")
    recall: Estimate
    overlap: Estimate = Field(description="mean IoU of each object with the kept box that fits it best")


class Breakdown(Model):
    """The objects told apart in one way."""

    by: Literal["size", "aspect", "n_instances", "edge", "other_class"]
    rows: list[GroupRow]


class Breakdowns(Model):
    """All ways in which the objects are told apart."""

    few_below: int
    breakdowns: list[Breakdown]
