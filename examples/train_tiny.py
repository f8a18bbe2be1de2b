"""Train a small classifier on the image labels of a data set, and write its weights with a model card.

python examples/train_tiny.py DATA OUTPUT_FOLDER [TRAIN_SPLIT] [EVALUATION_SPLIT]
"""

import sys
from pathlib import Path

import torch

from dogcam.data.reading import read_split
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture
from dogcam.train.card import training_card
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.trainer import Trainer


def main(folder: str, output: str, train: str = "train", evaluation: str = "val") -> None:
    train_split, evaluation_split = (read_split(Path(folder), name) for name in (train, evaluation))
    data = TrainingData(("dog",), train_split, evaluation_split, Preprocessing((64, 64)))
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3)
    torch.manual_seed(config.seed)
    architecture = find_architecture("sample_net")
    network = architecture.build(data.classes, False)
    history = Trainer(network, data, config, Path(output)).fit()
    card = training_card(architecture, "random weights", data, config, history)
    save_checkpoint(Path(output) / "tiny.safetensors", network.state_dict(), card)
    for epoch in history.records:
        print(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, mAP {epoch.mean_ap:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
