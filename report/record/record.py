"""The whole record of one run: everything that a report says; `store.py` reads and writes it."""

import json
from typing import Literal

from pydantic import Field

from report.config import RunConfig
from report.results.base import Model
from report.results.breakdowns import Breakdowns
from report.results.claims import Claim, ClaimChange
from report.results.data import DataInfo, ModelInfo
from report.results.detection import Classification, Detection, OperatingPoint, PublishedRow, Tuning
from report.results.failures import Failures
from report.results.figures import Figure
from report.results.localisation import Localisation
from report.results.maps import MapComparison
from report.results.run import RunInfo
from report.results.sanity import Sanity
from report.results.segmentation import Segmentation

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
    operating_point: OperatingPoint
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
