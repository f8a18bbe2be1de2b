"""What a checkpoint's card says of its network: outputs, preprocessing, a closer look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.checkpoints import Checkpoint, load_into
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import Architecture, find_architecture, find_head
from dogcam.models.two_scale import HighResolutionPass, require_position_scores

PUBLISHED_CLASSES = (
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "aeroplane", "bicycle", "boat", "bus", "car",
    "motorbike", "train", "bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor",
)  # fmt: skip
"""The order of the published VOC2007 checkpoint's outputs, which is not the alphabetical one."""


@dataclass(frozen=True)
class ModelCard:
    """What has to be known of weights to use them.

    Attributes:
        architecture: what their network is built by.
        classes: C names in the order of its outputs.
        preprocessing: what it was trained to be given.
        high_resolution: how it looks again at a picture; None for not at all.
        learned_from: manifest of the split that it was trained on; None where that is not said.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    high_resolution: HighResolutionPass | None = None
    learned_from: str | None = None


def card_of(
    name: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    high_resolution: HighResolutionPass | None = None,
) -> dict:
    """Return what a card has to say for a network to be built and used again: plain values for JSON."""
    return {
        "architecture": name,
        "classes": list(classes),
        "input_size": list(preprocessing.size),
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "high_resolution_pass": {"size": list(high_resolution.size), "share": high_resolution.share}
        if high_resolution
        else None,
    }


def read_card(name: str | None, loaded: Checkpoint, path: Path) -> ModelCard:
    """Read the card of a checkpoint, or that of the published ones where it is one of them.

    Args:
        name: of the architecture; None for the one that the card names.
        loaded: the checkpoint.
        path: where it came from, for the message.

    Raises:
        ModelError: where the card is not there, names another architecture, or lacks what is needed.
    """
    architecture = find_architecture(_agreed_name(name, loaded, path))
    meta = with_published_card(loaded, path).meta if architecture.name == "resnet50" else loaded.meta
    classes = require_classes(meta.get("classes"), path)
    preprocessing = _preprocessing(meta, path, architecture)
    return ModelCard(
        architecture, classes, preprocessing, _high_resolution_pass(meta, path), _learned_from(meta)
    )


def network_of(card: ModelCard, loaded: Checkpoint, path: Path) -> nn.Module:
    """Build the network that a card describes, and give it the weights of its checkpoint.

    Raises:
        ModelError: where the two do not fit each other; the message names the file.
    """
    try:
        network = card.architecture.build(card.classes, False)
        if card.high_resolution:
            require_position_scores(network)
    except ModelError as error:
        raise ModelError(f"{path}: its card asks for what cannot be built: {error}") from error
    _require_outputs(loaded, f"{find_head(network, len(card.classes))}.weight", card.classes, path)
    load_into(network, loaded, path)
    return network


def with_published_card(loaded: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint with the card that the published files lack; one that has a card as it is.

    The published files do not say what their outputs are. Only a file in their form, and with as many outputs
    as they have, is taken to be one of them; where it does name its classes, those stay.

    Raises:
        ModelError: where it has neither a card nor the published form, or another number of outputs.
    """
    named = loaded.meta.get("classes")
    if "i_epoch" not in loaded.meta and not named:
        raise ModelError(
            f"{path} does not name its classes, and is not in the published form (i_epoch, model_sdict): "
            "their order cannot be guessed. Name them: dogcam convert --model NAME --classes NAME,..."
        )
    if "architecture" in loaded.meta or "i_epoch" not in loaded.meta:
        return loaded
    classes = require_classes(named, path) if named else PUBLISHED_CLASSES
    _require_outputs(loaded, "fc.weight", classes, path)
    said = "the published description of the checkpoint; the file itself does not name them"
    card = card_of("resnet50", classes, Preprocessing((224, 224))) | ({} if named else {"classes_from": said})
    return replace(loaded, meta=card | loaded.meta)


def require_classes(found: object, path: Path) -> tuple[str, ...]:
    """Return the class names of a card.

    Raises:
        ModelError: where they are anything but a list of names, each there once.
    """
    named = isinstance(found, list) and all(isinstance(name, str) for name in found)
    if not named or not found or len(set(found)) != len(found):
        raise ModelError(
            f"{path} has no card that names its classes, in a list and each once: found {found!r}; expected "
            "one within or beside it, as `dogcam train` writes it, or give it one:  dogcam convert --model "
            "NAME --classes NAME,..."
        )
    return tuple(found)


def _agreed_name(name: str | None, loaded: Checkpoint, path: Path) -> str:
    """Return the architecture that the caller and the card name; either may leave it to the other.

    A file in the published form has no card; it is known by its keys (`i_epoch` beside the weights) to be the
    ResNet-50 of the known experiment, which loading it verifies.
    """
    noted = loaded.meta.get("architecture")
    if name is None and noted is None and "i_epoch" in loaded.meta:
        return "resnet50"
    if name is None and not isinstance(noted, str):
        raise ModelError(f"{path} does not say which network it belongs to; name it: --model NAME")
    if name is not None and isinstance(noted, str) and noted != name:
        raise ModelError(
            f"{path} is a {noted} by its card, not a {name}; leave --model out, or choose another checkpoint"
        )
    return name or noted


def _preprocessing(meta: dict, path: Path, architecture: Architecture) -> Preprocessing:
    match meta.get("input_size"):
        case [int(height), int(width)] if height > 0 and width > 0:
            mean, std = (
                _per_channel(meta.get(name, getattr(architecture, name)), name, path)
                for name in ("mean", "std")
            )
            if min(std) > 0:
                return Preprocessing((height, width), mean, std)
            raise ModelError(f"{path}: its card has the std {list(std)}; expected numbers above 0")
    raise ModelError(
        f"{path} has no card that says its input_size [height, width] in pixels: found "
        f"{meta.get('input_size')!r}; expected one within or beside it, as `dogcam train` writes it"
    )


def _per_channel(found: object, name: str, path: Path) -> tuple[float, float, float]:
    match found:
        case [float() | int(), float() | int(), float() | int()] if all(map(math.isfinite, found)):
            return tuple(found)
    raise ModelError(f"{path}: its card has the {name} {found!r}; expected a number for each of R, G and B")


def _learned_from(meta: dict) -> str | None:
    match meta:
        case {"data": {"train": {"manifest": str(manifest)}}}:
            return manifest
    return None


def _high_resolution_pass(meta: dict, path: Path) -> HighResolutionPass | None:
    match meta.get("high_resolution_pass"):
        case None:
            return None
        case {"size": [int(height), int(width)], "share": float() | int() as share}:
            try:
                return HighResolutionPass((height, width), share)
            except ConfigError as error:
                raise ModelError(f"{path}: its card says that {error}") from error
        case found:
            raise ModelError(
                f"{path}: the card's high_resolution_pass is {found}; expected [height, width] and a share"
            )


def _require_outputs(loaded: Checkpoint, head: str, classes: Sequence[str], path: Path) -> None:
    """Refuse a head that has another number of outputs than there are classes."""
    found = loaded.state.get(head)
    if found is not None and len(found) != len(classes):
        raise ModelError(
            f"{path}: its head {head} has {len(found)} outputs, its class list {len(classes)} "
            f"({', '.join(classes)}); name the classes of this head in its card, in their order"
        )
