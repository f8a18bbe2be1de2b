"""Compare two runs: changed numbers, with paired intervals if both used the same images.

The intervals are computed from the tables of the runs; no network is needed.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import metrics
from dogcam.evaluate.metrics import Estimate, Matches, Resampler
from dogcam.files import printable
from dogcam.structures.detections import Detections, GroundTruth
from report.record import Results
from report.record.claim_rules import changed_claims, status_of
from report.record.diff import ImageChange, MetricChange, RunDiff, SettingChange, Side
from report.record.io import read_results
from report.record.tables import RunTables, read_tables

_VERDICTS = {"supported": "higher", "contradicted": "lower", "not distinguishable": "not distinguishable"}


@dataclass(frozen=True)
class Measured:
    """A number, and its (B,) bootstrap samples if the runs are paired."""

    value: float | None
    samples: NDArray[np.float64] | None = None


Measures = dict[tuple[str, float | None], Measured]
"""Numbers by their name and IoU threshold."""


def compare_runs(before: Path, after: Path) -> RunDiff:
    """Compare two finished runs.

    Args:
        before, after: their folders; differences are after minus before.

    Raises:
        RecordError: if a record or its tables are missing or damaged.
    """
    records = read_results(before), read_results(after)
    tables = (
        read_tables(before, records[0].files),
        read_tables(after, records[1].files),
    )
    why_not = _why_not_paired(records, tables)
    old, new = (
        _Run(record, table, records[1], paired=why_not is None)
        for record, table in zip(records, tables, strict=True)
    )
    measured = old.measures(), new.measures()
    shared = [name for name in measured[0] if name in measured[1]]
    changes = [_change(*name, measured[0][name], measured[1][name], new.resampler) for name in shared]
    failing = (old.failing(), new.failing()) if why_not is None else None
    return RunDiff(
        title=f"From {_name(before)} to {_name(after)}",
        before=_side(before, records[0]),
        after=_side(after, records[1]),
        same_images=why_not is None,
        why_not_paired=why_not,
        n_resamples=records[1].detection.n_resamples,
        level=records[1].config.confidence_level,
        n_metrics=len(shared),
        metrics=[change for change in changes if change.before != change.after],
        claims=changed_claims(records[0].claims, records[1].claims),
        n_failing_before=len(failing[0]) if failing else None,
        n_failing_after=len(failing[1]) if failing else None,
        began_to_fail=_only_in(failing[1], failing[0]) if failing else [],
        ceased_to_fail=_only_in(failing[0], failing[1]) if failing else [],
        settings=_settings(*records),
    )


class _Run:
    """One run, and the metrics that are computed again from its tables."""

    def __init__(self, record: Results, tables: RunTables, sampled_as: Results, paired: bool) -> None:
        self.record, self.tables, self.paired = record, tables, paired
        # Both runs are resampled with the random seed of the second, so that differences are paired.
        detection, level = sampled_as.detection, sampled_as.config.confidence_level
        self.resampler = Resampler(len(tables.ids), detection.n_resamples, level, detection.bootstrap_seed)
        self.truth = GroundTruth.from_images(tables.truth, tables.difficult)

    def matches(self, method: str, ious: list[float]) -> Matches:
        return metrics.match(self.truth, _detections(self.tables.found.get(method), self.truth), ious)

    def measures(self) -> Measures:
        """Return every number that both runs can have."""
        found: Measures = {}
        for method in self.record.detection.methods:
            matches = self.matches(method.name, [row.iou for row in method.rows])
            drawn = self.resampler.ap_samples(matches) if self.paired else None
            for place, row in enumerate(method.rows):
                samples = drawn[place] if drawn is not None else None
                found[f"{method.title}: average precision", row.iou] = Measured(row.ap, samples)
                counts = _per_image(matches, row.iou)
                recall = self._ratio(row.recall, counts.right, counts.objects)
                found[f"{method.title}: recall", row.iou] = recall
        return found | self._at_the_operating_point() | self._classification()

    def _at_the_operating_point(self) -> Measures:
        point = self.record.operating_point
        counts = _per_image(self.matches(point.method, [point.iou]), point.iou, point.score_threshold)
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
        """Return the images with a wrong box or a missed object at the operating point, in their order."""
        point = self.record.operating_point
        counts = _per_image(self.matches(point.method, [point.iou]), point.iou, point.score_threshold)
        wrong, missed = counts.found - counts.right, counts.objects - counts.right
        rows = zip(self.tables.ids, wrong.tolist(), missed.tolist(), strict=True)
        return {
            image: ImageChange(image_id=image, n_wrong=n_wrong, n_missed=n_missed)
            for image, n_wrong, n_missed in rows
            if n_wrong or n_missed
        }


@dataclass(frozen=True)
class _Counts:
    """For each image the correct boxes, all boxes, and the objects: (N,) int arrays."""

    right: NDArray[np.int64]
    found: NDArray[np.int64]
    objects: NDArray[np.int64]


def _per_image(matches: Matches, iou: float, score_threshold: float = -math.inf) -> _Counts:
    kept = matches.detections.scores >= score_threshold
    right = kept & (matches.kind_at(iou) == metrics.TRUE_POSITIVE)
    images = matches.detections.image[right], matches.detections.image[kept], matches.ground_truth.image
    return _Counts(*(np.bincount(each, minlength=matches.n_images) for each in images))


def _detections(rows: list[list[list[float]]] | None, truth: GroundTruth) -> Detections:
    rows = rows if rows is not None else [[] for _ in range(truth.n_images)]
    boxes = [[row[:4] for row in image] for image in rows]
    return Detections.from_images(boxes, [[row[4] for row in image] for image in rows])


def _why_not_paired(records: tuple[Results, Results], tables: tuple[RunTables, RunTables]) -> str | None:
    """Return why the images cannot be paired; None if they can."""
    if records[0].data.target != records[1].data.target:
        return "the runs have different targets"
    if (
        tables[0].ids != tables[1].ids
        or records[0].data.reported.manifest != records[1].data.reported.manifest
    ):
        return "the runs have different images"
    if tables[0].truth != tables[1].truth:
        return "the annotations differ"
    return None


def _change(
    what: str, iou: float | None, before: Measured, after: Measured, resampler: Resampler
) -> MetricChange:
    value = None if before.value is None or after.value is None else after.value - before.value
    interval = None
    if before.samples is not None and after.samples is not None:
        interval = resampler.interval(after.samples - before.samples)
    difference = Estimate(value=value, interval=interval)
    verdict = _VERDICTS[status_of(difference)] if interval else "not paired"
    return MetricChange(
        what=what, iou=iou, before=before.value, after=after.value, difference=difference, verdict=verdict
    )


def _only_in(failing: dict[str, ImageChange], other: dict[str, ImageChange]) -> list[ImageChange]:
    return [change for image, change in failing.items() if image not in other]


def _name(folder: Path) -> str:
    return printable(folder.resolve().name)


def _side(folder: Path, record: Results) -> Side:
    return Side(
        folder=_name(folder),
        finished=record.run.finished,
        network=record.model.name,
        data=record.data.name,
        split=record.data.reported.name,
        n_images=record.data.reported.n_images,
        n_objects=record.data.reported.n_target_objects,
    )


def _settings(before: Results, after: Results) -> list[SettingChange]:
    old, new = (dict(_given(record.model_dump(mode="json"))) for record in (before, after))
    return [
        SettingChange(name=name, before=json.dumps(old.get(name)), after=json.dumps(new.get(name)))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _given(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings and choices of a run, by their names in the record."""
    yield from ((f"config.{name}", value) for name, value in record["config"].items())
    network = ("input_height", "input_width", "high_resolution_pass", "target_layer", "earlier_layer")
    for name in ("name", "source", "weights", *network):
        yield f"model.{name}", record["model"][name]
    backend = record["model"]["backend"]
    yield "model.backend.used", backend["used"]
    yield from ((f"model.backend.versions.{name}", value) for name, value in backend["versions"].items())
    for name in ("dogcam_version", "commit", "modified", "device", "n_threads", "platform"):
        yield f"run.{name}", record["run"][name]
    yield from ((f"run.versions.{name}", value) for name, value in record["run"]["versions"].items())
    yield "data.reported.manifest", record["data"]["reported"]["manifest"]
    if record["data"]["tuning"]:
        yield "data.tuning.manifest", record["data"]["tuning"]["manifest"]
    for rule in record["tuning"]:
        yield f"tuning.{rule['method']}.cam_threshold", rule["cam_threshold"]
        yield f"tuning.{rule['method']}.components", rule["components"]
    yield "operating_point.score_threshold", record["operating_point"]["score_threshold"]
