"""YOLO: data.yaml, and a text file for each image, with boxes in fractions of its sides."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from dogcam.data.formats.base import (
    Annotation,
    Listing,
    Pixels,
    copy_image,
    image_id,
    no_such_split,
    without_suffix,
)
from dogcam.data.images import SUFFIXES
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_bytes, read_text
from dogcam.files.numbers import finite
from dogcam.structures.images import LabelledObject, Split

NAME = "yolo"
LAYOUT = "data.yaml (names, train, val, test), images/SPLIT/ID.jpg, labels/SPLIT/ID.txt"
FILE_SUFFIXES: tuple[str, ...] = (".yaml", ".yml")
PIXELS: Pixels | None = "half-open"

MAX_BYTES = 1_000_000
"""Bytes of a YAML file; its parser takes seconds for each million."""

_SPLITS = ("train", "val", "test")


def find(path: Path) -> Path | None:
    """Return the YAML file: `path`, or the only file in the folder that states class names."""
    if path.is_file():
        return path if path.suffix.lower() in FILE_SUFFIXES else None
    if not path.is_dir():
        return None
    found = sorted(file for suffix in FILE_SUFFIXES for file in path.glob(f"*{suffix}"))
    files = [file for file in found if _states_a_data_set(file)]
    if len(files) > 1:
        raise DataError(
            f"{path} contains several data sets ({', '.join(file.name for file in files)}); name one"
        )
    return files[0] if files else None


def split_names(root: Path) -> tuple[str, ...]:
    """Return the names of the splits that the YAML file states, sorted."""
    return tuple(sorted(name for name in _SPLITS if _read_yaml(root).get(name)))


def open_split(root: Path, split: str) -> Listing:
    """List the images of a split, sorted, or in the order of its list.

    Raises:
        DataError: if the YAML file or a label file is malformed, or a folder is missing.
    """
    document = _read_yaml(root)
    if split not in _SPLITS or not document.get(split):
        raise no_such_split(root, split, split_names(root))
    names = class_names(document, root)
    photos: dict[str, Path] = {}
    ids: list[str] = []
    for source in _sources(document, root, split):
        for name, path in _images(source):
            ids.append(name)
            photos[name] = path
    if ids and not any(label_path(path).is_file() for path in photos.values()):
        first = label_path(photos[ids[0]])
        raise DataError(f"{root}: no image of {split!r} has a label file, such as {first}")

    def read(name: str) -> Annotation:
        labels = label_path(photos[name])
        # By convention, an image without a label file has no objects.
        rows = read_labels(labels, names) if labels.exists() else ()
        objects = tuple(LabelledObject(each, box) for each, box, _ in rows)
        return Annotation(name, photos[name], labels, None, objects, relative=True)

    return Listing(ids, read)


def numbers(root: Path, split: str) -> tuple[dict[Any, str], dict[Any, str]]:
    """Return no numbers of images, and the class of each class number."""
    return {}, class_names(_read_yaml(root), root)


def class_names(document: dict[str, Any], path: Path) -> dict[int, str]:
    """Return the class of each class number.

    Raises:
        DataError: if `names` is neither a list of texts nor a mapping from numbers to texts.
    """
    stated = document.get("names")
    pairs = (
        enumerate(stated) if isinstance(stated, list) else stated.items() if isinstance(stated, dict) else ()
    )
    names = {number: str(name).strip() for number, name in pairs if isinstance(number, int)}
    if not names or len(set(names.values())) < len(names) or not all(names.values()):
        raise DataError(f"{path} has the names {str(stated)[:80]}; expected a different text for each class")
    return names


def label_path(photo: Path) -> Path:
    """Return the label file of an image: the last folder `images` in its path becomes `labels`."""
    parts = list(photo.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_labels(
    path: Path, names: dict[int, str], scored: bool = False
) -> list[tuple[str, tuple[float, float, float, float], float]]:
    """Read a label file with rows of class, centre x and y, width, height; or class and polygon points.

    Args:
        path: the file.
        names: the class of each class number.
        scored: each row has a sixth number, the score of a detection.

    Returns:
        Class, half-open xyxy in fractions, and score of each row (1 if not `scored`).

    Raises:
        DataError: if a row is malformed; the message states the line.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [finite(word, f"column {column}") for column, word in enumerate(words, start=1)]
            if not values[0].is_integer() or int(values[0]) not in names:
                raise ValueError(f"the class is {words[0]}; expected {min(names)} to {max(names)}")
            if scored and len(values) != 6:
                raise ValueError("expected class, centre x and y, width, height and score")
            rows.append((names[int(values[0])], _corners(values[1:5] if scored else values[1:]),
                         values[5] if scored else 1.0))  # fmt: skip
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; correct the file") from error
    return rows


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers after the class; expected 4, or the points of a polygon")
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])


def write(root: Path, splits: Sequence[Split]) -> None:
    """Write `data.yaml`, `images/SPLIT` and `labels/SPLIT`; the flags of objects are lost.

    Raises:
        DataError: if the name of a split is not train, val or test.
    """
    unknown = sorted({split.name for split in splits} - set(_SPLITS))
    if unknown:
        raise DataError(f"YOLO data sets have the splits {', '.join(_SPLITS)}; found {', '.join(unknown)}")
    classes = sorted({thing.name for split in splits for image in split.images for thing in image.objects})
    for split in splits:
        for image in split.images:
            copy_image(image, root / "images" / split.name)
            rows = [_row(classes.index(thing.name), thing.box, image.size) for thing in image.objects]
            atomic_write(root / "labels" / split.name / f"{image.id}.txt", "".join(rows))
    folders = {split.name: f"images/{split.name}" for split in splits}
    document = {**folders, "names": dict(enumerate(classes))}
    atomic_write(root / "data.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _row(number: int, box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    height, width = size
    x0, y0, x1, y1 = box
    values = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return " ".join([str(number), *map(repr, values)]) + "\n"


def _states_a_data_set(path: Path) -> bool:
    try:
        return bool(_read_yaml(path).get("names"))
    except DataError:
        return False


class _Loader(yaml.SafeLoader):
    """Refuses keys that occur twice, and references, by which a few lines unfold to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"the reference *{self.peek_event().anchor}; write the value in its place")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; PyYAML would keep the last value of a key that occurs twice."""
        seen: set[Hashable] = set()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if value in seen:
                raise yaml.YAMLError(f"the key {value!r} occurs twice; keep one")
            seen.add(value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(read_bytes(path, MAX_BYTES).decode("utf-8-sig"), Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # The parser's own constructors fail in many ways on values with a wrong tag.
        raise DataError(
            f"{path} is not valid YAML: {' '.join(str(error).split())[:200]}; correct the file"
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is not a YOLO data set; expected names, train, val and test")
    return document


def _sources(document: dict[str, Any], root: Path, split: str) -> list[Path]:
    """Return the folders or lists of a split, also if the data set was moved."""
    stated = document[split] if isinstance(document[split], list) else [document[split]]
    bases = [root.parent / str(document.get("path") or "."), root.parent]
    found = []
    for each in map(str, stated):
        # Exported files state `../train/images`, relative to a folder that does not exist.
        names = (each, each.removeprefix("../"))
        paths = [base / name for base in bases for name in names]
        there = next((path for path in paths if path.exists()), None)
        if there is None:
            raise DataError(
                f"{root}: {paths[-1]}, the images of {split!r}, does not exist; restore it, or "
                "correct the file"
            )
        found.append(there)
    return found


def _images(source: Path) -> list[tuple[str, Path]]:
    """Return ids and files of the images in a folder or a list."""
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        return [(without_suffix(path.relative_to(source).as_posix()), path) for path in paths]
    lines = [line.strip() for line in read_text(source).splitlines() if line.strip()]
    paths = [source.parent / line for line in lines]
    return [
        (without_suffix(_in_split(image_id(line.removeprefix("/"), source))), path)
        for line, path in zip(lines, paths, strict=True)
    ]


def _in_split(name: str) -> str:
    """Return the id of an image within its split: `a.jpg` for `images/train/a.jpg`."""
    head, _, tail = name.rpartition("images/")
    return tail.partition("/")[2] if tail.split("/")[0] in _SPLITS else tail if head or tail != name else name
