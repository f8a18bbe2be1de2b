"""What the report claims, and what that rests on."""

from typing import Literal

from pydantic import Field

from report.record.base import Model

Status = Literal["supported", "not distinguishable", "contradicted"]


class ClaimPart(Model):
    """Something of the record that a claim's sentence shows in the place of a {name}."""

    name: str
    path: str = Field(description="where in the record it stands")
    form: Literal["text", "count", "decimal", "percent", "power", "estimate", "gap"]
    digits: int | None = Field(default=None, description="behind the point; null for the form's own")


class Claim(Model):
    """A sentence that compares; its wording follows from its status, and that from the numbers."""

    id: str
    status: Status
    sentence: str = Field(description="without its full stop; {names} stand for parts")
    rule: str = Field(description="how the status follows from the numbers")
    rests_on: list[str] = Field(description="the places in the record that decide the status")
    parts: list[ClaimPart]


class ClaimChange(Model):
    """A claim whose status is not what an earlier run in the same folder found; null where it made none."""

    id: str
    before: Status | None
    now: Status | None
