"""PASCAL VOC: lists in ImageSets/Main, an XML for each image, masks; 1-based inclusive boxes."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, SubElement, TreeBuilder, indent, tostring

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from numpy.typing import ArrayLike

from dogcam.data.formats.base import (
    Annotation,
    ImageFiles,
    Listing,
    Pixels,
    coordinate,
    copy_image,
    image_id,
    no_numbers,
    side,
    without_suffix,
)
from dogcam.data.images import mask_png
from dogcam.errors import DataError
from dogcam.files import atomic_write, read_bytes, read_json, read_text
from dogcam.structures.boxes import Boxes, as_boxes
from dogcam.structures.images import LabelledImage, LabelledObject, Split

NAME = "voc"
LAYOUT = "ImageSets/Main/SPLIT.txt, Annotations/ID.xml, JPEGImages/ID.jpg"
FILE_SUFFIXES: tuple[str, ...] = ()
PIXELS: Pixels | None = "inclusive"
numbers = no_numbers

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""The 20 classes of VOC in alphabetical order; a checkpoint states its own order."""

MAX_DEPTH = 64
"""Maximum nesting of elements in an annotation."""

MAX_BYTES = 16_000_000
"""Maximum size of an annotation."""

MARKER = "sample.json"
"""The file that identifies the rendered sample."""

_FLAGS = ("difficult", "truncated", "crowd")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGGED = re.compile(r"\S.*?\s+(-1|0|1)")
"""A line of a list of one class: an id, and whether the class occurs in the image."""


def to_half_open(boxes: ArrayLike) -> Boxes:
    """Convert VOC boxes to half-open boxes.

    VOC counts pixels from 1 and includes the last one: xmin..xmax covers `xmax - xmin + 1` pixels. Counted
    from 0, these are `xmin - 1 <= x < xmax`, so only the first corner changes.

    Args:
        boxes: (N, 4) numbers, 1-based inclusive xyxy in pixels.

    Returns:
        (N, 4) float64 array, 0-based half-open xyxy in pixels.

    >>> to_half_open([[1, 1, 500, 375]]).tolist()
    [[0.0, 0.0, 500.0, 375.0]]
    """
    return as_boxes(boxes) - np.array([1.0, 1.0, 0.0, 0.0])


def to_inclusive(boxes: Boxes) -> Boxes:
    """Convert half-open boxes to VOC boxes: the inverse of `to_half_open`."""
    return as_boxes(boxes) + np.array([1.0, 1.0, 0.0, 0.0])


def find(path: Path) -> Path | None:
    """Return the folder with `ImageSets/Main`: `path`, or an unpacked VOC release inside it.

    Raises:
        DataError: if there is more than one.
    """
    if not path.is_dir():
        return None
    for folders in ([path], path.glob("VOC*"), path.glob("VOCdevkit/VOC*")):
        roots = sorted(root for root in folders if (root / "ImageSets" / "Main").is_dir())
        if len(roots) > 1:
            names = ", ".join(root.name for root in roots)
            raise DataError(f"{path} contains several data sets ({names}); name one of them")
        if roots:
            return roots[0]
    return None


def split_names(root: Path) -> tuple[str, ...]:
    """Return the names of the splits, sorted; lists of single classes are not splits."""
    # Listed rather than searched: a search finds nothing in a folder that cannot be read.
    paths = (path for path in (root / "ImageSets" / "Main").iterdir() if path.suffix == ".txt")
    return tuple(sorted(path.stem for path in paths if "_" not in path.stem or not _is_of_one_class(path)))


def open_split(root: Path, split: str) -> Listing:
    """List a split; ids may contain spaces, and the suffix of the image.

    Raises:
        DataError: if the list is missing or not UTF-8.
    """
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        there = ", ".join(split_names(root)) or "none"
        raise DataError(f"{path} does not exist; the splits of this data set are: {there}")
    images = ImageFiles(root / "JPEGImages")
    ids = [_existing_id(root, image_id(line, path)) for line in _lines(root, path)]
    return Listing(ids, lambda each: read_annotation(root, each, images), _mask_classes(root))


def read_annotation(root: Path, name: str, images: ImageFiles) -> Annotation:
    """Read one annotation.

    Raises:
        DataError: if the XML is missing or malformed.
    """
    path = root / "Annotations" / f"{name}.xml"
    try:
        tree = _parse(read_bytes(path, MAX_BYTES))
        size = (
            side(tree.findtext("size/height"), "size/height"),
            side(tree.findtext("size/width"), "size/width"),
        )
        objects = tuple(_parse_object(element) for element in tree.iter("object"))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        # LookupError: an encoding that Python does not have.
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is not a VOC annotation: {reason}; correct the file") from error
    photo = images.find(name, (tree.findtext("filename") or "").strip())
    return Annotation(name, photo, path, size, objects, mask_path=root / "SegmentationClass" / f"{name}.png")


def write(root: Path, splits: Sequence[Split]) -> None:
    """Write `ImageSets/Main`, `Annotations`, `JPEGImages` and, if there are masks, `SegmentationClass`.

    The flag crowd, which VOC does not have, is written as an element of this name.
    """
    classes = dict.fromkeys(split.mask_classes for split in splits if split.mask_classes)
    masked = any(image.has_mask for split in splits for image in split.images)
    if masked and len(classes) == 1:
        names = "".join(f"{name}\n" for name in next(iter(classes)))
        atomic_write(root / "SegmentationClass" / "classes.txt", names)
    for split in splits:
        lines = "".join(f"{image.id}\n" for image in split.images)
        atomic_write(root / "ImageSets" / "Main" / f"{split.name}.txt", lines)
        for image in split.images:
            copy_image(image, root / "JPEGImages")
            atomic_write(root / "Annotations" / f"{image.id}.xml", _annotation_xml(image))
            if image.has_mask and image.mask_path:
                atomic_write(root / "SegmentationClass" / f"{image.id}.png", mask_png(image))


def _annotation_xml(image: LabelledImage) -> bytes:
    root = Element("annotation")
    SubElement(root, "filename").text = f"{image.id}{image.path.suffix}"
    size = SubElement(root, "size")
    for key, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(size, key).text = str(value)
    for thing in image.objects:
        element = SubElement(root, "object")
        SubElement(element, "name").text = thing.name
        for key in _FLAGS:
            if key != "crowd" or thing.crowd:
                SubElement(element, key).text = str(int(getattr(thing, key)))
        box = SubElement(element, "bndbox")
        for key, value in zip(_CORNERS, to_inclusive(np.array([thing.box]))[0].tolist(), strict=True):
            SubElement(box, key).text = str(int(value)) if value.is_integer() else repr(value)
    indent(root)
    return tostring(root, encoding="utf-8") + b"\n"


class _ShallowBuilder(TreeBuilder):
    """Builds a tree of limited depth."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        """Open an element."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        """Close an element."""
        self.depth -= 1
        return super().end(tag)


def _parse(content: bytes) -> Element:
    parser = DefusedXMLParser(target=_ShallowBuilder(), forbid_dtd=False)
    parser.feed(content)
    return parser.close()


def _parse_object(element: Element) -> LabelledObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    corners = [element.findtext(f"bndbox/{key}") for key in _CORNERS]
    if None in corners:
        raise ValueError(f"an object ({name}) has no complete bndbox")
    numbers = [
        coordinate(corner, f"{key} of a {name}") for key, corner in zip(_CORNERS, corners, strict=True)
    ]
    flags = {key: (element.findtext(key) or "").strip() == "1" for key in _FLAGS}
    return LabelledObject(name, tuple(to_half_open([numbers])[0].tolist()), **flags)


def _lines(root: Path, path: Path) -> list[str]:
    """Return the ids of a list; lists of one class have a flag after each id, which is removed."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if _all_flagged(lines) and not _has_annotation(root, lines[0]):
        return [line.rsplit(None, 1)[0] for line in lines]
    return lines


def _is_of_one_class(path: Path) -> bool:
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return _all_flagged(lines) and not _has_annotation(path.parents[2], lines[0])


def _all_flagged(lines: list[str]) -> bool:
    return bool(lines) and all(_FLAGGED.fullmatch(line) for line in lines)


def _has_annotation(root: Path, name: str) -> bool:
    return (root / "Annotations" / f"{name}.xml").exists()


def _existing_id(root: Path, name: str) -> str:
    """Return an id without the suffix of an image, unless the name of an annotation contains it."""
    return name if _has_annotation(root, name) else without_suffix(name)


def _mask_classes(root: Path) -> tuple[str, ...]:
    """Return the classes of the mask values 1, 2, ...: of `SegmentationClass/classes.txt`, else VOC's.

    The rendered sample states its classes in `sample.json`.
    """
    path = root / "SegmentationClass" / "classes.txt"
    if path.is_file():
        return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    if (root / MARKER).is_file():
        match read_json(root / MARKER):
            case {"classes": [*names]} if all(isinstance(name, str) for name in names):
                return tuple(names)
    return CLASSES
