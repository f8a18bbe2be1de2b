"""The whole record of one run: everything that a report says; `store.py` reads and writes it."""

import json
from typing import Literal

from pydantic import Field

from report.config import RunConfig
from report.record.base import Model
from report.record.breakdowns import Breakdowns
from report.record.claims import Claim, ClaimChange
from report.record.data import DataInfo, ModelInfo
from report.record.detection import ChosenThreshold, Classification, Detection, PublishedRow, Tuning
from report.record.failures import Failures
from report.record.figures import Figure
from report.record.localisation import Localisation
from report.record.maps import MapComparison
from report.record.run import RunInfo
from report.record.sanity import Sanity
from report.record.segmentation import Segmentation

SCHEMA_VERSION = 1


class Results(Model):
    """The record of one run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    title: str
    run: RunInfo
    config: RunConfig
    data: DataInfo
    model: ModelInfo
    tuning: list[Tuning]
    classification: Classification
    detection: Detection
    operating_point: ChosenThreshold
    localisation: Localisation
    failures: Failures
    breakdowns: Breakdowns
    map_comparisons: list[MapComparison]
    sanity: Sanity
    segmentation: Segmentation | None
    published: list[PublishedRow]
    figures: list[Figure]
    claims: list[Claim] = Field(default_factory=list)
    claim_changes: list[ClaimChange] = Field(
        default_factory=list, description="against the run that was in the same folder before"
    )

    def to_json(self) -> str:
        """Return the record as JSON text, the same text for equal records."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
