"""The interface of a data format, and helpers of all formats: ids, image files, numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from dogcam.data.images import SUFFIXES
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_bytes
from dogcam.files.numbers import finite
from dogcam.structures.detections import MAX_COORDINATE
from dogcam.structures.images import LabelledImage, LabelledObject, Split


@dataclass(frozen=True)
class Annotation:
    """The annotation of one image as stated by its file, not yet checked against the image.

    Attributes:
        id: id of the image.
        path: the image file.
        source: the file of the annotation; None if there is none.
        size: stated (height, width) in pixels; None if the format states none.
        objects: the objects, with 0-based half-open xyxy boxes in pixels, or in fractions if `relative`.
        relative: whether boxes are in fractions of the width and height of the upright image.
        mask_path: file of the segmentation mask, which may be missing; None if the format has no masks.
    """

    id: str
    path: Path
    source: Path | None = None
    size: tuple[int, int] | None = None
    objects: tuple[LabelledObject, ...] = ()
    relative: bool = False
    mask_path: Path | None = None


@dataclass(frozen=True)
class Listing:
    """One split of a data set: its ids in order, and a function that reads one annotation.

    Attributes:
        ids: ids of the images.
        read: id -> annotation; raises a DataError with the file and the fault.
        mask_classes: classes of the mask values 1, 2, ...; None if there are no masks.
        has_truth: whether the images are annotated.
        notes: searches the data set, and returns what is not read, for the user.
    """

    ids: Sequence[str]
    read: Callable[[str], Annotation]
    mask_classes: tuple[str, ...] | None = None
    has_truth: bool = True
    notes: Callable[[], Sequence[str]] = tuple


Pixels = Literal["inclusive", "half-open"]
"""`inclusive` counts pixels from 1 and includes the last one, as VOC; `half-open` counts from 0."""


class Format(Protocol):
    """A data format: a module with these names."""

    NAME: str
    LAYOUT: str
    """The files of the format in one line, for error messages."""
    FILE_SUFFIXES: tuple[str, ...]
    """Suffixes of a file that is a data set by itself; none if a data set is always a folder."""
    PIXELS: Pixels | None
    """The convention of its boxes; None if each file states its own."""

    def find(self, path: Path) -> Path | None:
        """Return the root of the data set if `path` has this format, else None."""

    def split_names(self, root: Path) -> tuple[str, ...]:
        """Return the names of the splits, sorted."""

    def open_split(self, root: Path, split: str) -> Listing:
        """List a split. Raises a DataError that lists the existing splits if there is no such split."""

    def numbers(self, root: Path, split: str) -> tuple[dict[Any, str], dict[Any, str]]:
        """Return the images and the classes by the numbers that result files use; empty for names."""

    def write(self, root: Path, splits: Sequence[Split]) -> None:
        """Write annotations, lists of splits and copies of images to an empty folder.

        Raises a DataError if the format cannot represent the data set at all.
        """


def no_numbers(root: Path, split: str) -> tuple[dict[Any, str], dict[Any, str]]:
    """Return no numbers, as `Format.numbers` of a format whose result files use names."""
    return {}, {}


def image_id(text: str, source: Path) -> str:
    """Return the canonical form of an id: `a`, `./a` and `s/../a` are one image.

    Raises:
        DataError: if it names a file outside of the data set.

    >>> image_id("s/../a", Path("train.txt"))
    'a'
    """
    parts: list[str] = []
    for part in PurePosixPath(text).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(part)
    if not parts or "\0" in text or parts[0] == ".." or PurePosixPath(text).is_absolute():
        raise DataError(f"{source} names the image {text[:80]!r}; expected a name inside the data set")
    return "/".join(parts)


def without_suffix(name: str) -> str:
    """Return the name of an image without its suffix: `a` for `a.JPG`; other names are unchanged."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


class ImageFiles:
    """Finds the image files of a folder by id; each folder is listed once.

    Args:
        folder: the folder; ids may contain subfolders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str, stated: str = "") -> Path:
        """Return the image file of an id, with any suffix of images.

        Args:
            name: the id, with or without suffix.
            stated: the file name in the annotation, which selects one of several files.

        Raises:
            DataError: if there are several files and none is stated.
        """
        folder, base = (self.folder / name).parent, Path(name).name
        stems = self._listed(folder)
        found = stems.get(base) or []
        if not found and base in stems.get(without_suffix(base), ()):
            return folder / base
        if len(found) > 1 and stated not in found:
            raise DataError(
                f"{folder} has {len(found)} images of {base!r} ({', '.join(sorted(found))}); keep one"
            )
        if len(found) > 1:
            return folder / stated
        return folder / (found[0] if found else f"{base}.jpg")

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.suffix.lower() in SUFFIXES:
                    names.setdefault(path.stem, []).append(path.name)
            self._names[folder] = names
        return self._names[folder]


def no_such_split(root: Path, split: str, names: Sequence[str]) -> DataError:
    """Return the error for a missing split."""
    return DataError(
        f"{root} has no split {split!r}; the splits of this data set are: {', '.join(names) or 'none'}"
    )


def copy_image(image: LabelledImage, folder: Path) -> str:
    """Copy an image file to a folder, named after its id, with the original suffix.

    Returns:
        The name of the copy.
    """
    name = f"{image.id}{image.path.suffix}"
    atomic_write(folder / name, read_bytes(image.path))
    return name


def extent(start: float, stop: float) -> float:
    """Return the length for which `start + length` is exactly `stop`, or else the nearest length."""
    length = stop - start
    near = (length, math.nextafter(length, math.inf), math.nextafter(length, -math.inf))
    return next((each for each in near if start + each == stop), length)


def coordinate(value: object, what: str) -> float:
    """Convert a value of a file to a coordinate in pixels.

    Raises:
        ValueError: if it is not a number, or above `MAX_COORDINATE`; the message states `what`.
    """
    number = finite(value, what)
    if abs(number) > MAX_COORDINATE:
        raise ValueError(f"{what} is {number:g}; expected at most {MAX_COORDINATE:g} pixels")
    return number


def side(value: object, what: str) -> int:
    """Convert a value of a file to the side of an image in pixels; "500.0" is a whole number, too.

    Raises:
        ValueError: if it is not a whole number above 0; the message states `what`.
    """
    try:
        number = finite(value, what)
    except ValueError:
        number = 0.0
    if number < 1 or not number.is_integer():
        found = "missing" if value is None else repr(str(value)[:40])
        raise ValueError(f"{what} is {found}; expected a whole number of pixels")
    return int(number)
