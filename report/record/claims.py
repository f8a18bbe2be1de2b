"""What the report claims, and the numbers that decide it."""

from typing import Literal

from pydantic import Field

from report.record.base import Model

Status = Literal["supported", "not distinguishable", "contradicted"]


Form = Literal[
    "text", "article", "plural", "count", "decimal", "percent", "points", "power", "estimate", "gap", "shift"
]
"""The formatters that a claim may use."""


class ClaimPart(Model):
    """A value of the record that a claim's sentence shows in place of a {name}."""

    name: str
    path: str = Field(description="path in the record")
    form: Form
    digits: int | None = Field(
        default=None, ge=0, le=15, description="behind the point; null for the form's own"
    )


class Claim(Model):
    """A sentence whose wording follows from numbers of the record."""

    id: str
    status: Status
    relation: str = Field(description="the status in words, for tables")
    lead: str = Field(description="a short answer that precedes the sentence; empty for none")
    sentence: str = Field(description="without its full stop; {names} are parts")
    rests_on: list[str] = Field(description="paths in the record that decide the wording")
    parts: list[ClaimPart]


class ClaimChange(Model):
    """A claim whose status is not what an earlier run in the same folder found; null if it made none."""

    id: str
    before: Status | None
    now: Status | None
