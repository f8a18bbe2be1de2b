"""The batches of an epoch: pictures varied and normalised, made while the one before is learned from."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import normalize

from dogcam.data.image_cache import ImageCache, label_matrix
from dogcam.models.preprocessing import Preprocessing
from dogcam.structures.images import LabelledImage
from dogcam.train.augment import augment
from dogcam.train.config import TrainingConfig
from dogcam.train.mixing import cutmix, hide_and_seek

Made = TypeVar("Made")


class Batches:
    """Makes the batches of any epoch, the same ones whenever it is asked.

    Args:
        images: what is trained on.
        classes: names in the order of the labels.
        preprocessing: what the network is given when it is used; training images are normalised likewise.
        config: order, variations, sizes.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        config: TrainingConfig,
    ) -> None:
        self.size = (config.training_size,) * 2 if config.training_size else preprocessing.size
        size = config.augmentation.stored_size(self.size)
        self.photographs = ImageCache(images, size, config.memory_limit)
        self.labels = label_matrix(images, classes)
        self.preprocessing, self.config = preprocessing, config

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.photographs) // self.config.batch_size)

    def of_epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Make the batches of an epoch one by one.

        Everything random is drawn from the seed and the epoch's number alone.

        Returns:
            An iterator of (n, 3, height, width) float32 images and (n, C) float32 labels, on the CPU.

        Raises:
            DataError: where a photograph cannot be read.
        """
        generator = torch.Generator().manual_seed(self.config.seed + epoch)
        order = torch.randperm(len(self.photographs), generator=generator).tolist()
        size = self.config.batch_size
        for start in range(0, len(order), size):
            yield self._make(order[start : start + size], generator)

    def _make(self, chosen: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mean, std = list(self.preprocessing.mean), list(self.preprocessing.std)
        augmentation, labels = self.config.augmentation, self.labels[chosen]
        batch = augment(self.photographs.select(chosen), self.size, augmentation, generator)
        if augmentation.spread == "cutmix":
            batch, labels = cutmix(batch, labels, generator)
        elif augmentation.spread == "hide":
            # The mean colour is what the network knows best as nothing: 0, once it is normalised.
            batch = hide_and_seek(batch, torch.tensor(mean), generator)
        return normalize(batch, mean, std), labels


@contextmanager
def made_ahead(items: Iterator[Made]) -> Iterator[Iterator[Made]]:
    """Make the next item in a thread of its own while this one is used; the order stays.

    Pillow and torch work without Python's lock, so that a thread keeps a core as busy as a process would, and
    has the decoded pictures at hand without copying them.

    Args:
        items: is only ever asked for an item by that one thread.

    Yields:
        The same items. What making one raises is raised where it is asked for.
    """
    with ThreadPoolExecutor(1) as worker:
        yield _one_ahead(worker, items)


def _one_ahead(worker: Executor, items: Iterator[Made]) -> Iterator[Made]:
    coming = worker.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = worker.submit(next, items, None)
        yield item
