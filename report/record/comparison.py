"""Several runs side by side: a record of its own, which its page is rendered from."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model
from report.record.diff import Side

Verdict = Literal["higher", "lower", "not distinguishable", "not paired", "reference"]


class RunCell(Model):
    """A measure of one run, and its difference from the first run."""

    value: Fraction | None
    difference: Estimate | None = Field(description="minus the first run; null for the first run itself")
    verdict: Verdict


class MeasureRow(Model):
    """A number that all runs measured."""

    what: str
    iou: Fraction | None = Field(description="null for what depends on no IoU")
    cells: list[RunCell] = Field(description="one for each run, in their order")


class ClassComparison(Model):
    """AP of a class that all runs measured, at the IoU of the operating points."""

    name: str
    ap: list[Estimate] = Field(description="one for each run; not paired")


class RunComparison(Model):
    """Several runs side by side, compared with the first."""

    title: str
    runs: list[Side]
    labels: list[str] = Field(description="a short name for each run")
    same_images: bool
    why_not_paired: str | None
    n_resamples: int
    level: Fraction
    measures: list[MeasureRow]
    classes: list[ClassComparison]
    class_iou: Fraction | None
