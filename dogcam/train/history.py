"""The history of a training: a record for each epoch, and their table."""

import csv
import io
import platform
from dataclasses import dataclass

import numpy as np
import PIL
import torch
import torchvision

HISTORY = "history.csv"


@dataclass(frozen=True)
class EpochRecord:
    """The result of one epoch.

    Attributes:
        epoch: number of finished epochs, this one included.
        loss: mean binary cross-entropy over images and classes, measured while the weights change.
        learning_rate: learning rate of the last update of the epoch.
        n_images: number of training images.
        seconds: duration of the training, without the evaluation.
        waiting_seconds: part of it spent waiting for images to be decoded and augmented.
        ap: average precision in [0, 1] of each class that occurs in the evaluation split.
        absent: classes that do not occur there and therefore have no average precision.
        environment: versions, device and threads (see `describe_environment`).
    """

    epoch: int
    loss: float
    learning_rate: float
    n_images: int
    seconds: float
    waiting_seconds: float
    ap: dict[str, float]
    absent: tuple[str, ...]
    environment: str

    @property
    def mean_ap(self) -> float:
        """The mean over the classes that occur; nan if none does."""
        return float(np.mean(list(self.ap.values()))) if self.ap else float("nan")

    @property
    def images_per_second(self) -> float:
        """Training images per second."""
        return self.n_images / self.seconds

    @property
    def waiting(self) -> float:
        """Share of the time spent waiting for images."""
        return self.waiting_seconds / self.seconds


@dataclass(frozen=True)
class History:
    """The epochs of a training, in order."""

    records: tuple[EpochRecord, ...]

    @property
    def environments(self) -> tuple[str, ...]:
        """The distinct environments of the epochs, in the order of their first epoch."""
        return tuple(dict.fromkeys(record.environment for record in self.records))

    @property
    def last(self) -> EpochRecord:
        """The last epoch, whose weights are the result."""
        return self.records[-1]

    def to_csv(self) -> str:
        """Return a CSV table with one row for each epoch; the column of an absent class is empty."""
        classes = sorted({*self.last.ap, *self.last.absent})
        names = ("epoch", "loss", "learning_rate", "images_per_second", "waiting", "map")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, *(f"ap_{name}" for name in classes)])
        for record in self.records:
            speed = (record.images_per_second, record.waiting)
            numbers = (record.loss, record.learning_rate, *speed, record.mean_ap)
            aps = (f"{record.ap[name]:.6f}" if name in record.ap else "" for name in classes)
            writer.writerow([record.epoch, *(f"{number:.6g}" for number in numbers), *aps])
        return text.getvalue()


def describe_environment(device: torch.device) -> str:
    """Return what bitwise reproducibility of a training depends on: versions, device, processor, threads."""
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}"
    threads = torch.get_num_threads()
    return f"{versions} on {device.type}, {platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"


def environment_note(before: str, now: str) -> str:
    """Return a sentence on a training that continues in another environment, see `describe_environment`."""
    return (
        f"the finished epochs ran with {before}; the next ones run with {now}: the weights may differ in "
        "their last bits from those of an uninterrupted training"
    )
