"""Write detections as COCO JSON, VOC XML, YOLO or CSV."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from dogcam.data.formats.voc import to_inclusive
from dogcam.detection.detector import FoundBoxes
from dogcam.files import atomic_write
from dogcam.files.spreadsheets import as_text


@dataclass(frozen=True)
class Row:
    """One image and its detections: the path as the user named it, size, boxes, scores and class names."""

    path: Path
    result: FoundBoxes


def write_coco(rows: Sequence[Row], targets: Sequence[str], out: Path) -> None:
    """Write one COCO document; its annotations have a `score`, and 0-based `[x, y, width, height]`."""
    annotations: list[dict] = []
    for number, row in enumerate(rows, start=1):
        for box, score, label in _detections(row):
            x0, y0, x1, y1 = box
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": targets.index(label) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
                    "score": score,
                }
            )  # fmt: skip
    images = [
        {"id": n, "file_name": row.path.as_posix(), "height": row.result.size[0], "width": row.result.size[1]}
        for n, row in enumerate(rows, start=1)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(targets, start=1)]
    document = {"images": images, "categories": categories, "annotations": annotations}
    atomic_write(out, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_csv(rows: Sequence[Row], targets: Sequence[str], out: Path) -> None:
    """Write one row a box: 0-based half-open x0, y0, x1, y1 in pixels; an image without boxes has one row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "width", "height", "class", "x0", "y0", "x1", "y1", "score"])
    for row in rows:
        height, width = row.result.size
        start = [as_text(row.path.as_posix()), width, height]
        for box, score, label in _detections(row):
            writer.writerow([*start, as_text(label), *map(repr, box), repr(score)])
        if not len(row.result.boxes):
            writer.writerow([*start, *[""] * 6])
    atomic_write(out, text.getvalue())


def write_voc(rows: Sequence[Row], targets: Sequence[str], out: Path) -> None:
    """Write `NAME.xml` for each image into a folder: 1-based inclusive pixels, as in PASCAL VOC."""
    for row in rows:
        root = ET.Element("annotation")
        ET.SubElement(root, "filename").text = row.path.name
        size = ET.SubElement(root, "size")
        for key, value in zip(("height", "width", "depth"), (*row.result.size, 3), strict=True):
            ET.SubElement(size, key).text = str(value)
        for box, score, label in _detections(row):
            thing = ET.SubElement(root, "object")
            ET.SubElement(thing, "name").text = label
            ET.SubElement(thing, "score").text = repr(score)
            corners = ET.SubElement(thing, "bndbox")
            for key, value in zip(
                ("xmin", "ymin", "xmax", "ymax"), to_inclusive(np.array([box]))[0], strict=True
            ):
                ET.SubElement(corners, key).text = f"{value:.2f}".removesuffix(".00")
        ET.indent(root)
        atomic_write(out / f"{row.path.stem}.xml", ET.tostring(root, encoding="unicode") + "\n")


def write_yolo(rows: Sequence[Row], targets: Sequence[str], out: Path) -> None:
    """Write `labels/NAME.txt` for each image: class, relative centre and size, score; and `data.yaml`."""
    for row in rows:
        height, width = row.result.size
        lines = []
        for box, score, label in _detections(row):
            x0, y0, x1, y1 = np.divide(box, [width, height, width, height])
            values = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, score)
            lines.append(" ".join([str(targets.index(label)), *(f"{value:.8g}" for value in values)]))
        atomic_write(out / "labels" / f"{row.path.stem}.txt", "".join(f"{line}\n" for line in lines))
    names = "".join(f"  {n}: {json.dumps(name)}\n" for n, name in enumerate(targets))
    atomic_write(out / "data.yaml", f"names:\n{names}")


Writer = Callable[[Sequence[Row], Sequence[str], Path], None]


@dataclass(frozen=True)
class WriterOf:
    """How a format is written.

    Attributes:
        write: writes rows and class names to a file or folder.
        default: name of that file or folder.
        by_stem: one file for each image, named after its stem.
    """

    write: Writer
    default: str
    by_stem: bool = False


WRITERS = {
    "coco": WriterOf(write_coco, "detections.json"),
    "voc": WriterOf(write_voc, "Annotations", by_stem=True),
    "yolo": WriterOf(write_yolo, "yolo", by_stem=True),
    "csv": WriterOf(write_csv, "detections.csv"),
}
"""The writer of each format."""


def _detections(row: Row) -> list[tuple[list[float], float, str]]:
    result = row.result
    return list(zip(result.boxes.tolist(), result.scores.tolist(), result.labels, strict=True))
