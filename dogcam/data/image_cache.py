"""A cache of decoded images of one size, filled by several threads, within a memory limit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dogcam.data.images import read_pixels
from dogcam.data.workers import n_cores
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage, least_side


class ImageCache:
    """Decodes and resizes images, and keeps them in memory.

    Args:
        images: the images of a split.
        size: (height, width) of the result; the aspect ratio is not kept.
        memory_limit: maximum bytes in memory; further images are decoded each time they are requested.
    """

    def __init__(self, images: Sequence[LabelledImage], size: tuple[int, int], memory_limit: int) -> None:
        self.images = images
        self.size = size
        self._room = memory_limit // (3 * size[0] * size[1])
        self._stored: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Sequence[int]) -> Tensor:
        """Return some of the images as one tensor.

        Args:
            indices: N indices, in any order.

        Returns:
            (N, 3, height, width) uint8 tensor, RGB.

        Raises:
            DataError: if an image cannot be read.
        """
        fresh = self._decode_all([index for index in dict.fromkeys(indices) if index not in self._stored])
        batch = torch.stack([fresh[index] if index in fresh else self._stored[index] for index in indices])
        for index, pixels in fresh.items():
            if len(self._stored) < self._room:
                self._stored[index] = pixels
        return batch

    def _decode_all(self, indices: Sequence[int]) -> dict[int, Tensor]:
        if not indices:
            return {}
        # Pillow releases Python's lock while it decodes and resizes, so threads use all cores.
        with ThreadPoolExecutor(n_cores()) as threads:
            decoded = threads.map(lambda index: decode(self.images[index], self.size), indices)
            return dict(zip(indices, decoded, strict=True))


def decode(image: LabelledImage, size: tuple[int, int]) -> Tensor:
    """Read an image and resize it without keeping its aspect ratio.

    Returns:
        (3, height, width) uint8 tensor, RGB.

    Raises:
        DataError: if it cannot be read.
    """
    height, width = size
    resized = read_pixels(image, least_side(size)).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def label_matrix(images: Sequence[LabelledImage], classes: Sequence[str]) -> Tensor:
    """Return the image labels: which classes occur in which image.

    Args:
        images: N annotated images.
        classes: C names; other classes are ignored.

    Returns:
        (N, C) float32 tensor of 0 and 1.

    Raises:
        DataError: if a label differs from a class only in case.
    """
    spelling = {name.casefold(): name for name in classes}
    for label in sorted(set().union(*(image.labels for image in images))):
        if label not in classes and label.casefold() in spelling:
            other = spelling[label.casefold()]
            first = next(image for image in images if label in image.labels)
            raise DataError(
                f"{first.annotation_path or first.path}: the class {label!r} differs from {other!r} of the "
                "classifier only in case; give both the same name"
            )
    rows = [[float(name in image.labels) for name in classes] for image in images]
    return torch.tensor(rows).reshape(len(images), len(classes))
