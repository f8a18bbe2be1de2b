"""The batches of an epoch: augmented, normalised, and prepared while the previous batch is trained on."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import normalize

from dogcam.data.image_cache import ImageCache, label_matrix
from dogcam.train.augment import augment, cutmix
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData

Item = TypeVar("Item")


class Batches:
    """Creates the batches of any epoch; the same epoch gives the same batches.

    Args:
        data: images, classes and preprocessing.
        config: order, augmentation and sizes.
    """

    def __init__(self, data: TrainingData, config: TrainingConfig) -> None:
        side = config.training_size
        self.size = (side, side) if side else data.preprocessing.size
        stored = config.augmentation.stored_size(self.size)
        self.images = ImageCache(data.train.images, stored, config.memory_limit)
        self.labels = label_matrix(data.train.images, data.classes)
        self.data, self.config = data, config

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.images) // self.config.batch_size)

    def of_epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Create the batches of an epoch one by one.

        All random numbers depend only on the random seed and the number of the epoch.

        Returns:
            An iterator of (n, 3, height, width) float32 images and (n, C) float32 labels, on the CPU.

        Raises:
            DataError: if an image cannot be read.
        """
        generator = torch.Generator().manual_seed(self.config.seed + epoch)
        order = torch.randperm(len(self.images), generator=generator).tolist()
        size = self.config.batch_size
        for start in range(0, len(order), size):
            yield self._make(order[start : start + size], generator)

    def _make(self, chosen: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        augmentation, labels = self.config.augmentation, self.labels[chosen]
        batch = augment(self.images.select(chosen), self.size, augmentation, generator)
        if augmentation.mix == "cutmix":
            batch, labels = cutmix(batch, labels, generator)
        preprocessing = self.data.preprocessing
        return normalize(batch, list(preprocessing.mean), list(preprocessing.std)), labels


@contextmanager
def prefetched(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Prepare the next item in a thread while the current one is used; the order is unchanged.

    Pillow and torch release Python's lock. A thread therefore uses a second core as a process would, and
    shares the decoded images without a copy.

    Args:
        items: is advanced by this thread only.

    Yields:
        The same items. An exception of `items` is raised when its item is requested.
    """
    with ThreadPoolExecutor(1) as worker:
        yield _prefetch(worker, items)


def _prefetch(worker: Executor, items: Iterator[Item]) -> Iterator[Item]:
    coming = worker.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = worker.submit(next, items, None)
        yield item
