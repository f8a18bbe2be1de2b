"""What became different from one run to another: a record of its own, which its page is rendered from."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model
from report.record.claims import ClaimChange


class Side(Model):
    """One of the runs."""

    folder: str = Field(description="the folder's name, not its path")
    finished: str | None
    network: str
    data: str
    split: str
    n_images: int
    n_objects: int


class MetricChange(Model):
    """A number that both runs measured, and that came out differently."""

    what: str
    iou: Fraction | None = Field(description="null for what depends on no IoU")
    before: Fraction | None
    after: Fraction | None
    difference: Estimate = Field(description="after minus before; its interval is paired, or null")
    verdict: Literal["higher", "lower", "not distinguishable", "not paired"]


class ImageChange(Model):
    """An image that one run gets right as a whole, at its operating point, and the other does not."""

    image_id: str
    n_wrong: int = Field(description="false positives in the run that fails")
    n_missed: int = Field(description="missed objects in the run that fails")


class SettingChange(Model):
    """What the runs were given or chose differently, as JSON; `null` where one has no such thing."""

    name: str
    before: str
    after: str


class RunDiff(Model):
    """Two runs side by side."""

    title: str
    before: Side
    after: Side
    same_images: bool
    why_not_paired: str | None
    n_resamples: int
    level: Fraction
    n_metrics: int = Field(description="how many numbers both measured")
    metrics: list[MetricChange]
    claims: list[ClaimChange]
    n_failing_before: int | None = Field(description="images that fail; null if the images differ")
    n_failing_after: int | None
    began_to_fail: list[ImageChange]
    ceased_to_fail: list[ImageChange]
    settings: list[SettingChange]
