"""The tables that a run leaves beside its record: its images, what is in them, and what was found in them."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dogcam.errors import RecordError

IMAGES_NAME, TRUTH_NAME, DETECTIONS_NAME = "images.csv", "ground_truth.csv", "detections.csv"

_SIDES = ("x0", "y0", "x1", "y1")
IMAGES_HEAD = ("image", "height", "width", "probability")
TRUTH_HEAD = ("image", *_SIDES, "difficult")
DETECTIONS_HEAD = ("method", "image", *_SIDES, "score")


@dataclass(frozen=True)
class RunTables:
    """The tables of a run; boxes are half-open xyxy in pixels, one list an image, in the images' order.

    Attributes:
        ids: the images.
        probabilities: of the target class, one an image.
        truth: the target's boxes.
        difficult: which of them are marked so.
        found: for each method the boxes, each followed by its score.
    """

    ids: tuple[str, ...]
    probabilities: list[float]
    truth: list[list[list[float]]]
    difficult: list[list[bool]]
    found: dict[str, list[list[list[float]]]]


def table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    """Return rows as the text of a table; floats keep all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def read_tables(run: Path) -> RunTables:
    """Read the tables of a finished run.

    Raises:
        RecordError: where one is missing or damaged.
    """
    images = _read(run / IMAGES_NAME, IMAGES_HEAD)
    ids = tuple(row["image"] for row in images)
    try:
        truth = {image: [] for image in ids}
        difficult = {image: [] for image in ids}
        for row in _read(run / TRUTH_NAME, TRUTH_HEAD):
            truth[row["image"]].append([float(row[side]) for side in _SIDES])
            difficult[row["image"]].append(row["difficult"] == "1")
        found: dict[str, dict[str, list[list[float]]]] = {}
        for row in _read(run / DETECTIONS_NAME, DETECTIONS_HEAD):
            of_method = found.setdefault(row["method"], {image: [] for image in ids})
            of_method[row["image"]].append([float(row[side]) for side in (*_SIDES, "score")])
        probabilities = [float(row["probability"]) for row in images]
    except (KeyError, ValueError, TypeError) as error:
        raise RecordError(f"the tables in {run} do not fit together ({error!r}); run it again") from error
    return RunTables(
        ids, probabilities, list(truth.values()), list(difficult.values()),
        {name: list(rows.values()) for name, rows in found.items()},
    )  # fmt: skip


def _read(path: Path, head: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            found, rows = tuple(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path} cannot be read ({error}); make the run again") from error
    if found != head:
        raise RecordError(f"{path} has the columns {', '.join(found) or 'none'}; expected {', '.join(head)}")
    return rows
