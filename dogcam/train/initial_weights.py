"""Initial weights: ImageNet's, random ones, or those of a file, with a new head if the classes differ."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from dogcam.errors import ModelError
from dogcam.models.architecture import Architecture, find_head
from dogcam.models.card import require_classes, with_published_card
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into

IMAGENET, NONE = "imagenet", "none"


def initial_network(
    architecture: Architecture, classes: Sequence[str], init: str | None = None
) -> tuple[nn.Module, str]:
    """Build a network with its initial weights.

    Args:
        architecture: what to build.
        classes: names in the order of the logits.
        init: `imagenet`, `none` (random weights, from torch's generator), or the path of a checkpoint; None
            for `imagenet` if the architecture has such weights, else `none`.

    Returns:
        The network, and a description of its initial weights.

    Raises:
        ModelError: if the weights are not available, or do not fit the architecture.
    """
    chosen = init or (IMAGENET if architecture.imagenet else NONE)
    if chosen == IMAGENET and not architecture.imagenet:
        raise ModelError(f"{architecture.name} has no ImageNet weights; use --init none, or a file")
    if chosen == NONE and architecture.name == "efficientnet_lite0_voc2007":
        raise ModelError(
            f"{architecture.name} contains the ImageNet head and has no random initial weights; use --init "
            "imagenet, a file, or the architecture efficientnet_lite0"
        )
    network = architecture.build(classes, chosen == IMAGENET)
    if chosen == IMAGENET:
        return network, f"ImageNet weights, {architecture.imagenet}; a new head"
    if chosen == NONE:
        return network, "random weights"
    return network, _from_file(network, architecture.name, classes, Path(chosen))


def _from_file(network: nn.Module, name: str, classes: Sequence[str], path: Path) -> str:
    loaded = load_checkpoint(path)
    checkpoint = replace(loaded, state={_current_name(key): tensor for key, tensor in loaded.state.items()})
    stated = _classes_of(checkpoint, name, path)
    if stated == tuple(classes):
        load_into(network, checkpoint, path)
        return f"{path.name}, including its head"
    head, own = find_head(network, len(classes)), network.state_dict()
    fresh = {name: own[name] for name in (f"{head}.weight", f"{head}.bias") if name in own}
    load_into(network, Checkpoint({**checkpoint.state, **fresh}, checkpoint.meta), path)
    theirs = f"for {len(stated)} classes ({', '.join(stated)})" if stated else "for unknown classes"
    return f"{path.name}; its head {theirs} is replaced by a new one for {len(classes)}"


def _current_name(key: str) -> str:
    """Return the current name of a weight: old files of DenseNets have `norm.1` for `norm1`."""
    return re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.(?=[12]\.)", r"\1", key)


def _classes_of(checkpoint: Checkpoint, name: str, path: Path) -> tuple[str, ...] | None:
    """Return the classes that the card of a checkpoint states; None if it states none."""
    try:
        named = with_published_card(checkpoint, path) if name == "resnet50" else checkpoint
        return require_classes(named.meta.get("classes"), path)
    except ModelError:
        return None
