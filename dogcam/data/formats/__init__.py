"""The data formats: one module each; adding one is a module and its entry in `FORMATS`."""

from pathlib import Path

from dogcam.data.formats import boxes_csv, coco, photo_folder, voc, yolo
from dogcam.data.formats.base import Format
from dogcam.errors import DataError

FORMATS: tuple[Format, ...] = (voc, yolo, coco, boxes_csv, photo_folder)
"""Every format, in the order in which a path is tried."""


def format_named(name: str) -> Format:
    """Return a format by its name, one of those in `FORMATS`."""
    return next(each for each in FORMATS if name == each.NAME)


def recognise(path: Path) -> tuple[Format, Path]:
    """Find the format of a data set.

    Returns:
        The format and the data set's root.

    Raises:
        DataError: if the path does not exist or holds no known format; the message lists them.
    """
    path = Path(path)
    for each in FORMATS:
        root = each.find(path)
        if root is not None:
            return each, root
    known = "; ".join(f"{each.NAME} ({each.LAYOUT})" for each in FORMATS)
    state = "holds no data set in a known format" if path.exists() else "does not exist"
    raise DataError(f"{path} {state}; the known formats are: {known}")
