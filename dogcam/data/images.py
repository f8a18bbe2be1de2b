"""Read images and masks: upright, 8-bit RGB, of listed formats, within a pixel limit."""

import io
import itertools
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dogcam.errors import DataError
from dogcam.files import limit_from, open_plain, read_bytes, require_size
from dogcam.structures.images import LabelledImage

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Formats that are decoded. Pillow has more, and starts a program for some (Ghostscript for EPS)."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
"""Suffixes of image files in lower case, in order of preference."""

MAX_MEGAPIXELS = 120
"""Maximum size of an image; the environment variable DOGCAM_MAX_MEGAPIXELS changes it."""

VOID = 255
"""Value of mask pixels without a class: borders between objects."""

# Pillow warns of images that are within the limit here.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, struct.error, EOFError, MemoryError,
               Image.DecompressionBombError)  # fmt: skip
"""Exceptions of Pillow for damaged files."""

_WIDTH, _HEIGHT = 0x0100, 0x0101
"""TIFF tags of the size."""

_ORIENTATION = 0x0112
"""EXIF tag of the orientation of the camera."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns an image upright, by its EXIF orientation; none for 1 and invalid values."""

_PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG."""

_MOST_CHUNKS = 100_000
"""Chunks of a PNG that are read: usual programs write one for each 8 KiB or more of compressed pixels."""

_16_BITS_IN_INTEGERS = ("PNG", "PPM")
"""Formats of which Pillow reads 16-bit greyscale as 32-bit integers (PNG before Pillow 11)."""

_LEAST_16_BIT_PEAK = 1 << 14
"""Below this maximum, a 16-bit greyscale image probably has 10, 12 or 14 bits."""


@dataclass(frozen=True)
class Header:
    """Size and orientation of an image, from the header of its file.

    Attributes:
        size: (height, width) in pixels as stored.
        turn: the operation that turns it upright by its EXIF orientation; None for none.
    """

    size: tuple[int, int]
    turn: Image.Transpose | None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the upright image in pixels."""
        height, width = self.size
        return (width, height) if self.turn in _SWAPS_SIDES else (height, width)


_SWAPS_SIDES = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}


def read_pixels(
    image: LabelledImage, at_least: int | None = None, content: bytes | None = None
) -> Image.Image:
    """Read the pixels of an annotated image, upright and as RGB.

    Args:
        image: the image; `image.size` remains the size to which its boxes refer.
        at_least, content: as for `read_reduced`.

    Raises:
        DataError: if the file is missing, damaged or not of the annotated size.
    """
    pixels, (height, width) = read_reduced(image.path, at_least, content)
    if (height, width) != image.size:
        source = image.annotation_path.name if image.annotation_path else "the annotation"
        raise DataError(
            f"{image.path} has {width} x {height} pixels, but {source} states "
            f"{image.width} x {image.height}; restore the original image or correct the annotation"
        )
    return pixels


def read_image(path: Path) -> Image.Image:
    """Read an image as RGB, turned upright by its EXIF orientation.

    Transparent pixels are composited on white. 16-bit greyscale is scaled to 8 bits.

    Raises:
        DataError: if the file is missing, damaged, in another format, too large, animated, or its range of
            values is unknown.
    """
    return read_reduced(path, None)[0]


def read_reduced(
    path: Path, at_least: int | None, content: bytes | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Read an image as `read_image` does, a large JPEG at 1/2, 1/4 or 1/8 of its size.

    A JPEG that is decoded small takes less memory and time.

    Args:
        path: the file.
        at_least: minimum length of both sides in pixels; None for the full size.
        content: of the file, if it is not to be read.

    Returns:
        The pixels, and the (height, width) of the full upright image.

    Raises:
        DataError: as `read_image`.
    """
    with _opened(path, "an image", content=content) as image:
        full = (image.height, image.width)
        if at_least:
            image.draft(None, (at_least, at_least))
        reduced = (image.height, image.width) != full
        pixels = to_rgb(image, path)
        # After reading: the EXIF of a PNG may follow its pixels.
        turn = _turn_of(image)
    if turn is not None:
        pixels = pixels.transpose(turn)
    return pixels, Header(full, turn).upright_size if reduced else (pixels.height, pixels.width)


def read_header(path: Path) -> Header:
    """Read the size and the orientation of an image without its pixels.

    Raises:
        DataError: as `read_image`, except for faults of the pixels.
    """
    with _opened(path, "an image") as image:
        # Pillow decodes a whole PNG to find EXIF after the pixels.
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
    with _opened(path, "an image") as image:
        image.draft(None, (1, 1))  # every byte is still decoded, at a third of the time
        to_rgb(image, path)


def read_mask(image: LabelledImage) -> NDArray[np.uint8]:
    """Read the segmentation mask of an annotated image.

    Returns:
        (height, width) uint8 array of class indices; 0 for background, 255 for void.

    Raises:
        DataError: if the mask is missing or damaged, or has another size than the image.
    """
    if image.mask_path is None:
        raise DataError(f"the image {image.id!r} has no segmentation mask; add one, or do without masks")
    with _opened(image.mask_path, "a palette PNG mask", formats=("PNG",)) as file:
        turn = read_header(image.path).turn if image.annotated_as_stored else None
        mask = np.asarray(file if turn is None else file.transpose(turn), dtype=np.uint8)
    if mask.shape != image.size:
        colours = "; convert its colours to class indices" if mask.ndim > 2 else ""
        raise DataError(
            f"{image.mask_path} has the shape {mask.shape}; expected {image.size}, that of its image{colours}"
        )
    return mask


def mask_png(image: LabelledImage) -> bytes:
    """Return the content of the file of a segmentation mask, turned upright with its image."""
    if not image.annotated_as_stored or image.mask_path is None:
        return read_bytes(image.mask_path or image.path)
    encoded = io.BytesIO()
    Image.fromarray(read_mask(image)).save(encoded, "PNG")
    return encoded.getvalue()


@contextmanager
def _opened(
    path: Path, kind: str, formats: tuple[str, ...] = FORMATS, content: bytes | None = None
) -> Iterator[Image.Image]:
    """Open an image file of limited size, or its content; exceptions of Pillow become a DataError."""
    most = limit_from("DOGCAM_MAX_MEGAPIXELS", MAX_MEGAPIXELS)
    if Image.MAX_IMAGE_PIXELS and most * 1_000_000 > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most * 1_000_000  # Pillow's own limit is below that of the user
    with open_plain(path) if content is None else io.BytesIO(content) as file:
        require_size(file, path)
        try:
            _require_few_chunks(file)
            with Image.open(file, formats=formats) as image:
                _check_header(image, path, most)
                yield image
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path} has an unknown format; expected {', '.join(formats)}: convert the file"
            ) from error
        except _UNREADABLE as error:
            reason = str(error).replace(repr(file), "it") or type(error).__name__
            raise DataError(f"{path} cannot be read as {kind} ({reason}); replace the file") from error


def _check_header(image: Image.Image, path: Path, most: int) -> None:
    if image.width * image.height > most * 1_000_000:
        raise DataError(
            f"{path} has {image.width} x {image.height} pixels; at most {most} megapixels are decoded: "
            "resize it, or set DOGCAM_MAX_MEGAPIXELS"
        )
    # A JPEG of a phone may contain a second view (MPO); the first one is the image. The frames are not
    # counted: a file can have millions.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise DataError(f"{path} has several frames; expected one: save one frame as an image")


def to_rgb(image: Image.Image, name: Path | str = "the image") -> Image.Image:
    """Convert an image to 8-bit RGB; transparent pixels are composited on white.

    Raises:
        DataError: if the range of its values is unknown; the message states `name`.
    """
    # Pillow itself clips larger values, so nearly all become white.
    in_integers = image.mode == "I" and image.format in _16_BITS_IN_INTEGERS
    if image.mode.startswith("I;16") or in_integers:
        return _scaled(np.asarray(image), name)
    if image.mode in ("I", "F"):
        raise DataError(
            f"{name} has the mode {image.mode}, whose range of values is unknown; expected 8 or 16 bits per "
            "channel: scale its values, and save it as an 8-bit image"
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
            f"{name} has 16 bits per pixel, but its maximum is {peak} of 65535; it probably has "
            f"{max(peak.bit_length(), 8)} bits: scale its values, and save it as an 8-bit image"
        )
    # Rounded in integers, which take an eighth of the memory of floats.
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the operation that turns an image upright; None for none, or if its EXIF is unreadable."""
    # ImageOps.exif_transpose also writes the EXIF, which fails on harmless unusual tags.
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except _UNREADABLE:
        return None


def _mentions_exif(path: Path) -> bool:
    """Return whether a PNG has a chunk of EXIF, or of text in which some programs write it."""
    with open_plain(path) as file:
        return any(
            kind == b"eXIf" or start.startswith(b"Raw profile type") for kind, start in _png_chunks(file)
        )


def _require_few_chunks(file: BinaryIO) -> None:
    """Refuse a PNG with very many chunks, for which Pillow takes minutes.

    Raises:
        ValueError: if it has more than `_MOST_CHUNKS`.
    """
    n = sum(1 for _ in itertools.islice(_png_chunks(file), _MOST_CHUNKS + 1))
    file.seek(0)
    if n > _MOST_CHUNKS:
        raise ValueError(f"it has more than {_MOST_CHUNKS:,} chunks")


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the first bytes of each chunk of a PNG; nothing for other files."""
    if file.read(len(_PNG)) != _PNG:
        return
    position = len(_PNG)
    while len(head := file.read(24)) >= 8 and head[4:8] != b"IEND":
        yield head[4:8], head[8:]
        position += int.from_bytes(head[:4], "big") + 12
        file.seek(position)
