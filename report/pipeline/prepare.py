"""Read the splits and the classifier that the settings name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dogcam.data.download import (
    PUBLISHED_CHECKPOINT_URLS,
    fetch_published_checkpoint,
    progress_bar,
)
from dogcam.data.reading import read_split, split_ids, split_names
from dogcam.data.validation import doubtful_masks
from dogcam.errors import ConfigError, ModelError
from dogcam.files import read_bytes, sha256_of
from dogcam.models.checkpoints import load_checkpoint
from dogcam.models.classifier import Classifier, load_classifier
from dogcam.models.libraries import is_function
from dogcam.structures.images import Split
from report.config import ALL, RunConfig


def read_reported(config: RunConfig, folder: Path, say: Callable[[str], None] = lambda _: None) -> Split:
    """Read the split that is reported on.

    Raises:
        ConfigError: if the target is not annotated: there would be nothing to measure.
    """
    reported = _read(config, folder, config.split, config.limit, say)
    if config.target != ALL:
        _require_target(reported, config.target, "--limit")
    return reported


def read_tuning(
    config: RunConfig, folder: Path, reported: Split, say: Callable[[str], None] = lambda _: None
) -> Split | None:
    """Read the tuning split; None if there is none.

    If the settings name no tuning split, it is `val`. It is `train` if `val` is the reported split, shares
    images with it, or does not contain the target. `val` comes first because a network is overconfident on
    images that it was trained on.

    Args:
        config: the settings of the run.
        folder: the data set's.
        reported: the images that are reported on.
        say: receives the reason if a split cannot be tuned on.

    Raises:
        ConfigError: if the target does not occur: there would be nothing to measure.
    """
    if "tuning_split" not in config.model_fields_set:
        return _choose_tuning(config, folder, say)
    if config.tuning_split is None:
        return None
    tuning = _read(config, folder, config.tuning_split, config.tuning_limit, say)
    _require_target(tuning, config.target, "--tuning-limit")
    shared = {image.id for image in reported.images} & {image.id for image in tuning.images}
    if shared:
        raise ConfigError(
            f"the splits {reported.name!r} and {tuning.name!r} share {len(shared)} images "
            f"({min(shared)}, ...); thresholds must not be chosen on images that are reported on: name "
            "another tuning split"
        )
    return tuning


def _read(config: RunConfig, folder: Path, name: str, limit: int | None, say: Callable[[str], None]) -> Split:
    """Read a split by the rules of the settings; masks of a doubtful numbering are not used."""
    split = read_split(folder, name, limit, config.read_rules, decode=True)
    if not split.has_truth:
        raise ConfigError(
            f"{folder} holds photographs without annotations, and nothing can be measured; show maps and "
            "boxes with `dogcam explain`"
        )
    doubt = doubtful_masks(split)
    if doubt:
        say(f"no mask is measured: {doubt}")
        split = replace(split, mask_classes=None)
    return split


def _choose_tuning(config: RunConfig, folder: Path, say: Callable[[str], None]) -> Split | None:
    reported = set(split_ids(folder, config.split))
    for name in ("val", "train"):
        # A split such as `trainval` holds images of both others.
        if name not in split_names(folder) or not reported.isdisjoint(split_ids(folder, name)):
            continue
        found = _read(config, folder, name, config.tuning_limit, say)
        if config.target in found.class_names():
            return found
        say(f"no {config.target} in the {len(found)} images of {name}: no threshold is chosen there")
    return None


def find_classifier(config: RunConfig, cache: Path) -> Classifier:
    """Build the classifier, with its published checkpoint where it needs one and none is named.

    Raises:
        ModelError: if it lacks a layer that the methods of the report need.
    """
    checkpoint = Path(config.checkpoint) if config.checkpoint else None
    if config.model == "resnet50" and checkpoint is None:
        with progress_bar("published checkpoint") as progress:
            checkpoint = fetch_published_checkpoint(cache, load_checkpoint, progress=progress)
    classifier = load_classifier(
        config.model, checkpoint, config.device,
        classes=config.classes or None, activation=config.activation, pools=config.pools or None,
    )  # fmt: skip
    if classifier.head is None or classifier.earlier_layer is None:
        lacks = "a head that is one linear layer on pooled maps" if classifier.head is None else "two layers"
        raise ModelError(
            f"the report compares CAM with Grad-CAM at two layers, and {classifier.name} has not {lacks}; "
            "choose another network, or explain photographs with `dogcam explain`"
        )
    return classifier


def weight_files(config: RunConfig, cache: Path) -> tuple[Path, ...] | None:
    """Return the files that the weights of a run come from, apart from those of the program.

    Returns:
        The files; some may be missing. None if a library or a function of the user finds the weights.
    """
    if config.model is not None and is_function(config.model):
        return None
    localiser = (Path(config.localiser),) if config.localiser else ()
    if config.checkpoint:
        members = (Path(pool.partition("=")[2]) for pool in config.pools)
        pools = [path for path in members if path.is_file()]
        return Path(config.checkpoint), Path(config.checkpoint).with_suffix(".json"), *pools, *localiser
    if config.model == "resnet50":
        return *(cache / url.rpartition("/")[2] for url in PUBLISHED_CHECKPOINT_URLS), *localiser
    return localiser if config.model == "sample_net" else None


def localiser_sha256(config: RunConfig) -> str:
    """Return the SHA-256 of the file of the localiser; empty without one.

    Raises:
        ModelError: if it cannot be read.
    """
    return sha256_of(read_bytes(Path(config.localiser), error=ModelError)) if config.localiser else ""


def _require_target(split: Split, target: str, limit: str) -> None:
    shown = split.class_names()
    if target not in shown:
        raise ConfigError(
            f"no {target!r} is annotated in the {len(split)} images of the split {split.name!r}; "
            f"annotated there: {', '.join(shown) or 'nothing'}. Name another --target, or raise {limit}"
        )
