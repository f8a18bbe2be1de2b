"""Ground-truth boxes from a JSON file of dogcam, or from a data set in any format."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dogcam.data.boxes_in_image import checked_box, in_pixels
from dogcam.data.formats import ANNOTATED, recognise
from dogcam.data.formats.base import Annotation, Format, Pixels, coordinate, side
from dogcam.data.images import read_header
from dogcam.data.splits import split_name, subset_of
from dogcam.errors import DataError
from dogcam.files import read_json
from dogcam.structures.detections import GroundTruth
from dogcam.structures.images import LabelledObject
from dogcam.structures.rules import BadBoxes

TRUTH_FORM = (
    '{"pixels": "inclusive", "images": [{"id", "width", "height", "dogs": [[xmin, ymin, xmax, ymax]]}]}'
)
"""The JSON format of dogcam, for error messages."""

_JSON = ".json"

CORNERS = ("xmin", "ymin", "xmax", "ymax")

_FLAGS = ("difficult", "crowd")


@dataclass(frozen=True)
class BoxTruth:
    """The images and their objects, in the order of the file.

    Attributes:
        source: the file or folder.
        ids: ids of the images.
        sizes: (height, width) of each image in pixels.
        objects: the objects of each image; their boxes are half-open.
        pixels: the box convention of the files.
        numbers: image id by image number, in COCO files.
        classes: class by class number, in COCO and YOLO files.
    """

    source: Path
    ids: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    objects: tuple[tuple[LabelledObject, ...], ...]
    pixels: Pixels
    numbers: Mapping[Any, str] = field(default_factory=dict)
    classes: Mapping[Any, str] = field(default_factory=dict)

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that occur, sorted."""
        return tuple(sorted({thing.name for objects in self.objects for thing in objects}))

    def ground_truth(self, name: str) -> GroundTruth:
        """Return the boxes of one class."""
        chosen = [[thing for thing in objects if thing.name == name] for objects in self.objects]
        things = [thing for objects in chosen for thing in objects]
        boxes = GroundTruth.from_images([[thing.box for thing in objects] for objects in chosen])
        difficult = np.array([thing.difficult for thing in things], dtype=bool)
        crowd = np.array([thing.crowd for thing in things], dtype=bool)
        return GroundTruth(boxes.image, boxes.boxes, difficult, boxes.n_images, crowd)


def read_truth(
    path: Path, split: str | None = None, pixels: Pixels | None = None, on_bad_box: BadBoxes = "refuse"
) -> BoxTruth:
    """Read ground-truth boxes.

    Args:
        path: a JSON file of dogcam, or a data set in a known format; images are read only if the format
            states no sizes.
        split: split of a data set; required if there are several.
        pixels: box convention of a JSON file of dogcam; None for the one that the file states, or else
            `inclusive`.
        on_bad_box: how boxes are treated that are empty or extend beyond their image.

    Raises:
        DataError: if the file is missing or malformed; the message states file, image and fault.
    """
    others = {suffix for form in ANNOTATED for suffix in form.FILE_SUFFIXES if suffix != _JSON}
    if not path.is_dir() and path.suffix.lower() not in others:
        document = read_json(path)
        if not (isinstance(document, dict) and "annotations" in document):
            return _from_json(path, document, pixels, on_bad_box)
    form, root = recognise(path)
    names = form.split_names(root)
    if split is None and len(names) != 1:
        raise DataError(f"{path} has the splits {', '.join(names)}; name one with --split")
    return _from_data_set(form, root, split or names[0], pixels, on_bad_box)


def _from_data_set(
    form: Format, root: Path, split: str, pixels: Pixels | None, on_bad_box: BadBoxes
) -> BoxTruth:
    own: Pixels = form.PIXELS or "half-open"
    if form.PIXELS and pixels not in (None, own):
        raise DataError(f"{root} has the format {form.NAME}, whose boxes are {own}; found --pixels {pixels}")
    listing = form.open_split(root, split_name(split))
    if not listing.has_truth:
        raise DataError(f"{root} contains images without annotations; boxes cannot be evaluated")
    ids = subset_of(_unique(list(listing.ids), root), split)
    annotations = [listing.read(each) for each in ids]
    sizes = [each.size or read_header(each.path).upright_size for each in annotations]
    objects = [_objects(each, size, on_bad_box) for each, size in zip(annotations, sizes, strict=True)]
    numbers, classes = form.numbers(root, split_name(split))
    return BoxTruth(root, tuple(ids), tuple(sizes), tuple(objects), own, numbers, classes)


def _objects(
    annotation: Annotation, size: tuple[int, int], on_bad_box: BadBoxes
) -> tuple[LabelledObject, ...]:
    things = []
    for thing in annotation.objects:
        box = in_pixels(thing.box, size) if annotation.relative else thing.box
        what = f"{annotation.source}, image {annotation.id!r}: a {thing.name}"
        kept = checked_box(box, size, on_bad_box, what)
        if kept is not None:
            things.append(LabelledObject(thing.name, kept, thing.difficult, thing.truncated, thing.crowd))
    return tuple(things)


def _unique(ids: list[str], source: Path) -> list[str]:
    if not ids:
        raise DataError(f"{source} has no images; expected at least one")
    each, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise DataError(f"{source} lists the image {each!r} {count} times; list each image once")
    return ids


def _from_json(path: Path, document: Any, pixels: Pixels | None, on_bad_box: BadBoxes) -> BoxTruth:
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not images:
        raise DataError(f"{path} has no images; expected {TRUTH_FORM}, or a COCO annotation")
    convention = stated_pixels(path, document, pixels)
    ids, sizes, objects = [], [], []
    for index, image in enumerate(images):
        if not isinstance(image, dict) or not isinstance(image.get("id"), str):
            text = shown(image)
            raise DataError(f"{path}: entry {index} of images is {text}; expected an object whose id is text")
        where = f"{path}: image {image['id'][:80]!r}"
        try:
            size = side(image.get("height"), "height"), side(image.get("width"), "width")
            rows = _required_rows(image)
            _refuse_unknown_lists(image)
            difficult, crowd = (_flag_of_each(image, key, len(rows)) for key in _FLAGS)
            found = []
            for number, row in enumerate(rows):
                box = own_box(row, CORNERS, convention, f"box {number}")[:4]
                kept = checked_box(
                    (box[0], box[1], box[2], box[3]), size, on_bad_box, f"{where}, box {number}"
                )
                if kept is not None:
                    flags = {"difficult": difficult[number], "crowd": crowd[number]}
                    found.append(LabelledObject("dog", kept, **flags))
        except ValueError as error:
            raise DataError(f"{where}, {error}; correct the file") from error
        ids.append(image["id"])
        sizes.append(size)
        objects.append(tuple(found))
    return BoxTruth(path, tuple(_unique(ids, path)), tuple(sizes), tuple(objects), convention)


def stated_pixels(
    path: Path, document: Mapping[str, Any], pixels: Pixels | None, default: Pixels = "inclusive"
) -> Pixels:
    """Return the box convention of a JSON file of dogcam.

    Raises:
        DataError: if the file states an unknown convention, or another one than the user.
    """
    stated = document.get("pixels", pixels or default)
    if stated not in ("inclusive", "half-open"):
        raise DataError(f"{path} states the pixels {str(stated)[:40]!r}; expected inclusive or half-open")
    if pixels not in (None, stated):
        raise DataError(f"{path} states the pixels {stated!r}; found --pixels {pixels}")
    return stated


def shown(value: Any, limit: int = 80) -> str:
    """Return a value of a JSON file for a message, shortened to a limit of characters."""
    text = json.dumps(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def own_box(row: Any, names: Sequence[str], pixels: Pixels, what: str) -> tuple[float, ...]:
    """Return the half-open corners of a row, and its other numbers unchanged.

    Raises:
        ValueError: if it is not a list of numbers with these names, or its corners are swapped; the message
            states `what`.
    """
    text = shown(row)
    if not isinstance(row, list) or len(row) != len(names):
        raise ValueError(f"{what}: {text} is not a list of {len(names)} numbers; expected {list(names)}")
    if any(isinstance(value, str) for value in row):
        raise ValueError(f"{what}: {text} holds text; expected {list(names)}")
    values = [coordinate(value, f"{what}: {name} of {text}") for name, value in zip(names, row, strict=True)]
    shift = 1.0 if pixels == "inclusive" else 0.0
    x0, y0 = values[0] - shift, values[1] - shift
    least = 0.0 if pixels == "half-open" else 1e-9  # a VOC box of width 0 has swapped corners
    if values[2] - x0 < least or values[3] - y0 < least:
        raise ValueError(f"{what}: {text} has swapped corners; expected {list(names)}")
    return x0, y0, *values[2:]


def _required_rows(image: Mapping[str, Any]) -> list[Any]:
    rows = image.get("dogs")
    if not isinstance(rows, list):
        raise ValueError(f"dogs: {shown(rows)} is not a list of boxes; expected {TRUTH_FORM}")
    return rows


def _refuse_unknown_lists(image: Mapping[str, Any]) -> None:
    """Refuse a list that is not read: it may contain flags of the boxes, which would be lost."""
    unknown = [
        key for key, value in image.items() if isinstance(value, list) and key not in ("dogs", *_FLAGS)
    ]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a list that is read; expected dogs, {' or '.join(_FLAGS)}")


def _flag_of_each(image: Mapping[str, Any], key: str, length: int) -> list[bool]:
    """Return a flag of each box; by default it is not set."""
    flags = image.get(key, [0] * length)
    if not isinstance(flags, list) or len(flags) != length or any(flag not in (0, 1) for flag in flags):
        raise ValueError(f"{key}: {shown(flags)}; expected a 0 or 1 for each of {length} boxes")
    return [bool(flag) for flag in flags]
