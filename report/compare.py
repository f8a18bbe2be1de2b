"""Several runs side by side: models, checkpoints or methods, each compared with the first run.

If all runs measured the same images, each difference has the interval of a paired bootstrap, computed from
the tables of the runs.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dogcam.errors import ConfigError
from report.diff import change_of, name_of, side_of
from report.measures import Measured, MeasuredRun, open_runs
from report.record import Results
from report.record.comparison import ClassComparison, MeasureRow, RunCell, RunComparison

FEWEST = 2


def compare_all(folders: Sequence[Path]) -> RunComparison:
    """Compare finished runs with the first of them.

    Args:
        folders: of at least two runs.

    Raises:
        ConfigError: if there are fewer than two.
        RecordError: if a record or its tables are missing or damaged.
    """
    if len(folders) < FEWEST:
        raise ConfigError(f"{len(folders)} runs are named; expected at least {FEWEST}")
    runs, why_not = open_runs(folders, sampled_as=0)
    records = [run.record for run in runs]
    measured = [run.measures() for run in runs]
    shared = [name for name in measured[0] if all(name in each for each in measured)]
    classes, iou = _classes(records)
    return RunComparison(
        title=f"{len(folders)} runs compared",
        runs=[side_of(folder, record) for folder, record in zip(folders, records, strict=True)],
        labels=_labels(folders, records),
        same_images=why_not is None,
        why_not_paired=why_not,
        n_resamples=records[0].detection.n_resamples,
        level=records[0].config.confidence_level,
        measures=[_row(name, [each[name] for each in measured], runs[0]) for name in shared],
        classes=classes,
        class_iou=iou,
    )


def _row(name: tuple[str, float | None], values: Sequence[Measured], first: MeasuredRun) -> MeasureRow:
    cells = [RunCell(value=values[0].value, difference=None, verdict="reference")]
    for each in values[1:]:
        change = change_of(*name, values[0], each, first.resampler)
        cells.append(RunCell(value=each.value, difference=change.difference, verdict=change.verdict))
    return MeasureRow(what=name[0], iou=name[1], cells=cells)


def _labels(folders: Sequence[Path], records: Sequence[Results]) -> list[str]:
    """Return the names of the networks, with the folder's name if two are equal."""
    counts = Counter(record.model.name for record in records)
    return [
        record.model.name if counts[record.model.name] == 1 else f"{record.model.name} ({name_of(folder)})"
        for folder, record in zip(folders, records, strict=True)
    ]


def _classes(records: Sequence[Results]) -> tuple[list[ClassComparison], float | None]:
    """Return the classes that all runs measured at one IoU; none if a run measured a single class."""
    parts = [record.classes for record in records]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or len({part.iou for part in found}) > 1:
        return [], None
    ap = [
        {each.name: next(row.ap for row in each.rows if row.iou == part.iou) for each in part.classes}
        for part in found
    ]
    names = [name for name in ap[0] if all(name in each for each in ap)]
    return [ClassComparison(name=name, ap=[each[name] for each in ap]) for name in names], found[0].iou
