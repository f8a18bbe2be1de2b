"""ImageCache of a split as tensors of one size: decoded by several threads, kept as far as memory allows."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dogcam.data.images import read_photo
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage


class ImageCache:
    """Gives any selection of photographs as one tensor, keeping what was decoded.

    Args:
        images: what to read.
        size: (height, width) that every photograph is resized to, without keeping its aspect ratio.
        memory_limit: bytes that may be kept; what goes beyond is decoded each time it is asked for.
    """

    def __init__(self, images: Sequence[LabelledImage], size: tuple[int, int], memory_limit: int) -> None:
        self.images = images
        self.size = size
        self._room = memory_limit // (3 * size[0] * size[1])
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def n_kept(self) -> int:
        """How many photographs are in memory."""
        return len(self._kept)

    def select(self, indices: Sequence[int]) -> Tensor:
        """Return some of the photographs.

        Args:
            indices: N positions, in any order.

        Returns:
            (N, 3, height, width) uint8 tensor, RGB.

        Raises:
            DataError: if a photograph cannot be read.
        """
        fresh = self._decode_all([index for index in dict.fromkeys(indices) if index not in self._kept])
        batch = torch.stack([fresh[index] if index in fresh else self._kept[index] for index in indices])
        for index, picture in fresh.items():
            if len(self._kept) < self._room:
                self._kept[index] = picture
        return batch

    def _decode_all(self, indices: Sequence[int]) -> dict[int, Tensor]:
        if not indices:
            return {}
        # Pillow decodes and resizes without holding Python's lock, so that threads keep every core busy.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            decoded = threads.map(lambda index: decode(self.images[index], self.size), indices)
            return dict(zip(indices, decoded, strict=True))


def decode(image: LabelledImage, size: tuple[int, int]) -> Tensor:
    """Read a photograph and resize it, without keeping its aspect ratio.

    Returns:
        (3, height, width) uint8 tensor, RGB.

    Raises:
        DataError: where it cannot be read.
    """
    height, width = size
    picture = read_photo(image).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def label_matrix(images: Sequence[LabelledImage], classes: Sequence[str]) -> Tensor:
    """Return which classes occur in which image: all that training is told of them.

    Args:
        images: N annotated images.
        classes: C names; what else occurs in an image is left out.

    Returns:
        (N, C) float32 tensor of 0 and 1, the columns in the order of `classes`.

    Raises:
        DataError: if a label differs from a class only in case.
    """
    spelling = {name.casefold(): name for name in classes}
    for label in sorted(set().union(*(image.labels for image in images))):
        if label not in classes and label.casefold() in spelling:
            other = spelling[label.casefold()]
            raise DataError(
                f"the class {label!r} of the images differs from the classifier's {other!r} only in case; "
                "give both the same name"
            )
    rows = [[float(name in image.labels) for name in classes] for image in images]
    return torch.tensor(rows).reshape(len(images), len(classes))
