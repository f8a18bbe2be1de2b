"""The model card of trained weights: what they are, their training data, and their metrics."""

import importlib.metadata
import platform
from typing import Any

import torch

from dogcam.evaluate.classification import AP_VARIANT
from dogcam.models.architecture import Architecture
from dogcam.models.card import card_of
from dogcam.structures.images import Split
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.history import History

LIBRARIES = ("torch", "torchvision", "numpy", "pillow")


def training_card(
    architecture: Architecture, init: str, data: TrainingData, config: TrainingConfig, history: History
) -> dict[str, Any]:
    """Return the model card of the final weights of a training.

    Args:
        architecture: the network.
        init: description of the initial weights.
        data: splits, classes and preprocessing.
        config: the settings of the training.
        history: the epochs of the training.

    Returns:
        Plain values for JSON. Folders appear by name only; nothing depends on the clock.
    """
    last = history.last
    return {
        **card_of(architecture.name, data.classes, data.preprocessing, "sigmoid", config.high_resolution),
        "init": init,
        "data": {"train": _split(data.train), "eval": _split(data.evaluation)},
        "training": config.describe(),
        "weights_of": _weights_of(config, last.epoch),
        "metrics": {
            data.evaluation.name: {
                "map": last.mean_ap if last.ap else None,
                "ap": last.ap,
                "absent": list(last.absent),
                "ap_variant": AP_VARIANT,
            }
        },
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in (*LIBRARIES, *architecture.packages)},
        "machine": {
            "threads": torch.get_num_threads(),
            "processor": platform.machine(),
            "environments": list(history.environments),
            "note": "Equal random seeds give bitwise equal weights on the same kind of processor with the "
            "same number of threads and the same versions. Otherwise rounding differs: the weights are of "
            "similar quality but not equal.",
        },
    }


def _weights_of(config: TrainingConfig, n_epochs: int) -> str:
    average = f"the moving average of the weights (EMA decay {config.ema_decay:g}) after "
    end = f"{average if config.ema_decay else ''}the last of {n_epochs} epochs"
    share = config.wise_ft_weight
    mixed = f"{1 - share:.0%} of {end}, and {share:.0%} of the initial weights (WiSE-FT)"
    return f"{mixed if share else end}; no epoch was chosen by its metrics"


def _split(split: Split) -> dict[str, Any]:
    return {"folder": split.root.resolve().name, **split.describe()}
