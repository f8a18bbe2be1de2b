"""The images that a command line names: files, folders and lists."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dogcam.data.images import SUFFIXES
from dogcam.errors import ConfigError, DataError
from dogcam.files import read_text


def images_at(paths: Sequence[Path]) -> list[Path]:
    """Return the images at some paths, each once, in the order in which they are found.

    Args:
        paths: images; folders, of which every image at any depth is taken, sorted by its path; and `.txt`
            files with one path a line, relative to the folder of the list.

    Raises:
        DataError: if a folder or a list holds no image, or a list cannot be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            images = sorted(
                each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file()
            )
        elif path.suffix.lower() == ".txt":
            lines = (line.strip() for line in read_text(path).splitlines())
            images = [path.parent / line for line in lines if line]
        else:
            images = [path]
        if not images:
            raise DataError(f"{path} holds no image; expected files that end in {', '.join(SUFFIXES)}")
        found |= dict.fromkeys(images)
    return list(found)


def require_distinct_stems(images: Sequence[Path]) -> None:
    """Refuse images of the same name without suffix, whose output files would have one name.

    Raises:
        ConfigError: if there are any.
    """
    stem, number = Counter(path.stem for path in images).most_common(1)[0]
    if number > 1:
        raise ConfigError(
            f"{number} images are called {stem}, and their output files would overwrite each other; run the "
            "command for each folder with another --out"
        )
