"""What a training did, epoch by epoch, and the table of it."""

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
    """What one epoch did.

    Attributes:
        epoch: number of epochs done, this one included.
        loss: mean binary cross-entropy over the images and classes, measured while the weights changed.
        learning_rate: that of the epoch's last update.
        n_images: how many images were trained on.
        seconds: time that the training took, the evaluation not counted.
        waited: how many of them were spent waiting for pictures to be decoded and varied.
        ap: average precision of each class that occurs in the evaluation split, in [0, 1].
        absent: the classes that do not occur there, and have no average precision.
        ran_on: what the last bits of the weights hang on (see `ran_on`).
    """

    epoch: int
    loss: float
    learning_rate: float
    n_images: int
    seconds: float
    waited: float
    ap: dict[str, float]
    absent: tuple[str, ...]
    ran_on: str

    @property
    def mean_ap(self) -> float:
        """The mean over the classes that occur; nan where none does."""
        return float(np.mean(list(self.ap.values()))) if self.ap else float("nan")

    @property
    def images_per_second(self) -> float:
        """How fast the training was."""
        return self.n_images / self.seconds

    @property
    def waiting(self) -> float:
        """Share of the time that was spent waiting for pictures."""
        return self.waited / self.seconds


@dataclass(frozen=True)
class History:
    """The epochs of a training, in order."""

    records: tuple[EpochRecord, ...]

    @property
    def ran_on(self) -> tuple[str, ...]:
        """What the epochs ran on, each once, in the order of their first epoch."""
        return tuple(dict.fromkeys(record.ran_on for record in self.records))

    @property
    def last(self) -> EpochRecord:
        """The epoch whose weights are the result."""
        return self.records[-1]

    def to_csv(self) -> str:
        """Return one line an epoch; the column of an absent class is empty."""
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


def ran_on(device: torch.device) -> str:
    """Say what the last bits of a training hang on: versions, device, processor and threads."""
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}"
    threads = torch.get_num_threads()
    return f"{versions} on {device.type}, {platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
