"""Starting weights: ImageNet's, none, or those of a file, whose head is replaced where its classes differ."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from dogcam.architectures import Architecture, find_head
from dogcam.checkpoints import Checkpoint, load_checkpoint, load_into
from dogcam.classifier import with_published_card
from dogcam.errors import ModelError

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
    return network, _from_file(network, classes, Path(chosen))


def _from_file(network: nn.Module, classes: Sequence[str], path: Path) -> str:
    checkpoint = load_checkpoint(path)
    known = _known_classes(checkpoint, path)
    if known == tuple(classes):
        load_into(network, checkpoint, path)
        return f"{path.name}, its head included"
    head, own = find_head(network, len(classes)), network.state_dict()
    fresh = {name: own[name] for name in (f"{head}.weight", f"{head}.bias") if name in own}
    load_into(network, Checkpoint({**checkpoint.state, **fresh}, checkpoint.meta), path)
    theirs = f"is for {len(known)} classes ({', '.join(known)})" if known else "does not say its classes"
    return f"{path.name}; its head {theirs}, and is replaced by a new one for {len(classes)}"


def _known_classes(checkpoint: Checkpoint, path: Path) -> tuple[str, ...] | None:
    """Return the classes of a checkpoint's outputs; None where it does not say them, and none is guessed."""
    if "classes" not in checkpoint.meta and "fc.weight" not in checkpoint.state:
        return None
    try:
        return tuple(with_published_card(checkpoint, path).meta["classes"])
    except ModelError:
        return None
