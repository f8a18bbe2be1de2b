"""Compare two runs: changed numbers, with paired intervals if both used the same images.

The intervals are computed from the tables of the runs; no network is needed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dogcam.evaluate.metrics import Estimate, Resampler
from dogcam.files import printable
from report.measures import Measured, open_runs
from report.record import Results
from report.record.claim_rules import changed_claims, status_of
from report.record.diff import ImageChange, MetricChange, RunDiff, SettingChange, Side

_VERDICTS = {"supported": "higher", "contradicted": "lower", "not distinguishable": "not distinguishable"}


def compare_runs(before: Path, after: Path) -> RunDiff:
    """Compare two finished runs.

    Args:
        before, after: their folders; differences are after minus before.

    Raises:
        RecordError: if a record or its tables are missing or damaged.
    """
    (old, new), why_not = open_runs((before, after), sampled_as=1)
    records = old.record, new.record
    measured = old.measures(), new.measures()
    shared = [name for name in measured[0] if name in measured[1]]
    changes = [change_of(*name, measured[0][name], measured[1][name], new.resampler) for name in shared]
    failing = (old.failing(), new.failing()) if why_not is None else None
    return RunDiff(
        title=f"From {name_of(before)} to {name_of(after)}",
        before=side_of(before, records[0]),
        after=side_of(after, records[1]),
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


def change_of(
    what: str, iou: float | None, before: Measured, after: Measured, resampler: Resampler
) -> MetricChange:
    """Return the difference of a number between two runs, with its paired interval if samples were drawn."""
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


def name_of(folder: Path) -> str:
    """Return the name of a run's folder as text that can be written."""
    return printable(folder.resolve().name)


def side_of(folder: Path, record: Results) -> Side:
    """Describe a run: its folder, network and data."""
    return Side(
        folder=name_of(folder),
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
