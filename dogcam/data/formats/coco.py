"""COCO JSON: 0-based boxes (x, y, width, height) in pixels, polygons, run lengths, crowds."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogcam.data.formats.base import (
    Annotation,
    Listing,
    Pixels,
    coordinate,
    copy_image,
    extent,
    image_id,
    no_such_split,
    side,
    without_suffix,
)
from dogcam.data.formats.run_lengths import box_of_polygons, box_of_run_lengths
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_json
from dogcam.structures.images import LabelledObject, Split

NAME = "coco"
LAYOUT = "annotations/[instances_]SPLIT.json or SPLIT/_annotations.coco.json, or one such file"
FILE_SUFFIXES: tuple[str, ...] = (".json",)
PIXELS: Pixels | None = "half-open"

_PREFIX = "instances_"
_EXPORTED = "_annotations.coco.json"
_FOLDERS = ("{split}", "images/{split}", "images", ".", "../{split}", "../images/{split}", "../images", "..")
"""Where images are searched, relative to the annotation file and to the root of the data set."""

_TRIED = 20
"""Images by which the folder of the images is found."""


def find(path: Path) -> Path | None:
    """Return the folder of the data set, or the annotation file."""
    if path.is_file():
        return path if path.suffix.lower() in FILE_SUFFIXES else None
    return path if path.is_dir() and _files(path) else None


def split_names(root: Path) -> tuple[str, ...]:
    """Return the names of the splits, sorted."""
    return tuple(sorted(_files(root)))


def open_split(root: Path, split: str) -> Listing:
    """Read the annotation file of a split.

    Raises:
        DataError: if it is missing or malformed.
    """
    files = _files(root)
    if split not in files:
        raise no_such_split(root, split, sorted(files))
    path = files[split]
    document = read_document(path)
    try:
        names = category_names(document["categories"])
        images = {_image_id(image, path): image for image in document["images"]}
        by_number = _annotations_by_image(document)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a COCO annotation: {error}; correct the file") from error
    folder = _image_folder(root, path, split, document["images"])

    def read(name: str) -> Annotation:
        image = images[name]
        try:
            size = side(image.get("height"), "height"), side(image.get("width"), "width")
            rows = by_number.get(image["id"], ())
            objects = tuple(read_object(row, names, size) for row in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, image {name!r}: {error}; correct the file") from error
        return Annotation(name, folder / image_id(image["file_name"], path), path, size, objects)

    # From the list, not from the dictionary, so that images listed twice are detected.
    return Listing([_image_id(image, path) for image in document["images"]], read)


def read_document(path: Path) -> dict[str, list[Any]]:
    """Read an annotation file: an object with the lists `images`, `annotations` and `categories`.

    Raises:
        DataError: if it is not such a file.
    """
    return checked_document(read_json(path), path)


def checked_document(document: object, path: Path) -> dict[str, list[Any]]:
    """Return the content of an annotation file after a check of its form, as from `read_document`."""
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in keys):
        raise DataError(f"{path} is not a COCO annotation; expected an object with lists {', '.join(keys)}")
    for key in keys:
        for place, entry in enumerate(document[key]):
            if not isinstance(entry, dict) or not isinstance(entry.get("id", 0), int | str):
                raise DataError(
                    f"{path}: entry {place} of {key} is not an object with a plain id; correct the file"
                )
    return document


def numbers(root: Path, split: str) -> tuple[dict[Any, str], dict[Any, str]]:
    """Return the image id of each image number, and the class of each category number."""
    path = _files(root)[split]
    document = read_document(path)
    return {image["id"]: _image_id(image, path) for image in document["images"]}, category_names(
        document["categories"]
    )


def category_names(categories: Sequence[Mapping[str, Any]]) -> dict[Any, str]:
    """Return the class of each category number.

    Raises:
        ValueError: if a number or a name occurs twice, or a name is not text.
    """
    names = {each["id"]: each["name"] for each in categories}
    if len(names) < len(categories) or len(set(names.values())) < len(names):
        raise ValueError("a category's id or name occurs twice")
    if not all(isinstance(name, str) and name.strip() for name in names.values()):
        raise ValueError("a category's name is not text")
    return names


def read_object(row: Mapping[str, Any], names: Mapping[Any, str], size: tuple[int, int]) -> LabelledObject:
    """Read one annotation; if it has no bbox, the box is that of its polygons or run lengths.

    Raises:
        ValueError: if it is malformed, or its category is unknown.
    """
    if row["category_id"] not in names:
        raise ValueError(f"annotation {row.get('id')} has the unknown category {row['category_id']!r}")
    what = f"annotation {row.get('id')}"
    flags = {key: bool(row.get(key, 0)) for key in ("difficult", "truncated")}
    return LabelledObject(
        names[row["category_id"]], _box(row, what, size), crowd=bool(row.get("iscrowd", 0)), **flags
    )


def corners(bbox: object, what: str) -> tuple[float, float, float, float]:
    """Return the half-open corners of a bbox.

    Raises:
        ValueError: if it is not a list of four finite numbers.
    """
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"{what} has the bbox {str(bbox)[:40]}; expected [x, y, width, height]")
    x, y, width, height = (coordinate(value, f"the bbox of {what}") for value in bbox)
    return x, y, x + width, y + height


def write(root: Path, splits: Sequence[Split]) -> None:
    """Write `annotations/instances_SPLIT.json` and `images/SPLIT`.

    The flags difficult and truncated, which COCO does not have, are written as keys of these names.
    """
    classes = sorted({thing.name for split in splits for image in split.images for thing in image.objects})
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    for split in splits:
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for number, image in enumerate(split.images, start=1):
            name = copy_image(image, root / "images" / split.name)
            images.append({"id": number, "file_name": name, "width": image.width, "height": image.height})
            for thing in image.objects:
                annotations.append(_row(len(annotations) + 1, number, numbers[thing.name], thing))
        categories = [{"id": number, "name": name} for name, number in numbers.items()]
        document = {"images": images, "annotations": annotations, "categories": categories}
        atomic_write(
            root / "annotations" / f"{_PREFIX}{split.name}.json", json.dumps(document, indent=1) + "\n"
        )


def _row(number: int, image: int, category: int, thing: LabelledObject) -> dict[str, Any]:
    x0, y0, x1, y1 = thing.box
    width, height = extent(x0, x1), extent(y0, y1)
    flags = {key: 1 for key in ("difficult", "truncated") if getattr(thing, key)}
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": [x0, y0, width, height],
        "area": width * height, "iscrowd": int(thing.crowd), **flags,
    }  # fmt: skip


def _files(root: Path) -> dict[str, Path]:
    """Return the annotation file of each split."""
    if root.is_file():
        return {root.stem.removeprefix(_PREFIX): root}
    named = {path.stem.removeprefix(_PREFIX): path for path in root.glob("annotations/*.json")}
    return named | {path.parent.name: path for path in root.glob(f"*/{_EXPORTED}")}


def _image_id(image: Mapping[str, Any], path: Path) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or "id" not in image:
        raise ValueError(f"image {image.get('id')!r} has no id and file_name")
    return without_suffix(image_id(name, path))


def _annotations_by_image(document: Mapping[str, list[Any]]) -> dict[Any, list[Any]]:
    number, count = Counter(image["id"] for image in document["images"]).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the image id {number!r} occurs {count} times")
    rows: dict[Any, list[Any]] = {image["id"]: [] for image in document["images"]}
    for row in document["annotations"]:
        if row.get("image_id") not in rows:
            raise ValueError(f"annotation {row.get('id')} is of the unknown image {row.get('image_id')!r}")
        rows[row["image_id"]].append(row)
    return rows


def _box(row: Mapping[str, Any], what: str, size: tuple[int, int]) -> tuple[float, float, float, float]:
    outline = row.get("segmentation")
    if row.get("bbox") is not None:
        return corners(row["bbox"], what)
    if isinstance(outline, dict):
        return box_of_run_lengths(outline, size, what)
    return box_of_polygons(outline, what)


def _image_folder(root: Path, path: Path, split: str, images: Sequence[Mapping[str, Any]]) -> Path:
    """Return the folder that contains one of the first images; else the folder of the annotation file."""
    names = [image_id(image["file_name"], path) for image in images[:_TRIED]]
    starts = dict.fromkeys([path.parent, root if root.is_dir() else root.parent])
    folders = [start / each.format(split=split) for start in starts for each in _FOLDERS]
    found = (folder for folder in folders if any((folder / name).is_file() for name in names))
    return next(found, path.parent)
