"""Starting weights: ImageNet's, none, or those of a file, whose head is replaced where its classes differ."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from dogcam.errors import ModelError
from dogcam.models.card import require_classes, with_published_card
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into
from dogcam.models.registry import Architecture, find_head

IMAGENET, NONE = "imagenet", "none"


def starting_network(
    architecture: Architecture, classes: Sequence[str], start: str | None = None
) -> tuple[nn.Module, str]:
    """Build a network with its starting weights.

    Args:
        architecture: what to build.
        classes: names in the order of the logits.
        start: `imagenet`, `none` (random weights, from torch's generator), or a file; None is `imagenet`
            where the architecture has such weights.

    Returns:
        The network, and in words what it begins with.

    Raises:
        ModelError: where the weights cannot be had, or do not fit the architecture.
    """
    chosen = start or (IMAGENET if architecture.imagenet else NONE)
    if chosen == IMAGENET and not architecture.imagenet:
        raise ModelError(f"{architecture.name} has no ImageNet weights; use --start none, or a file")
    if chosen == NONE and architecture.name == "efficientnet_lite0_voc2007":
        raise ModelError(
            f"{architecture.name} keeps ImageNet's head beside the new one, so it cannot start from nothing; "
            "use --start imagenet or a file, or the plain efficientnet_lite0"
        )
    network = architecture.build(classes, chosen == IMAGENET)
    if chosen == IMAGENET:
        return network, f"ImageNet weights, {architecture.imagenet}; a new head"
    if chosen == NONE:
        return network, "random weights"
    return network, _from_file(network, architecture.name, classes, Path(chosen))


def _from_file(network: nn.Module, name: str, classes: Sequence[str], path: Path) -> str:
    loaded = load_checkpoint(path)
    checkpoint = replace(loaded, state={_as_now(key): tensor for key, tensor in loaded.state.items()})
    known = _known_classes(checkpoint, name, path)
    if known == tuple(classes):
        load_into(network, checkpoint, path)
        return f"{path.name}, its head included"
    head, own = find_head(network, len(classes)), network.state_dict()
    fresh = {name: own[name] for name in (f"{head}.weight", f"{head}.bias") if name in own}
    load_into(network, Checkpoint({**checkpoint.state, **fresh}, checkpoint.meta), path)
    theirs = f"is for {len(known)} classes ({', '.join(known)})" if known else "does not say its classes"
    return f"{path.name}; its head {theirs}, and is replaced by a new one for {len(classes)}"


def _as_now(key: str) -> str:
    """Return what torchvision calls a weight today: its files of DenseNets have `norm.1` for `norm1`."""
    return re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.(?=[12]\.)", r"\1", key)


def _known_classes(checkpoint: Checkpoint, name: str, path: Path) -> tuple[str, ...] | None:
    """Return the classes of a checkpoint's outputs; None where it does not say them, and none is guessed."""
    try:
        named = with_published_card(checkpoint, path) if name == "resnet50" else checkpoint
        return require_classes(named.meta.get("classes"), path)
    except ModelError:
        return None
