"""The whole record of one run: everything that a report states; `io.py` reads and writes it."""

import itertools
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from report.config import RunConfig
from report.record.base import Sealed
from report.record.breakdowns import Breakdowns
from report.record.claims import Claim, ClaimChange
from report.record.classes import Classes
from report.record.data import DataInfo, ModelInfo
from report.record.detection import ChosenThreshold, Classification, Detection, PublishedRow, Tuning
from report.record.evidence import FurtherMeasurements, Pictures
from report.record.failures import Failures
from report.record.figures import Figure
from report.record.files import FileName, Sha256
from report.record.localisation import Localisation
from report.record.maps import MapComparison
from report.record.presets import Presets
from report.record.run import RunInfo
from report.record.sanity import Sanity
from report.record.segmentation import Segmentation

SCHEMA_VERSION: Literal[2] = 2


class Results(Sealed):
    """The record of one run."""

    schema_version: Literal[2] = SCHEMA_VERSION
    title: str
    run: RunInfo
    config: RunConfig
    data: DataInfo
    model: ModelInfo
    tuning: list[Tuning]
    classification: Classification
    detection: Detection
    operating_point: ChosenThreshold
    classes: Classes | None = Field(None, description="the results of several classes; null for one")
    presets: Presets | None = Field(None, description="the detection presets; null if none was asked for")
    localisation: Localisation
    failures: Failures
    breakdowns: Breakdowns
    map_comparisons: list[MapComparison]
    sanity: Sanity
    segmentation: Segmentation | None
    published: list[PublishedRow]
    evidence: FurtherMeasurements
    pictures: Pictures
    figures: list[Figure]
    files: dict[FileName, Sha256] = Field(description="SHA-256 of each picture and table of the run")
    claims: list[Claim] = Field(default_factory=list)
    claim_changes: list[ClaimChange] = Field(
        default_factory=list, description="changes from the previous run in the same folder"
    )

    @model_validator(mode="after")
    def _lists_its_files(self) -> "Results":
        missing = sorted(set(self.pictures_named()) - self.files.keys())
        if missing:
            raise ValueError(f"files has no SHA-256 of {missing[0]}")
        return self

    def pictures_named(self) -> Iterator[str]:
        """Yield the name of every picture that a part of the record names."""
        for figure in self.figures:
            yield from figure.files()
        of_classes = self.classes.failures if self.classes else []
        lists = [self.failures.successes, *(each.items for each in self.failures.types)]
        lists += [each.items for each in of_classes]
        for item in itertools.chain(*lists):
            yield from filter(None, (item.photo, item.map, item.composite))
        yield from filter(None, self.pictures.named())
        for cases in (self.evidence.cases, *(each.cases for each in of_classes)):
            yield from filter(None, (case.picture for case in cases))
