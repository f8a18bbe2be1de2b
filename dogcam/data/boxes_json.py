"""Anybody's boxes from JSON: a ground-truth file and a detections file, in VOC's pixel convention."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogcam.data.formats.voc import to_half_open
from dogcam.errors import DataError
from dogcam.structures.detections import Detections, GroundTruth

GROUND_TRUTH_FORM = '{"images": [{"id", "width", "height", "dogs": [[xmin, ymin, xmax, ymax], ...]}, ...]}'
DETECTIONS_FORM = '{"id": [[xmin, ymin, xmax, ymax, score], ...], ...}'
"""The two forms, as messages show them."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """A ground-truth file: which images there are, in the order of the file, and what is in them.

    Args:
        ids: the images' ids.
        sizes: (n_images, 2) int array, (height, width) in pixels.
        ground_truth: the boxes, half-open xyxy in pixels.
    """

    ids: tuple[str, ...]
    sizes: NDArray[np.int64]
    ground_truth: GroundTruth


def read_ground_truth(path: Path) -> AnnotatedImages:
    """Read `{"images": [{"id", "width", "height", "dogs": [[xmin, ymin, xmax, ymax], ...]}, ...]}`.

    Boxes are 1-based inclusive pixels, as in VOC's XML; other keys are left alone.

    Raises:
        DataError: where the file is missing or malformed; the message names the file, the image and the
            fault.
    """
    document = _read_object(path, GROUND_TRUTH_FORM)
    images = document.get("images")
    if not isinstance(images, list) or not images:
        raise DataError(f"{path} has no images; expected {GROUND_TRUTH_FORM}")
    ids = tuple(_image_id(path, place, image) for place, image in enumerate(images))
    image_id, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path} lists the image {image_id!r} {count} times; list each image once")
    sizes = [(_side(path, image, "height"), _side(path, image, "width")) for image in images]
    boxes = [
        to_half_open(_read_rows(f"{path}: image {image['id']!r}", _required(path, image, "dogs"), _CORNERS))
        for image in images
    ]
    return AnnotatedImages(ids, np.array(sizes), GroundTruth.from_images(boxes))


def read_detections(path: Path, ids: tuple[str, ...]) -> Detections:
    """Read `{"id": [[xmin, ymin, xmax, ymax, score], ...], ...}`.

    Boxes are 1-based inclusive pixels. They are put in the order of the images, then in that of the file: the
    order that a stable ranking keeps among equal scores.

    Args:
        path: the file.
        ids: the images' ids; an image that the file does not name has no detections.

    Raises:
        DataError: where the file is missing or malformed or names an image that is not among `ids`; the
            message names the file, the image and the fault.
    """
    document = _read_object(path, DETECTIONS_FORM)
    known = set(ids)
    for image_id in document:
        if image_id not in known:
            raise DataError(
                f"{path} has boxes for the image {image_id!r}, which the ground truth does not list; "
                f"its ids look like {ids[0]!r}"
            )
    names = (*_CORNERS, "score")
    rows = [_read_rows(f"{path}: image {image_id!r}", document.get(image_id, []), names) for image_id in ids]
    return Detections.from_images([to_half_open(each[:, :4]) for each in rows], [each[:, 4] for each in rows])


def _read_object(path: Path, form: str) -> dict[str, Any]:
    """Read a JSON file whose outermost value is an object without repeated keys."""
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_unrepeated)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} holds {_shown(document)}; expected {form}")
    return document


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Left to itself the parser keeps the last of two equal keys, and half of the boxes are gone in silence.
    document = dict(pairs)
    if len(document) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key!r} stands twice in one object")
    return document


def _image_id(path: Path, place: int, image: Any) -> str:
    if not isinstance(image, dict):
        raise DataError(f"{path}: entry {place} of images is {_shown(image)}; expected an object with an id")
    if not isinstance(image.get("id"), str):
        found = _shown(image["id"]) if "id" in image else "missing"
        raise DataError(f"{path}: the id of entry {place} of images is {found}; expected a string")
    return image["id"]


def _required(path: Path, image: dict[str, Any], key: str) -> Any:
    if key not in image:
        raise DataError(f"{path}: image {image['id']!r} has no {key!r}; expected id, width, height and dogs")
    return image[key]


def _side(path: Path, image: dict[str, Any], key: str) -> int:
    value = _required(path, image, key)
    if type(value) is not int or value < 1:
        found = f"the {key} {_shown(value)}"
        raise DataError(f"{path}: image {image['id']!r} has {found}; expected a whole number of pixels")
    return value


def _read_rows(where: str, rows: Any, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Check the boxes of one image and return them as an array with a column for each name."""
    if not isinstance(rows, list):
        raise DataError(f"{where} has {_shown(rows)}; expected a list of boxes")
    for place, row in enumerate(rows):
        fault = _fault(row, names)
        if fault:
            raise DataError(f"{where}, box {place}: {_shown(row)} {fault}")
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _fault(row: Any, names: tuple[str, ...]) -> str:
    """Say what is wrong with a box; nothing where it is well."""
    expected = f"expected [{', '.join(names)}]"
    if not isinstance(row, list) or len(row) != len(names):
        return f"is not a list of {len(names)} numbers; {expected}"
    if not all(type(value) in (float, int) for value in row):
        return f"holds something that is not a number; {expected}"
    if not all(abs(value) <= sys.float_info.max for value in row):
        return f"holds a number that is not finite; {expected}"
    if row[0] > row[2] or row[1] > row[3]:
        return f"is turned inside out; {expected} with xmin <= xmax and ymin <= ymax"
    return ""


def _shown(value: Any, limit: int = 80) -> str:
    text = json.dumps(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
