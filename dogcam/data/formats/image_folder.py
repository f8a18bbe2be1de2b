"""A folder of images without annotations."""

from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from dogcam.data.formats import boxes_csv
from dogcam.data.formats.base import (
    Annotation,
    Listing,
    Pixels,
    copy_image,
    no_numbers,
    no_such_split,
    without_suffix,
)
from dogcam.data.images import SUFFIXES
from dogcam.errors import DataError
from dogcam.structures.images import Split

NAME = "folder"
LAYOUT = "images in a folder, or in one folder for each split; no annotations"
FILE_SUFFIXES: tuple[str, ...] = ()
PIXELS: Pixels | None = None
numbers = no_numbers

_ANNOTATIONS = (".csv", ".json", ".xml", ".yaml", ".yml", ".txt")
"""Suffixes of files that may be annotations; a text file is one if it is named after an image."""

ALL = "all"
"""The split of a folder that contains images itself."""


def find(path: Path) -> Path | None:
    """Return the folder if it contains images, or folders of images."""
    return path if path.is_dir() and split_names(path) else None


def split_names(root: Path) -> tuple[str, ...]:
    """Return `all`, or the names of the folders with images, sorted."""
    if _photos(root):
        return (ALL,)
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and _photos(path)))


def open_split(root: Path, split: str) -> Listing:
    """List the images, sorted by name.

    Raises:
        DataError: if there is no such split.
    """
    names = split_names(root)
    if split not in names:
        raise no_such_split(root, split, names)
    paths = _photos(root if split == ALL and names == (ALL,) else root / split)
    stems = [without_suffix(path.name) for path in paths]
    counts = Counter(stems)
    # The suffix belongs to the id if both `a.jpg` and `a.png` exist.
    ids = [path.name if counts[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    photos = dict(zip(ids, paths, strict=True))
    return Listing(
        ids, lambda name: Annotation(name, photos[name]), has_truth=False,
        notes=lambda: _unread(root, set(ids)),
    )  # fmt: skip


def _unread(root: Path, ids: Set[str]) -> tuple[str, ...]:
    """Return a note if the folder contains files that may be annotations.

    The JSON and CSV files of `dogcam detect`, whose default names begin with `detections`, are none.
    """
    files = sorted(path for path in root.rglob("*.*") if path.suffix.lower() in _ANNOTATIONS)
    found = [
        path
        for path in files
        if not path.stem.startswith("detections") and (path.suffix.lower() != ".txt" or path.stem in ids)
    ]
    if not found:
        return ()
    reason = ""
    if found[0].suffix.lower() in boxes_csv.FILE_SUFFIXES:
        try:
            boxes_csv.read_rows(found[0])
        except DataError as error:
            reason = f": {error}"
    others = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    return (
        f"{root} is read as images without annotations; {found[0].name}{others} may be annotations, but the "
        f"folder has no known format for them{reason}",
    )


def write(root: Path, splits: Sequence[Split]) -> None:
    """Copy the images of each split to its folder; annotations are lost."""
    for split in splits:
        for image in split.images:
            copy_image(image, root / split.name)


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
