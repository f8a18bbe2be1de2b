"""The tables of a run: images, ground truth, detections and failures."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dogcam.errors import RecordError
from dogcam.files.numbers import finite
from dogcam.files.spreadsheets import as_text, as_written
from report.record.classes import ClassFailures
from report.record.evidence import FurtherMeasurements
from report.record.files import read_file

IMAGES_NAME, TRUTH_NAME, DETECTIONS_NAME = "images.csv", "ground_truth.csv", "detections.csv"
FAILURES_NAME = "failures.csv"

_SIDES = ("x0", "y0", "x1", "y1")
IMAGES_HEAD = ("image", "height", "width", "probability")
TRUTH_HEAD = ("image", *_SIDES, "difficult", "ignored")
DETECTIONS_HEAD = ("method", "image", *_SIDES, "score")
PHOTOGRAPHS_HEAD = ("class", "image", *_SIDES, "score")
FAILURES_HEAD = (
    "image", "class", "type", "subject", "score", "iou", "reason", *_SIDES,
    *(f"object_{side}" for side in _SIDES),
)  # fmt: skip


@dataclass(frozen=True)
class RunTables:
    """The tables of a run; boxes are half-open xyxy in pixels, one list an image, in the images' order.

    Attributes:
        ids: the images.
        probabilities: of the target class, one an image.
        truth: the target's boxes.
        ignored: which of them are ignored, because they are difficult or crowds.
        found: for each method the boxes, each followed by its score.
    """

    ids: tuple[str, ...]
    probabilities: list[float]
    truth: list[list[list[float]]]
    ignored: list[list[bool]]
    found: dict[str, list[list[list[float]]]]


def table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    """Return rows as the text of a table; floats keep all their digits."""
    # Imported here: rendering writes no table, and starts faster without pandas.
    from pandas import DataFrame

    cells = [[as_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return DataFrame(cells, columns=list(head), dtype=object).to_csv(index=False, lineterminator="\n")


def failures_table(
    evidence: FurtherMeasurements, score_threshold: float, target: str, others: Sequence[ClassFailures] = ()
) -> str:
    """Return the failures at the operating points as the text of a table: one row each, boxes as xyxy.

    Args:
        evidence: has the failures of the main class.
        score_threshold: of its operating point.
        target: the main class.
        others: the failures of the other classes.
    """
    level = evidence.levels.index(score_threshold)
    empty = (None,) * 4
    at_point = [(target, case) for case in evidence.cases if case.first <= level <= case.last]
    at_point += [(each.name, case) for each in others for case in each.cases]
    return table(
        FAILURES_HEAD,
        (
            (case.image_id, name, case.type, case.subject, case.score, case.iou, case.reason,
             *(case.box or empty), *(case.matched or empty))
            for name, case in at_point
        ),
    )  # fmt: skip


def read_tables(run: Path, sums: dict[str, str]) -> RunTables:
    """Read the tables of a finished run.

    Args:
        run: the run's folder.
        sums: the SHA-256 of each file, `Results.files`.

    Raises:
        RecordError: if a table is missing, is not the one that the record lists, or has a value that a run
            does not write.
    """
    images = _read(run, IMAGES_NAME, sums, IMAGES_HEAD)
    ids = tuple(row["image"] for row in images)
    if len(set(ids)) < len(ids):
        raise RecordError(f"{run / IMAGES_NAME} lists an image twice; run it again")
    try:
        truth: dict[str, list[list[float]]] = {image: [] for image in ids}
        ignored: dict[str, list[bool]] = {image: [] for image in ids}
        for row in _read(run, TRUTH_NAME, sums, TRUTH_HEAD):
            truth[row["image"]].append(_box(row))
            _flag(row["difficult"])
            ignored[row["image"]].append(_flag(row["ignored"]))
        found: dict[str, dict[str, list[list[float]]]] = {}
        for row in _read(run, DETECTIONS_NAME, sums, DETECTIONS_HEAD):
            of_method = found.setdefault(row["method"], {image: [] for image in ids})
            of_method[row["image"]].append([*_box(row), finite(row["score"], "the score")])
        probabilities = [_probability(row) for row in images]
    except (KeyError, ValueError, TypeError) as error:
        raise RecordError(f"the tables in {run} do not fit together ({error!r}); run it again") from error
    return RunTables(
        ids, probabilities, list(truth.values()), list(ignored.values()),
        {name: list(rows.values()) for name, rows in found.items()},
    )  # fmt: skip


def _box(row: dict[str, str]) -> list[float]:
    # Imported here: rendering reads no table, and starts faster without numpy.
    from dogcam.structures.detections import MAX_COORDINATE

    x0, y0, x1, y1 = box = [finite(row[side], side) for side in _SIDES]
    if max(map(abs, box)) > MAX_COORDINATE or x1 < x0 or y1 < y0:
        raise ValueError(f"the box {box} is inverted or has a coordinate above {MAX_COORDINATE:g}")
    return box


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"the flag {text[:80]!r} is neither 0 nor 1")
    return text == "1"


def _probability(row: dict[str, str]) -> float:
    height, width, probability = (finite(row[name], name) for name in IMAGES_HEAD[1:])
    if min(height, width) < 1 or not 0 <= probability <= 1:
        raise ValueError(f"the image {row['image'][:80]!r} has {height:g}, {width:g} or {probability:g}")
    return probability


def _read(run: Path, name: str, sums: dict[str, str], head: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        text = read_file(run, name, sums).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        found, rows = tuple(reader.fieldnames or ()), list(reader)
        for row in rows:
            row["image"] = as_written(row.get("image") or "")
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{run / name} cannot be read ({error}); run it again") from error
    if found != head:
        columns = ", ".join(found) or "none"
        raise RecordError(f"{run / name} has the columns {columns}; expected {', '.join(head)}")
    if any(None in row for row in rows):
        raise RecordError(f"{run / name} has a row of more than {len(head)} cells; run it again")
    return rows
