"""CSV: one row for each box; a row with empty corners lists an image without objects."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dogcam.data.formats.base import (
    Annotation,
    ImageFiles,
    Listing,
    Pixels,
    coordinate,
    copy_image,
    image_id,
    no_numbers,
    no_such_split,
    side,
    without_suffix,
)
from dogcam.data.formats.voc import to_half_open
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_text
from dogcam.files.spreadsheets import as_text, as_written
from dogcam.structures.images import LabelledObject, Split

NAME = "csv"
FILE_SUFFIXES: tuple[str, ...] = (".csv",)
PIXELS: Pixels | None = None
LAYOUT = (
    "SPLIT.csv with the columns image, class, x0, y0, x1, y1 (0-based half-open) or xmin, ymin, xmax, ymax"
)
numbers = no_numbers

IMAGE_COLUMNS = ("image", "image_id", "filename", "file_name", "path")
CLASS_COLUMNS = ("class", "label", "name", "category")
HALF_OPEN = ("x0", "y0", "x1", "y1")
INCLUSIVE = ("xmin", "ymin", "xmax", "ymax")
"""VOC's names for its 1-based inclusive corners."""

_FLAGS = ("difficult", "truncated", "crowd")
_FOLDERS = ("images/{split}", "{split}", "images", "JPEGImages", ".")


def find(path: Path) -> Path | None:
    """Return the CSV file, or the folder that contains a CSV file for each split."""
    if path.is_file():
        return path if path.suffix.lower() in FILE_SUFFIXES else None
    return path if path.is_dir() and _files(path) else None


def split_names(root: Path) -> tuple[str, ...]:
    """Return the names of the splits, which are those of the CSV files, sorted."""
    return tuple(sorted(_files(root)))


def open_split(root: Path, split: str) -> Listing:
    """Read the CSV file of a split; images are in the order of their first rows.

    Raises:
        DataError: if it is missing or malformed; the message states the line.
    """
    files = _files(root)
    if split not in files:
        raise no_such_split(root, split, sorted(files))
    path = files[split]
    rows: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
    for number, row in read_rows(path):
        rows.setdefault(without_suffix(image_id(row["image"], path)), []).append((number, row))
    images = _image_files(path, split, next(iter(rows), ""))

    def read(name: str) -> Annotation:
        sizes, objects = set(), []
        for number, row in rows[name]:
            try:
                if row.get("width") or row.get("height"):
                    sizes.add((side(row.get("height"), "height"), side(row.get("width"), "width")))
                if row["x0"].strip():
                    objects.append(read_object(row))
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}; correct the file") from error
        if len(sizes) > 1:
            raise DataError(f"{path} states {len(sizes)} sizes of the image {name!r}; expected one")
        return Annotation(name, images.find(name), path, sizes.pop() if sizes else None, tuple(objects))

    return Listing(list(rows), read)


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file of boxes.

    Returns:
        Line number and cells of each row. The columns of image, class and corners are renamed to image,
        class, x0, y0, x1 and y1; `inclusive` is "1" for VOC's inclusive corners, else "".

    Raises:
        DataError: if columns are missing, or a row has more or fewer cells than the header.
    """
    text = read_text(path)
    try:
        reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if cells and not cells[0].startswith("#")]
    except csv.Error as error:
        raise DataError(f"{path} is not valid CSV: {error}; correct the file") from error
    if not lines:
        raise DataError(f"{path} is empty; expected {LAYOUT}")
    names = [cell.strip().lower() for cell in lines[0][1]]
    renamed = _columns(names)
    if renamed is None or len(set(names)) < len(names):
        raise DataError(f"{path} has the columns {', '.join(names)[:120]}; expected {LAYOUT}")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: {len(cells)} cells; expected {len(names)}")
        row = dict(zip(renamed, map(as_written, cells), strict=True))
        rows.append((number, row | {"inclusive": "1" if INCLUSIVE[0] in names else ""}))
    return rows


def read_object(row: Mapping[str, str]) -> LabelledObject:
    """Read the object of a row.

    Raises:
        ValueError: if a corner is not a number, a flag is neither 0 nor 1, or the class is missing.
    """
    name = row["class"].strip()
    if not name:
        raise ValueError("the class is missing")
    flags = {}
    for key in _FLAGS:
        text = row.get(key, "").strip().lower() or "0"
        if text not in ("0", "1", "false", "true"):
            raise ValueError(f"{key} is {text[:40]!r}; expected 0 or 1")
        flags[key] = text in ("1", "true")
    return LabelledObject(name, read_box(row), **flags)


def read_box(row: Mapping[str, str]) -> tuple[float, float, float, float]:
    """Return the half-open corners of a row.

    Raises:
        ValueError: if a corner is not a number.
    """
    box = np.array([[coordinate(row[key], key) for key in HALF_OPEN]])
    x0, y0, x1, y1 = (to_half_open(box) if row["inclusive"] else box)[0].tolist()
    return x0, y0, x1, y1


def write(root: Path, splits: Sequence[Split]) -> None:
    """Write `SPLIT.csv` and `images/SPLIT`."""
    for split in splits:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "width", "height", "class", *HALF_OPEN, *_FLAGS])
        for image in split.images:
            name = as_text(copy_image(image, root / "images" / split.name))
            for thing in image.objects:
                flags = [int(getattr(thing, key)) for key in _FLAGS]
                writer.writerow(
                    [name, image.width, image.height, as_text(thing.name), *map(repr, thing.box), *flags]
                )
            if not image.objects:
                writer.writerow([name, image.width, image.height, *[""] * 8])
        atomic_write(root / f"{split.name}.csv", text.getvalue())


def _delimiter(text: str) -> str:
    """Return what separates most names of the header: a comma, a semicolon or a tab.

    If a comma separates decimals, spreadsheets separate cells by semicolons; such decimals are refused.
    """
    header = next((line for line in text.splitlines() if line and not line.startswith("#")), "")
    return max(",;\t", key=header.count)


def _columns(names: Sequence[str]) -> list[str] | None:
    """Return the columns under the names that the program uses; None if they are not those of boxes."""
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    label = next((name for name in CLASS_COLUMNS if name in names), None)
    corners = next((each for each in (HALF_OPEN, INCLUSIVE) if set(each) <= set(names)), None)
    if image is None or label is None or corners is None:
        return None
    known = {image: "image", label: "class", **dict(zip(corners, HALF_OPEN, strict=True))}
    return [known.get(name, name) for name in names]


def _files(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {root.stem: root}
    return {path.stem: path for path in root.glob("*.csv") if _has_boxes(path)}


def _has_boxes(path: Path) -> bool:
    try:
        read_rows(path)
    except DataError:
        return False
    return True


def _image_files(path: Path, split: str, name: str) -> ImageFiles:
    """Return the images of the first folder that has the first image."""
    folders = [ImageFiles(path.parent / each.format(split=split)) for each in _FOLDERS]
    return next((each for each in folders if each.find(name).is_file()), folders[-1])
