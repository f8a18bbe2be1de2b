"""A plain folder of photographs, without annotations: there is nothing to measure boxes with."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dogcam.data.formats.base import Annotation, Listing, copy_photo, no_such_split, without_suffix
from dogcam.data.images import SUFFIXES
from dogcam.structures.images import Split

NAME = "folder"
LAYOUT = "photographs in a folder, or in one folder for each split; nothing annotated"

ALL = "all"
"""The split of a folder that holds photographs itself."""


def find(path: Path) -> Path | None:
    """Return the folder if it holds photographs, or folders of photographs."""
    return path if path.is_dir() and split_names(path) else None


def split_names(root: Path) -> tuple[str, ...]:
    """Return `all`, or the names of the folders that hold photographs, sorted."""
    if _photos(root):
        return (ALL,)
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and _photos(path)))


def open_split(root: Path, split: str) -> Listing:
    """List the photographs, sorted by name.

    Raises:
        DataError: if there is no such split.
    """
    names = split_names(root)
    if split not in names:
        raise no_such_split(root, split, names)
    paths = _photos(root if split == ALL and names == (ALL,) else root / split)
    stems = [without_suffix(path.name) for path in paths]
    counts = Counter(stems)
    # The suffix is a part of the name if `a.jpg` and `a.png` are there.
    ids = [path.name if counts[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    photos = dict(zip(ids, paths, strict=True))
    return Listing(ids, lambda name: Annotation(name, photos[name]), has_truth=False)


def write(root: Path, splits: Sequence[Split]) -> None:
    """Copy the photographs of each split into its folder; annotations have no place here."""
    for split in splits:
        for image in split.images:
            copy_photo(image, root / split.name)


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
