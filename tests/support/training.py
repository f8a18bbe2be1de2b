"""A training small enough for a test: data, network, settings, and what interrupts it."""

from collections import OrderedDict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dogcam.data.reading import read_split
from dogcam.models.networks import pooled_network
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.heads import JointHead, LogOddsHead
from dogcam.train.augment import Augmentation
from dogcam.train.config import Cosine, TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.history import History
from dogcam.train.loop import TrainingObserver
from dogcam.train.trainer import Trainer
from tests.support.voc_folders import write_patches

CLASSES = ("red", "blue")
KINDS = [["red"], ["blue"], [], ["red", "blue"]]
PREPROCESSING = Preprocessing((16, 16))
VARIED = Augmentation(min_area=0.6, colour_jitter=0.1)
FAST = TrainingConfig(
    epochs=4, batch_size=6, learning_rate=0.02, schedule=Cosine(warm_up=0.5), augmentation=VARIED
)


def write_data(root: Path) -> TrainingData:
    """Write 16 images to train on, so that batches of 6 leave a rest of 4, and 12 others."""
    kinds = {"train": list(islice(cycle(KINDS), 16)), "val": list(islice(cycle(KINDS), 12))}
    return read_data(write_patches(root, kinds))


def read_data(root: Path, classes: tuple[str, ...] = CLASSES) -> TrainingData:
    """Read both splits of a folder."""
    return TrainingData(classes, read_split(root, "train"), read_split(root, "val"), PREPROCESSING)


def changed(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """Return settings with some of them changed."""
    return TrainingConfig(**{**dict(config), **changes})


def make_network(outputs: int = 2, seed: int = 0) -> nn.Sequential:
    """Build a network with all that is hard to resume: batch statistics, and dropout, which is random."""
    torch.manual_seed(seed)
    layers = OrderedDict(
        convolution=nn.Conv2d(3, 6, 3, stride=2), norm=nn.BatchNorm2d(6), relu=nn.ReLU(), drop=nn.Dropout(0.2)
    )
    return pooled_network(nn.Sequential(layers), nn.Linear(6, outputs))


def joint_network(seed: int = 0) -> nn.Sequential:
    """Build the same network with a prior head of five classes, two of which are pooled into `red`."""
    network = make_network(seed=seed)
    prior = nn.Linear(6, 5)
    network.head = JointHead(nn.Linear(6, 2), LogOddsHead(prior, [[1, 3]]), [0])
    return network


def run(
    data: TrainingData,
    folder: Path,
    config: TrainingConfig = FAST,
    network: nn.Module | None = None,
    observer: TrainingObserver | None = None,
    **options: bool,
) -> tuple[nn.Module, History]:
    """Train a network; return it with the history."""
    network = network or make_network()
    return network, Trainer(network, data, config, folder, observer).fit(**options)


def same_weights(network: nn.Module, other: nn.Module) -> bool:
    """Tell whether two networks are bitwise equal."""
    state, others = network.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in others)


class StopsAt(TrainingObserver):
    """Interrupts the training in the middle of an epoch, as Ctrl-C does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt
