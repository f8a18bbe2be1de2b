"""What a reader of a data format returns, and what every reader needs: ids, photographs, numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from dogcam.data.images import SUFFIXES
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_bytes
from dogcam.structures.detections import MAX_COORDINATE
from dogcam.structures.images import LabelledImage, LabelledObject, Split


@dataclass(frozen=True)
class Annotation:
    """One image as its file states it; nothing is checked against the photograph yet.

    Attributes:
        id: the image's name.
        path: the file of the photograph.
        source: the file that the objects were read from; None if there is none.
        size: (height, width) in pixels as stated; None if the format states none.
        objects: boxes are 0-based half-open xyxy: in pixels, or fractions of the upright picture.
        relative: the boxes are fractions of the upright picture's width and height.
        mask_path: where the mask is if there is one.
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
    """One split of a data set: its ids, in order, and the function that reads one of them.

    Attributes:
        ids: the images' ids.
        read: takes an id; raises a DataError that names file and fault.
        mask_classes: the classes of the mask values 1, 2, ...; None if there are no masks.
        has_truth: whether the images are annotated.
    """

    ids: Sequence[str]
    read: Callable[[str], Annotation]
    mask_classes: tuple[str, ...] | None = None
    has_truth: bool = True


class Format(Protocol):
    """A data format: one module each, which offers these names."""

    NAME: str
    LAYOUT: str
    """The files, in one line, as error messages show them."""

    def find(self, path: Path) -> Path | None:
        """Return the data set's root if `path` holds one of this format, else None."""

    def split_names(self, root: Path) -> tuple[str, ...]:
        """Return the names of the splits, sorted."""

    def open_split(self, root: Path, split: str) -> Listing:
        """List a split. Raises a DataError if it does not exist, and names those that do."""

    def write(self, root: Path, splits: Sequence[Split]) -> None:
        """Write annotations and lists of splits beside copies of their photographs, into an empty folder.

        Raises a DataError if the format cannot hold a data set at all.
        """


def image_id(text: str, source: Path) -> str:
    """Return an id in one spelling: `a`, `./a` and `s/../a` name one image.

    Raises:
        DataError: if it names a file outside the data set.
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
    """Return a photograph's name without its suffix: `a` for `a.JPG`; other names stay as they are."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


class Photographs:
    """The photographs of a folder by their name without suffix; a folder is listed once.

    Args:
        folder: the folder; ids may name subfolders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str, stated: str = "") -> Path:
        """Return the photograph of an id, whatever its suffix.

        Args:
            name: the id, with or without suffix.
            stated: the file name that the annotation states; it decides between several.

        Raises:
            DataError: if there are several and none is stated.
        """
        folder, base = (self.folder / name).parent, Path(name).name
        stems = self._listed(folder)
        found = stems.get(base) or []
        if not found and base in stems.get(without_suffix(base), ()):
            return folder / base
        if len(found) > 1 and stated not in found:
            raise DataError(
                f"{folder} has {len(found)} photographs of {base!r} ({', '.join(sorted(found))}); keep one"
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
    """Return the error for a split that a data set does not have."""
    return DataError(
        f"{root} has no split {split!r}; the splits of this data set are: {', '.join(names) or 'none'}"
    )


def copy_photo(image: LabelledImage, folder: Path) -> str:
    """Copy a photograph into a folder under its id and its own suffix.

    Returns:
        Its name in the folder.
    """
    name = f"{image.id}{image.path.suffix}"
    atomic_write(folder / name, read_bytes(image.path))
    return name


def extent(start: float, stop: float) -> float:
    """Return the length for which `start + length` is exactly `stop`, or the nearest one."""
    length = stop - start
    near = (length, math.nextafter(length, math.inf), math.nextafter(length, -math.inf))
    return next((each for each in near if start + each == stop), length)


def finite(value: object, what: str) -> float:
    """Return a number of a file as float.

    Raises:
        ValueError: if it is none, or not finite; `what` names it.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{what} is {str(value)[:40]!r}; expected a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{what} is {str(value)[:40]!r}; expected a finite number")
    return number


def coordinate(value: object, what: str) -> float:
    """Return a coordinate of a box in pixels.

    Raises:
        ValueError: if it is no number, or beyond `MAX_COORDINATE`; `what` names it.
    """
    number = finite(value, what)
    if abs(number) > MAX_COORDINATE:
        raise ValueError(f"{what} is {number:g}; expected at most {MAX_COORDINATE:g} pixels")
    return number


def side(value: object, what: str) -> int:
    """Return a side of an image in pixels; some programs write whole numbers as floats ("500.0").

    Raises:
        ValueError: if it is no whole number above 0; `what` names it.
    """
    try:
        number = finite(value, what)
    except ValueError:
        number = 0.0
    if number < 1 or not number.is_integer():
        found = "missing" if value is None else repr(str(value)[:40])
        raise ValueError(f"{what} is {found}; expected a whole number of pixels")
    return int(number)
