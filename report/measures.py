"""What can be computed from the tables of a finished run again: its measures, and their bootstrap samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import metrics
from dogcam.evaluate.metrics import Matches, Resampler
from dogcam.structures.detections import Detections, GroundTruth
from report.record import Results
from report.record.diff import ImageChange
from report.record.io import read_results
from report.record.tables import RunTables, read_tables


@dataclass(frozen=True)
class Measured:
    """A number, and its (B,) bootstrap samples if they can be drawn."""

    value: float | None
    samples: NDArray[np.float64] | None = None


Measures = dict[tuple[str, float | None], Measured]
"""Numbers by what they measure, and at which IoU."""


class MeasuredRun:
    """One run, with what can be computed from its tables again.

    Args:
        record: of the run.
        tables: of the run.
        sampled_as: the record whose resamples are drawn, so that differences between runs are paired.
        paired: whether samples are drawn at all.
    """

    def __init__(self, record: Results, tables: RunTables, sampled_as: Results, paired: bool) -> None:
        self.record, self.tables, self.paired = record, tables, paired
        # Both runs draw the same images, whatever seeds they had, so that differences are paired.
        detection, level = sampled_as.detection, sampled_as.config.confidence_level
        self.resampler = Resampler(len(tables.ids), detection.n_resamples, level, detection.bootstrap_seed)
        self.truth = GroundTruth.from_images(tables.truth, tables.ignored)

    def matches(self, method: str, ious: list[float]) -> Matches:
        """Match the detections of a method again."""
        found = _detections(self.tables.found.get(method), self.truth)
        return metrics.match(self.truth, found, ious, difficult="ignored")

    def measures(self) -> Measures:
        """Return every number that another run can be compared by."""
        found: Measures = {}
        for method in self.record.detection.methods:
            matches = self.matches(method.name, [row.iou for row in method.rows])
            drawn = self.resampler.ap_samples(matches) if self.paired else None
            for place, row in enumerate(method.rows):
                samples = drawn[place] if drawn is not None else None
                found[f"{method.title}: average precision", row.iou] = Measured(row.ap, samples)
                counts = _Counts.of(matches, row.iou)
                recall = self._ratio(row.recall, counts.right, counts.objects)
                found[f"{method.title}: recall", row.iou] = recall
        return found | self._at_the_operating_point() | self._classification()

    @cached_property
    def _at_point(self) -> "_Counts":
        point = self.record.operating_point
        return _Counts.of(self.matches(point.method, [point.iou]), point.iou, point.score_threshold)

    def _at_the_operating_point(self) -> Measures:
        point, counts = self.record.operating_point, self._at_point
        at = "at the operating point"
        return {
            (f"precision {at}", point.iou): self._ratio(point.precision.value, counts.right, counts.found),
            (f"recall {at}", point.iou): self._ratio(point.recall.value, counts.right, counts.objects),
            (f"F1 {at}", point.iou): self._ratio(
                point.f1.value, 2 * counts.right, counts.found + counts.objects
            ),
        }

    def _classification(self) -> Measures:
        present = [bool(boxes) for boxes in self.tables.truth]
        scores = self.tables.probabilities
        drawn = self.resampler.ranking_ap_samples(present, scores) if self.paired else None
        value = self.record.classification.target.value
        return {("average precision of ranking the images", None): Measured(value, drawn)}

    def _ratio(self, value: float | None, numerator: NDArray, denominator: NDArray) -> Measured:
        if not self.paired:
            return Measured(value)
        return Measured(value, self.resampler.ratio_samples(numerator, denominator))

    def failing(self) -> dict[str, ImageChange]:
        """Return the images that fail at the operating point, in their order."""
        counts = self._at_point
        wrong, missed = counts.found - counts.right, counts.objects - counts.right
        rows = zip(self.tables.ids, wrong.tolist(), missed.tolist(), strict=True)
        return {
            image: ImageChange(image_id=image, n_wrong=n_wrong, n_missed=n_missed)
            for image, n_wrong, n_missed in rows
            if n_wrong or n_missed
        }


@dataclass(frozen=True)
class _Counts:
    """In each image the correct boxes, the boxes, and the objects: (N,) int arrays."""

    right: NDArray[np.int64]
    found: NDArray[np.int64]
    objects: NDArray[np.int64]

    @classmethod
    def of(cls, matches: Matches, iou: float, score_threshold: float = -math.inf) -> "_Counts":
        right, found = metrics.counts_per_image(matches, iou, score_threshold)
        return cls(right, found, metrics.ground_truth_per_image(matches))


def open_runs(folders: Sequence[Path], sampled_as: int) -> tuple[list[MeasuredRun], str | None]:
    """Read finished runs that are to be compared.

    Args:
        folders: of the runs.
        sampled_as: the index of the run whose resamples are drawn.

    Returns:
        The runs, and why their images cannot be compared one by one; None if they can.

    Raises:
        RecordError: if a record or its tables are missing or damaged.
    """
    records = [read_results(folder) for folder in folders]
    tables = [read_tables(folder, record.files) for folder, record in zip(folders, records, strict=True)]
    why_not = why_not_paired(records, tables)
    runs = [
        MeasuredRun(record, table, records[sampled_as], paired=why_not is None)
        for record, table in zip(records, tables, strict=True)
    ]
    return runs, why_not


def _detections(rows: list[list[list[float]]] | None, truth: GroundTruth) -> Detections:
    rows = rows if rows is not None else [[] for _ in range(truth.n_images)]
    boxes = [[row[:4] for row in image] for image in rows]
    return Detections.from_images(boxes, [[row[4] for row in image] for image in rows])


def why_not_paired(records: Sequence[Results], tables: Sequence[RunTables]) -> str | None:
    """State why the images of some runs cannot be compared one by one; None if they can."""
    first, known = records[0], tables[0]
    for record, table in zip(records[1:], tables[1:], strict=True):
        if record.data.target != first.data.target:
            return "the runs have different targets"
        if table.ids != known.ids or record.data.reported.manifest != first.data.reported.manifest:
            return "the runs have different images"
        if table.truth != known.truth or table.ignored != known.ignored:
            return "the annotations differ, or other objects are ignored"
    return None
