"""Images from arrays, tensors, Pillow images and files, as 8-bit RGB."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dogcam.data.images import read_reduced, to_rgb
from dogcam.errors import DataError

ImageSource: TypeAlias = "str | PathLike[str] | Image.Image | NDArray | Tensor | LoadedImage"
"""A file, a Pillow image, an (H, W, 3) or (H, W) array, or a (3, H, W) tensor."""

ImageSources: TypeAlias = "ImageSource | Iterable[ImageSource]"
"""One image, several of them, an (N, H, W, 3) array or an (N, 3, H, W) tensor."""


def each_source(images: ImageSources) -> Iterator[ImageSource]:
    """Yield every image of what may be one image or several."""
    if isinstance(images, str | PathLike | Image.Image | LoadedImage) or getattr(images, "ndim", 4) < 4:
        yield cast(ImageSource, images)
    else:
        yield from cast(Iterable[ImageSource], images)


@dataclass(frozen=True)
class LoadedImage:
    """An image in memory, perhaps smaller than its file.

    Attributes:
        pixels: 8-bit RGB.
        size: (height, width) of the image itself in pixels, to which boxes refer.
    """

    pixels: Image.Image
    size: tuple[int, int]


def load_image(source: ImageSource, at_least: int | None = None) -> LoadedImage:
    """Load an image as 8-bit RGB.

    Args:
        source: a file, which is turned upright by its EXIF orientation; a Pillow image; an (H, W, 3) or
            (H, W) array; or a (3, H, W) or (1, H, W) tensor. Numbers are uint8 in [0, 255], or floats in
            [0, 1].
        at_least: minimum length of both sides in pixels; a large JPEG may be decoded at this size. None for
            the full size.

    Raises:
        DataError: if a file cannot be read, or an array has another shape, type or range.
    """
    if isinstance(source, LoadedImage):
        return source
    if isinstance(source, str | PathLike):
        return LoadedImage(*read_reduced(Path(source), at_least))
    if isinstance(source, Image.Image):
        pixels = to_rgb(source)
    elif isinstance(source, Tensor):
        array = source.detach().cpu().numpy()
        if array.ndim != 3 or array.shape[0] not in (1, 3):
            raise DataError(f"an image tensor has shape {array.shape}; expected (3, height, width)")
        pixels = Image.fromarray(_eight_bits(np.moveaxis(array, 0, -1))).convert("RGB")
    else:
        pixels = Image.fromarray(_eight_bits(np.asarray(source))).convert("RGB")
    return LoadedImage(pixels, _size(pixels))


def _size(image: Image.Image) -> tuple[int, int]:
    return image.height, image.width


def _eight_bits(array: NDArray) -> NDArray[np.uint8]:
    """Return (H, W, 3), (H, W, 1) or (H, W) numbers as uint8; a single channel loses its axis."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)) or 0 in array.shape:
        raise DataError(f"an image array has shape {array.shape}; expected (height, width, 3)")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1:
        return np.rint(array * 255).astype(np.uint8)
    raise DataError(
        f"an image array holds {array.dtype} from {array.min()} to {array.max()}; expected uint8, or floats "
        "in [0, 1] that are not normalised yet"
    )


def in_batches(items: Iterable[ImageSource], size: int) -> Iterator[Sequence[ImageSource]]:
    """Yield the items in lists of `size`, the last one perhaps shorter."""
    batch: list[ImageSource] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
