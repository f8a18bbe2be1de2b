"""The card of trained weights: what they are, what they were trained on and what they are worth."""

import importlib.metadata
import platform
from collections.abc import Sequence

import torch

from dogcam.evaluate.classification import AP_VARIANT
from dogcam.models.card import card_of
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import Architecture
from dogcam.structures.images import Split
from dogcam.train.config import TrainingConfig
from dogcam.train.history import History

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")


def training_card(
    architecture: Architecture,
    start: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    config: TrainingConfig,
    train_split: Split,
    eval_split: Split,
    history: History,
) -> dict:
    """Return the notes that are stored with the weights that a training ended with.

    Args:
        architecture: what the network is built by, and can be built again.
        start: what it began with, in words.
        classes: names in the order of the network's outputs.
        preprocessing: what the network wants to be given.
        config: the settings of the training.
        train_split: what it was trained on.
        eval_split: what its metrics were measured on.
        history: what the training did.

    Returns:
        Plain values for JSON. Folders appear by name only, and nothing in it hangs on the clock.
    """
    last = history.last
    return {
        **card_of(architecture.name, classes, preprocessing, config.high_resolution),
        "start": start,
        "data": {"train": _split(train_split), "eval": _split(eval_split)},
        "training": config.describe(),
        "weights_of": _weights_of(config, last.epoch),
        "metrics": {
            eval_split.name: {
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
            "epochs_ran_on": list(history.ran_on),
            "note": "The same seed gives the same bits on one kind of processor with the same number of "
            "threads and the same versions; elsewhere sums are rounded in another order, and the weights "
            "come out close in quality but not equal.",
        },
    }


def _weights_of(config: TrainingConfig, n_epochs: int) -> str:
    """Say what the weights are, in words."""
    averaged = f"the moving average of the weights (memory {config.averaging:g}) after "
    end = f"{averaged if config.averaging else ''}the last of {n_epochs} epochs"
    share = config.start_share
    mixed = f"{1 - share:.0%} of {end}, and {share:.0%} of those that the first epoch began with"
    return f"{mixed if share else end}; no epoch was chosen by its metrics"


def _split(split: Split) -> dict:
    return {"folder": split.root.resolve().name, **split.describe()}
