"""Model cards: architecture, classes, preprocessing and activation of the weights in a checkpoint."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.architecture import Architecture, find_head
from dogcam.models.checkpoints import Checkpoint, fitted_to, load_into
from dogcam.models.libraries import is_function
from dogcam.models.payload import some
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture
from dogcam.models.two_scale import HighResolutionPass, require_position_scores
from dogcam.network.activation import ACTIVATIONS, Activation

PUBLISHED_CLASSES = (
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "aeroplane", "bicycle", "boat", "bus", "car",
    "motorbike", "train", "bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor",
)  # fmt: skip
"""The order of the outputs of the published VOC2007 checkpoint; it is not alphabetical."""

GIVE_CARD = (
    "Describe the network with --model NAME --classes FILE|NAME,... --activation sigmoid|softmax, or add "
    "this to a card with dogcam convert"
)
"""The remedy for a checkpoint without a card."""


@dataclass(frozen=True)
class ModelCard:
    """The description of weights that is needed to use them.

    Attributes:
        architecture: builds the network.
        classes: C names in the order of the outputs.
        preprocessing: input of the network, as in training.
        activation: activation of the head.
        high_resolution: the high-resolution pass; None for none.
        learned_from: manifest of the split that the network was trained on; None if unknown.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    activation: Activation
    high_resolution: HighResolutionPass | None = None
    learned_from: str | None = None


def card_of(
    name: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    activation: Activation,
    high_resolution: HighResolutionPass | None = None,
) -> dict[str, Any]:
    """Return the entries of a card that are needed to use a network, as plain values for JSON."""
    return {
        "architecture": name,
        "classes": list(classes),
        "activation": activation,
        "input_size": list(preprocessing.size),
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "high_resolution_pass": {"size": list(high_resolution.size), "share": high_resolution.share}
        if high_resolution
        else None,
    }


def read_card(
    name: str | None, loaded: Checkpoint, path: Path, activation: Activation | None = None
) -> ModelCard:
    """Read the card of a checkpoint; the published checkpoint has a known card.

    Args:
        name: name of the architecture; None for the one that the card names.
        loaded: the checkpoint.
        path: file of the checkpoint, for the message.
        activation: activation of the head, if the card does not state it.

    Raises:
        ModelError: if the card is missing, incomplete, or names another architecture or activation.
    """
    architecture = find_architecture(_agreed_name(name, loaded, path))
    meta = with_published_card(loaded, path).meta if architecture.name == "resnet50" else loaded.meta
    return ModelCard(
        architecture,
        require_classes(meta.get("classes"), path),
        _preprocessing(meta, path, architecture),
        _activation(meta, path, activation),
        _high_resolution_pass(meta, path),
        _learned_from(meta),
    )


def with_given_card(
    loaded: Checkpoint,
    path: Path,
    model: str | None,
    classes: Sequence[str] | None,
    activation: Activation | None,
    input_size: int | None,
) -> Checkpoint:
    """Return a checkpoint with a card from the options of a user.

    Args:
        loaded: a checkpoint without a card; it may name its classes.
        path: file of the checkpoint, for the message.
        model: name of the architecture.
        classes: names of the outputs in their order; None if the file names them.
        activation: activation of the head.
        input_size: height and width of the input in pixels; None for the architecture's default.

    Raises:
        ModelError: if the file has a card, or an option is missing; the message names the option.
    """
    own = loaded.meta.get("classes")
    named = isinstance(own, list) and some(map(str, own))
    if named and ("architecture" in loaded.meta or classes):
        needless = "--model, --classes and --input-size" if "architecture" in loaded.meta else "--classes"
        raise ModelError(f"{path} names its classes ({named}); remove {needless}")
    names = tuple(own) if isinstance(own, list) else tuple(classes or ())
    if "i_epoch" in loaded.meta:  # the published format, of a multi-label training
        activation = activation or "sigmoid"
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ModelError(f"--classes names {', '.join(repeated)} more than once; name each output once")
    wanted = {
        "--model NAME": model,
        "--classes FILE|NAME,NAME,... with the outputs in their order": names,
        "--activation sigmoid|softmax": activation,
    }
    missing = [option for option, value in wanted.items() if not value]
    if missing or model is None or activation is None:
        raise ModelError(f"{path} has no card; give {', '.join(missing)}")
    architecture = find_architecture(model)
    size = (input_size or architecture.input_size,) * 2
    preprocessing = Preprocessing(size, architecture.mean, architecture.std)
    note = {} if named else {"classes_from": "the user; the file does not name them"}
    card = card_of(architecture.name, names, preprocessing, activation)
    return replace(loaded, meta=loaded.meta | card | note)


def network_of(card: ModelCard, loaded: Checkpoint, path: Path) -> nn.Module:
    """Build the network that a card describes, with the weights of its checkpoint.

    Raises:
        ModelError: if the card and the weights do not fit; the message names the file.
    """
    try:
        network = card.architecture.build(card.classes, False)
        if card.high_resolution:
            require_position_scores(network)
    except ModelError as error:
        raise ModelError(f"{path}: the network of its card cannot be built: {error}") from error
    fitted = fitted_to(network, loaded, path)
    head = _head_of(network, len(card.classes))
    if head is not None:
        _require_outputs(fitted, f"{head}.weight", card.classes, path)
    load_into(network, fitted, path)
    return network


def with_published_card(loaded: Checkpoint, path: Path) -> Checkpoint:
    """Return a published checkpoint with its card; a checkpoint with a card is returned unchanged.

    The published files do not name their outputs. A file is recognised by its format and its number of
    outputs. Classes that the file names are kept.

    Raises:
        ModelError: if the file has neither a card nor the published format, or another number of outputs.
    """
    named = loaded.meta.get("classes")
    if "i_epoch" not in loaded.meta and not named:
        raise ModelError(
            f"{path} does not name its classes, and is not in the published format (i_epoch, model_sdict): "
            f"their order is unknown. {GIVE_CARD}"
        )
    if "architecture" in loaded.meta or "i_epoch" not in loaded.meta:
        return loaded
    classes = require_classes(named, path) if named else PUBLISHED_CLASSES
    _require_outputs(loaded, "fc.weight", classes, path)
    source = "the published description of the checkpoint; the file itself does not name them"
    card = card_of("resnet50", classes, Preprocessing((224, 224)), "sigmoid") | (
        {} if named else {"classes_from": source}
    )
    return replace(loaded, meta=card | loaded.meta)


def require_classes(found: object, path: Path) -> tuple[str, ...]:
    """Return the class names of a card.

    Raises:
        ModelError: unless they are a list of names, each once.
    """
    names = found if isinstance(found, list) and all(isinstance(name, str) for name in found) else []
    if not names or len(set(names)) != len(names):
        shown = reprlib.repr(found)
        raise ModelError(f"{path} has no card with a list of different classes: found {shown}. {GIVE_CARD}")
    return tuple(names)


def _agreed_name(name: str | None, loaded: Checkpoint, path: Path) -> str:
    """Return the architecture that the user or the card names; if both do, they must agree.

    A file in the published format has no card: the key `i_epoch` marks the ResNet-50 of the published
    experiment, which loading verifies.
    """
    noted = loaded.meta.get("architecture")
    if name is None and noted is None and "i_epoch" in loaded.meta:
        return "resnet50"
    if name is None and not isinstance(noted, str):
        raise ModelError(f"{path} does not name its network; give --model NAME")
    if name is not None and isinstance(noted, str) and noted != name:
        raise ModelError(
            f"{path} is a {noted} by its card, not a {name}; remove --model, or choose another checkpoint"
        )
    if name is None and is_function(str(noted)):
        raise ModelError(
            f"the card of {path} names the function {noted}, which runs only if you name it: --model {noted}"
        )
    return str(name or noted)


def _activation(meta: Mapping[str, Any], path: Path, given: Activation | None) -> Activation:
    """Return the activation that the card states, or else the user; it is never guessed."""
    noted = meta.get("activation")
    if noted is None and given is None:
        raise ModelError(
            f"{path} does not state the activation of its head; give --activation sigmoid if its classes can "
            "occur together (binary cross-entropy), or softmax if they exclude each other (cross-entropy)"
        )
    if noted is None and given is not None:
        return given
    if noted not in ACTIVATIONS:
        raise ModelError(
            f"{path}: the activation of its card is {noted!r}; expected {' or '.join(ACTIVATIONS)}"
        )
    if given not in (None, noted):
        raise ModelError(f"{path} has the activation {noted} by its card, not {given}; remove --activation")
    return noted


def _head_of(network: nn.Module, n_classes: int) -> str | None:
    try:
        return find_head(network, n_classes)
    except ModelError:  # a network may end in a convolution or any other layer
        return None


def _preprocessing(meta: dict, path: Path, architecture: Architecture) -> Preprocessing:
    match meta.get("input_size"):
        case [int(height), int(width)] if height > 0 and width > 0:
            mean, std = (
                _per_channel(meta.get(name, getattr(architecture, name)), name, path)
                for name in ("mean", "std")
            )
            if min(std) > 0:
                return Preprocessing((height, width), mean, std)
            raise ModelError(f"{path}: the std of its card is {list(std)}; expected numbers above 0")
    raise ModelError(
        f"{path} has no card with its input_size [height, width] in pixels: found "
        f"{meta.get('input_size')!r}. {GIVE_CARD}"
    )


def _per_channel(found: object, name: str, path: Path) -> tuple[float, float, float]:
    match found:
        case [float() | int() as red, float() | int() as green, float() | int() as blue]:
            if all(map(math.isfinite, (red, green, blue))):
                return (red, green, blue)
    raise ModelError(f"{path}: the {name} of its card is {found!r}; expected a number for each of R, G and B")


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
                raise ModelError(f"{path}: the high_resolution_pass of its card: {error}") from error
        case found:
            raise ModelError(
                f"{path}: the high_resolution_pass of its card is {found}; expected size and share"
            )


def _require_outputs(loaded: Checkpoint, head: str, classes: Sequence[str], path: Path) -> None:
    """Refuse a head whose number of outputs is not the number of classes."""
    found = loaded.state.get(head)
    if found is not None and len(found) != len(classes):
        raise ModelError(
            f"{path}: its head {head} has {len(found)} outputs, its class list {len(classes)} "
            f"({some(classes)}); name the classes of this head in its card, in their order"
        )
