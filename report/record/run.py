"""What was run: program, machine and stages."""

from typing import Literal

from pydantic import Field

from report.record.base import Model


class StageRun(Model):
    """What the runner did about one stage."""

    name: str
    title: str
    status: Literal["ran", "reused"]
    reason: str
    key: str
    seconds: float


class RunInfo(Model):
    """Command, machine and time of a run."""

    dogcam_version: str
    commit: str | None
    modified: bool = Field(description="the checkout had changes that are in no commit")
    command: str
    finished: str | None = Field(description="UTC time, ISO 8601; from SOURCE_DATE_EPOCH if that is set")
    versions: dict[str, str]
    platform: str
    device: str
    n_threads: int
    stages: list[StageRun] = Field(default_factory=list)
