"""Read photographs and masks: upright, 8-bit RGB, from a stated list of formats, within a pixel limit."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.errors import DataError
from dogcam.files import limit_from, open_plain, read_bytes
from dogcam.structures.images import LabelledImage

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What is decoded. Pillow knows more, and starts a program for some, such as Ghostscript for EPS."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
"""The names' ends of photographs, in lower case, in order of preference."""

MAX_MEGAPIXELS = 120
"""Larger images are not decoded; DOGCAM_MAX_MEGAPIXELS of the environment changes it."""

VOID = 255
"""The value of mask pixels that belong to no class: the borders between objects."""

_UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, struct.error, EOFError, MemoryError,
               Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises for damaged files, depending on which byte is wrong."""

_WIDTH, _HEIGHT = 0x0100, 0x0101
"""The tags that state the size of a TIFF."""

_ORIENTATION = 0x0112
"""The EXIF tag that states how the camera was held."""

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

_LEAST_16_BIT_PEAK = 1 << 14
"""A 16-bit greyscale without a brighter pixel probably holds 10, 12 or 14 bits."""


@dataclass(frozen=True)
class Header:
    """What a photograph states before its pixels.

    Attributes:
        size: (height, width) in pixels as stored.
        turn: what turns it upright by its EXIF orientation; None if nothing does.
    """

    size: tuple[int, int]
    turn: Image.Transpose | None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the upright picture in pixels."""
        height, width = self.size
        return (width, height) if self.turn in _SWAPS_SIDES else (height, width)


_SWAPS_SIDES = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}


def read_photo(image: LabelledImage) -> Image.Image:
    """Read the photograph of an annotated image, upright and as RGB.

    Raises:
        DataError: if the file is missing, damaged or not of the annotated size.
    """
    picture = read_image(image.path)
    if picture.size != (image.width, image.height):
        source = image.annotation_path.name if image.annotation_path else "the annotation"
        raise DataError(
            f"{image.path} has {picture.size[0]} x {picture.size[1]} pixels, but {source} states "
            f"{image.width} x {image.height}; restore the original photograph or correct the annotation"
        )
    return picture


def read_image(path: Path, at_least: int | None = None) -> Image.Image:
    """Read a photograph as RGB, turned upright by its EXIF orientation.

    Transparent pixels are laid on white, as viewers show them. 16-bit greyscale is scaled to 8 bits.

    Args:
        path: the file.
        at_least: pixels a side that are needed; a JPEG is then decoded at 1/2, 1/4 or 1/8 of its size if both
            sides stay as long, which takes less memory and time. None for the full size.

    Raises:
        DataError: if the file is missing, damaged, of another format, too large, animated, or has values
            without a known white.
    """
    with _opened(path, "photograph") as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        picture = to_rgb(image, path)
        # Only now: if a PNG has its EXIF after the pixels, it is known after they were read.
        turn = _turn_of(image)
    return picture if turn is None else picture.transpose(turn)


def read_header(path: Path) -> Header:
    """Read the size and the orientation of a photograph without its pixels.

    Raises:
        DataError: as `read_image`, apart from faults of the pixels.
    """
    with _opened(path, "photograph") as image:
        # Pillow decodes a whole PNG to look for EXIF after the pixels.
        plain = image.format == "PNG" and not _mentions_exif(path)
        # Pillow states the upright size of a TIFF, its tags that of the stored pixels.
        tags = getattr(image, "tag_v2", {})
        size = (tags.get(_HEIGHT, image.height), tags.get(_WIDTH, image.width))
        return Header(size, None if plain else _turn_of(image))


def require_decodable(path: Path) -> None:
    """Decode the pixels of a photograph, JPEG at an eighth of its size, and keep nothing.

    Raises:
        DataError: as `read_image`.
    """
    with _opened(path, "photograph") as image:
        image.draft(None, (1, 1))  # every byte is still decoded, at a third of the time
        to_rgb(image, path)


def read_mask(image: LabelledImage) -> NDArray[np.uint8]:
    """Read the segmentation mask of an annotated image.

    Returns:
        (height, width) uint8 array of class indices, 0 the background, 255 void.

    Raises:
        DataError: if the mask is missing, damaged or of another size than the image.
    """
    if image.mask_path is None:
        raise DataError(f"the image {image.id!r} has no segmentation mask")
    with _opened(image.mask_path, "palette PNG mask", formats=("PNG",)) as file:
        turn = read_header(image.path).turn if image.annotated_as_stored else None
        mask = np.asarray(file if turn is None else file.transpose(turn), dtype=np.uint8)
    if mask.shape != image.size:
        raise DataError(f"{image.mask_path} has the shape {mask.shape}; its image has {image.size}")
    return mask


def mask_png(image: LabelledImage) -> bytes:
    """Return the file of a segmentation mask, turned upright with its photograph."""
    if not image.annotated_as_stored or image.mask_path is None:
        return read_bytes(image.mask_path or image.path)
    encoded = io.BytesIO()
    Image.fromarray(read_mask(image)).save(encoded, "PNG")
    return encoded.getvalue()


@contextmanager
def _opened(path: Path, kind: str, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open an image file of limited size; whatever Pillow raises becomes a DataError."""
    most = limit_from("DOGCAM_MAX_MEGAPIXELS", MAX_MEGAPIXELS)
    if Image.MAX_IMAGE_PIXELS and most * 1_000_000 > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most * 1_000_000  # Pillow's own limit, below the one that the user asked for
    with open_plain(path) as file:
        try:
            with Image.open(file, formats=formats) as image:
                _check_header(image, path, most)
                yield image
        except _UNREADABLE as error:
            reason = str(error).replace(repr(file), "it")
            raise DataError(f"{path} cannot be read as a {kind} ({reason}); replace the file") from error


def _check_header(image: Image.Image, path: Path, most: int) -> None:
    if image.width * image.height > most * 1_000_000:
        raise DataError(
            f"{path} has {image.width} x {image.height} pixels; at most {most} megapixels are decoded: "
            "make it smaller, or set DOGCAM_MAX_MEGAPIXELS"
        )
    # A phone's JPEG may hold a second view (MPO); the first one is the photograph.
    n_frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if n_frames > 1:
        raise DataError(f"{path} has {n_frames} frames; expected one picture: save the frame that is meant")


def to_rgb(image: Image.Image, name: Path | str = "the image") -> Image.Image:
    """Convert a picture to 8-bit RGB; transparent pixels are laid on white.

    Raises:
        DataError: if its values have no known white; `name` says which picture it is.
    """
    # Pillow alone clips larger values, so that nearly all of them become white.
    in_integers = image.mode == "I" and image.format in _16_BITS_IN_INTEGERS
    if image.mode.startswith("I;16") or in_integers:
        return _scaled(np.asarray(image), name)
    if image.mode in ("I", "F"):
        raise DataError(
            f"{name} has the mode {image.mode}, in which white may be any value; expected 8 or 16 bits a "
            "channel: scale its values, and save it as an 8-bit picture"
        )
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _scaled(values: NDArray[np.integer], name: Path | str) -> Image.Image:
    """Scale 16-bit greyscale to 8 bits."""
    peak = int(values.max())
    if 0 < peak < _LEAST_16_BIT_PEAK:
        raise DataError(
            f"{name} has 16 bits a pixel, but its brightest value is {peak} of 65535; it probably holds "
            f"{max(peak.bit_length(), 8)} bits: scale its values, and save it as an 8-bit picture"
        )
    return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return what turns an image upright; None if nothing does, or its EXIF cannot be read."""
    # ImageOps.exif_transpose also writes the EXIF, which fails on odd tags that do no harm.
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except _UNREADABLE:
        return None


def _mentions_exif(path: Path) -> bool:
    with open_plain(path) as file:
        content = file.read()
    return b"eXIf" in content or b"Raw profile type" in content
