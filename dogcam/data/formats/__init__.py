"""The data formats: one module each. To add one, write a module and add it to `ANNOTATED`."""

from pathlib import Path

from dogcam.data.formats import boxes_csv, coco, image_folder, voc, yolo
from dogcam.data.formats.base import Format
from dogcam.errors import DataError

ANNOTATED: tuple[Format, ...] = (voc, yolo, coco, boxes_csv)
"""The formats with annotations, in the order in which they are tried."""

FORMATS: tuple[Format, ...] = (*ANNOTATED, image_folder)
"""All formats. A folder of images is recognised only if no format finds annotations in it."""


def format_named(name: str) -> Format:
    """Return a format by its name, one of those in `FORMATS`."""
    return next(each for each in FORMATS if name == each.NAME)


def recognise(path: Path) -> tuple[Format, Path]:
    """Recognise the format of a data set.

    Returns:
        The format, and the root of the data set.

    Raises:
        DataError: if the path does not exist, or has no known format; the message lists the known formats.
    """
    path = Path(path)
    for each in FORMATS:
        root = each.find(path)
        if root is not None:
            return each, root
    known = "; ".join(f"{each.NAME} ({each.LAYOUT})" for each in FORMATS)
    state = "is not a data set in a known format" if path.exists() else "does not exist"
    raise DataError(f"{path} {state}; the known formats are: {known}")
