"""The PASCAL VOC layout: splits, annotations, photographs and masks, and VOC's pixel convention."""

import hashlib
import struct
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dogcam.data.splits import split_name, subset_of
from dogcam.errors import DataError
from dogcam.structures.boxes import Boxes, as_boxes

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""VOC's twenty classes in alphabetical order; a checkpoint states its own order."""

VOID = 255
"""The value of mask pixels that belong to no class: the borders between objects."""

_UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for damaged files, depending on which byte is wrong."""

_ORIENTATION = 0x0112
"""The EXIF tag that tells how the camera was held."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a photograph upright, by its orientation; 1 needs nothing, and odd values count as 1."""

_16_BITS_IN_INTEGERS = ("PNG", "PPM")
"""Formats whose 16-bit greyscale comes in 32-bit integers, 65535 being white; PNG before Pillow 11."""


def to_half_open(boxes: ArrayLike) -> Boxes:
    """Convert VOC boxes to the half-open boxes that the rest of the program uses.

    VOC counts pixels from 1 and includes the last one, so xmin..xmax covers `xmax - xmin + 1` pixels, which
    are `xmin - 1 <= x < xmax` counted from 0: only the first corner moves.

    Args:
        boxes: (N, 4) numbers, 1-based inclusive xyxy in pixels.

    Returns:
        (N, 4) float64 array, 0-based half-open xyxy in pixels.
    """
    return as_boxes(boxes) - np.array([1.0, 1.0, 0.0, 0.0])


def to_inclusive(boxes: Boxes) -> Boxes:
    """Convert half-open boxes to VOC's: the inverse of `to_half_open`."""
    return as_boxes(boxes) + np.array([1.0, 1.0, 0.0, 0.0])


@dataclass(frozen=True)
class LabelledObject:
    """One annotated object: its class, its box (0-based half-open xyxy in pixels) and VOC's two flags."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool
    truncated: bool


@dataclass(frozen=True)
class LabelledImage:
    """One photograph of a split with what is annotated in it; pixels are read on demand."""

    id: str
    path: Path
    annotation_path: Path
    height: int
    width: int
    objects: tuple[LabelledObject, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, as annotated."""
        return self.height, self.width

    @property
    def labels(self) -> frozenset[str]:
        """The names of the classes that occur in the image: all that a classifier is trained on."""
        return frozenset(thing.name for thing in self.objects)

    def objects_of(self, name: str) -> tuple[LabelledObject, ...]:
        """Return the objects of one class, in the order of the file."""
        return tuple(thing for thing in self.objects if thing.name == name)

    def boxes_of(self, name: str) -> Boxes:
        """Return the boxes of one class: (M, 4) float64 array, half-open xyxy in pixels."""
        return as_boxes([thing.box for thing in self.objects_of(name)])

    @property
    def mask_path(self) -> Path:
        """Where the segmentation mask stands if the data set has one for this image."""
        return self.path.parents[1] / "SegmentationClass" / f"{self.id}.png"

    def read(self) -> Image.Image:
        """Read the photograph as RGB.

        Raises:
            DataError: where the file is missing, damaged or not of the annotated size.
        """
        image = read_image(self.path)
        if image.size != (self.width, self.height):
            found = f"{image.size[0]} x {image.size[1]}"
            raise DataError(
                f"{self.path} is {found} pixels, but {self.annotation_path.name} says "
                f"{self.width} x {self.height}; restore the original photograph or mend the annotation"
            )
        return image

    def read_mask(self) -> NDArray[np.uint8]:
        """Read the segmentation mask.

        Returns:
            (height, width) uint8 array of class indices, 0 the background, 255 void.

        Raises:
            DataError: where the mask is missing, damaged or of another size than the image.
        """
        try:
            with Image.open(self.mask_path) as file:
                mask = np.asarray(file, dtype=np.uint8)
        except _UNREADABLE as error:
            raise DataError(f"{self.mask_path} cannot be read as a palette PNG mask ({error})") from error
        if mask.shape != self.size:
            raise DataError(f"{self.mask_path} has the shape {mask.shape}; its image has {self.size}")
        return mask


@dataclass(frozen=True)
class Split:
    """The images of one split of one data set, in the order of its list."""

    root: Path
    name: str
    images: tuple[LabelledImage, ...]

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def manifest(self) -> str:
        """SHA-256 over the ids, photographs and annotations, in order: two equal manifests are equal data."""
        digest = hashlib.sha256()
        for image in self.images:
            # Sums of fixed length, so that bytes cannot move from one file to the next unnoticed.
            parts = (image.id.encode(), _read_bytes(image.path), _read_bytes(image.annotation_path))
            for part in parts:
                digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    @cached_property
    def masks_sha256(self) -> str:
        """SHA-256 over the segmentation masks, in order, and over which images have none."""
        digest = hashlib.sha256()
        for image in self.images:
            found = _read_bytes(image.mask_path) if image.mask_path.is_file() else b"none"
            digest.update(hashlib.sha256(found).digest())
        return digest.hexdigest()

    def describe(self) -> dict:
        """Return which images these are, so that they can be told from others: plain values for JSON."""
        return {"split": self.name, "n_images": len(self), "manifest": self.manifest}

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that occur, sorted."""
        return tuple(sorted(set().union(*(image.labels for image in self.images))))


def find_root(folder: Path) -> Path:
    """Find the folder that holds `ImageSets`: the given one, or a VOC release unpacked inside it.

    Raises:
        DataError: where there is none, or more than one.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected a data set in VOC layout")
    for places in ([folder], folder.glob("VOC*"), folder.glob("VOCdevkit/VOC*")):
        roots = sorted(path for path in places if (path / "ImageSets" / "Main").is_dir())
        if len(roots) > 1:
            names = ", ".join(root.name for root in roots)
            raise DataError(f"{folder} holds several data sets ({names}); name one of them")
        if roots:
            return roots[0]
    raise DataError(
        f"{folder} has no ImageSets/Main; expected the VOC layout "
        "(ImageSets/Main/SPLIT.txt, Annotations/ID.xml, JPEGImages/ID.jpg)"
    )


def split_names(root: Path) -> tuple[str, ...]:
    """Return the names of the splits that a data set offers, sorted; per-class lists are left out."""
    names = (path.stem for path in (root / "ImageSets" / "Main").glob("*.txt"))
    return tuple(sorted(name for name in names if "_" not in name))


def read_split(folder: Path, split: str, limit: int | None = None) -> Split:
    """Read the list and the annotations of a split.

    Args:
        folder: a data set in VOC layout, or a folder that a VOC release was unpacked in.
        split: name of a list in `ImageSets/Main`, such as `val`, or a part of one, such as `train[2000:]`
            (see `dogcam.data.splits`).
        limit: how many images to take from the start of the list; all of them by default.

    Raises:
        DataError: where the list or an annotation is missing or malformed; the message names the file.
    """
    root = find_root(Path(folder))
    ids = read_list(root, split)[:limit]
    return Split(root, split, tuple(read_annotation(root, image_id) for image_id in ids))


def read_list(root: Path, split: str) -> list[str]:
    """Read the ids of a split in the order of its list, or those of a part in the order of parts.

    Raises:
        DataError: where the list is missing, empty or no text, or names an image twice, or has no such part.
    """
    path = root / "ImageSets" / "Main" / f"{split_name(split)}.txt"
    if not path.is_file():
        there = ", ".join(split_names(root)) or "none"
        raise DataError(f"{path} does not exist; the splits of this data set are: {there}")
    ids = [line.split()[0] for line in _read_text(path).splitlines() if line.strip()]
    if not ids:
        raise DataError(f"{path} is empty; expected one image id a line")
    if len(set(ids)) != len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise DataError(f"{path} lists {twice} more than once; an image must not be counted twice")
    return subset_of(ids, split)


def read_annotation(root: Path, image_id: str) -> LabelledImage:
    """Read one annotation.

    Raises:
        DataError: where the XML is missing or malformed, or a box is not inside its image.
    """
    path = root / "Annotations" / f"{image_id}.xml"
    try:
        tree = ET.fromstring(_read_bytes(path))
        width, height = _parse_side(tree, "size/width"), _parse_side(tree, "size/height")
        objects = tuple(_parse_object(element) for element in tree.iter("object"))
    except (ET.ParseError, ValueError, LookupError) as error:  # the last for an encoding that Python lacks
        raise DataError(f"{path} is not a VOC annotation: {error}") from error
    for thing in objects:
        x0, y0, x1, y1 = thing.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            inclusive = to_inclusive([thing.box])[0].tolist()
            raise DataError(
                f"{path}: the box {inclusive} of a {thing.name} is empty or leaves the image of "
                f"{width} x {height} pixels; expected 1 <= xmin <= xmax <= width, and likewise for y"
            )
    return LabelledImage(image_id, root / "JPEGImages" / f"{image_id}.jpg", path, height, width, objects)


def read_image(path: Path, upright: bool = False) -> Image.Image:
    """Read a photograph as RGB.

    Args:
        path: any picture that Pillow reads; 16-bit greyscale is scaled to 8 bits.
        upright: turn it as its EXIF orientation asks; VOC's boxes count the pixels as they are stored.

    Raises:
        DataError: where the file is missing, damaged, no picture, or of values that have no known white.
    """
    try:
        with Image.open(path) as file:
            image = _to_rgb(file, path)
            # Only now: where a PNG has its EXIF behind the pixels, it is known after they were read.
            turn = _turn_of(file) if upright else None
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as a photograph ({error}); replace the file") from error
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Convert to 8-bit RGB; Pillow alone cuts larger values off, so that nearly all of them become white."""
    in_integers = image.mode == "I" and image.format in _16_BITS_IN_INTEGERS
    if image.mode.startswith("I;16") or in_integers:
        shades = np.rint(np.asarray(image) / 257).astype(np.uint8)
        return Image.fromarray(shades).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError(
            f"{path} has the mode {image.mode}, in which white may be any value; expected 8 or 16 bits a "
            "channel: scale its values, and save it as an 8-bit picture"
        )
    return image.convert("RGB")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return what turns an image upright; None where nothing does, or its EXIF cannot be read."""
    # ImageOps.exif_transpose writes the EXIF anew, which fails on odd tags that harm nobody.
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    except _UNREADABLE:
        return None


def _parse_side(tree: ET.Element, key: str) -> int:
    """Return a side of the image in pixels; some programs write whole numbers as floats ("500.0")."""
    text = tree.findtext(key)
    try:
        side = float(text or "")
    except ValueError:
        side = float("nan")
    if not side.is_integer():
        found = "missing" if text is None else repr(text)
        raise ValueError(f"{key} is {found}; expected a whole number of pixels")
    return int(side)


def _parse_object(element: ET.Element) -> LabelledObject:
    name = element.findtext("name", "").strip()
    if not name:
        raise ValueError("an object has no name")
    corners = [element.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    if None in corners:
        raise ValueError(f"an object ({name}) has no complete bndbox")
    box = to_half_open([[float(corner) for corner in corners]])[0]
    flags = {key: element.findtext(key, "0").strip() == "1" for key in ("difficult", "truncated")}
    return LabelledObject(name, tuple(box.tolist()), **flags)


def _read_text(path: Path) -> str:
    """Read UTF-8, without the mark that some editors put in front and that would become part of an id."""
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it so, with one image id a line") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
