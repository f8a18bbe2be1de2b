"""Fine-tuning: frozen layers, the prior head, learning rates by part, and the mode of each part."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dogcam.errors import ConfigError
from dogcam.network.heads import JointHead
from dogcam.network.hooks import find_layer
from dogcam.train.config import TrainingConfig


def head_of(network: nn.Module) -> nn.Module:
    """Return the head: the child of the network that is registered last."""
    return list(network.children())[-1]


@contextmanager
def frozen_layers(network: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Freeze layers until the context ends.

    Args:
        network: the flags of its parameters are changed, and restored.
        names: dotted names of layers.

    Raises:
        ModelError: if there is no such layer.
    """
    parameters = [each for name in names for each in find_layer(network, name).parameters()]
    wanted = [each for each in parameters if each.requires_grad]
    try:
        for each in wanted:
            each.requires_grad_(False)
        yield
    finally:
        for each in wanted:
            each.requires_grad_(True)


def joint_head_of(network: nn.Module, setting: str) -> JointHead:
    """Return the joint head of a network, which contains the prior (ImageNet) head.

    Args:
        network: a `pooled_network` with a `JointHead`.
        setting: the setting that needs it, for the message.

    Raises:
        ConfigError: if the network has another head.
    """
    head = head_of(network)
    if not isinstance(network, nn.Sequential) or not isinstance(head, JointHead):
        raise ConfigError(
            f"{setting} needs a network with a prior head, such as efficientnet_lite0_voc2007; this one is a "
            f"{type(network).__name__} that ends in a {type(head).__name__}: remove {setting}"
        )
    return head


@contextmanager
def prior_outputs_only(head: JointHead) -> Iterator[None]:
    """Set the new linear weights of the prior head's outputs to 0, and keep them at 0 until the context ends.

    The logit and the class activation map of such an output then depend on the classes of the prior head
    alone. Its bias is trained.

    Args:
        head: the weights are 0 afterwards, and can be trained again.
    """
    trained = 1 - head.get_buffer("assignment").sum(0)[:, None]
    with torch.no_grad():
        head.linear.weight.mul_(trained)
    if not head.linear.weight.requires_grad:
        yield
        return
    handle = head.linear.weight.register_hook(lambda gradient: gradient * trained)
    try:
        yield
    finally:
        handle.remove()


def parameter_groups(network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the parameter groups of the optimizer: the backbone, and the head with its own multiplier.

    Returns:
        Groups with `params` and `lr_multiplier`; empty groups are omitted.

    Raises:
        ConfigError: if every layer is frozen.
    """
    own = {id(each) for each in head_of(network).parameters()}
    trained = [each for each in network.parameters() if each.requires_grad]
    backbone = [each for each in trained if id(each) not in own]
    head = [each for each in trained if id(each) in own]
    if not trained:
        frozen = ", ".join(config.frozen_layers)
        raise ConfigError(f"the frozen layers {frozen} are the whole network; freeze fewer layers")
    multipliers = ((backbone, 1.0), (head, config.head_lr_multiplier))
    return [{"params": each, "lr_multiplier": multiplier} for each, multiplier in multipliers if each]


def set_mode(network: nn.Module, config: TrainingConfig) -> None:
    """Set the training mode of a network; frozen parts are in evaluation mode.

    With `freeze_batch_norm` all parts but the head are. Frozen layers always are, because their batch
    statistics belong to what is frozen.
    """
    network.train()
    if config.freeze_batch_norm:
        head = head_of(network)
        for part in network.children():
            part.train(part is head)
    for name in config.frozen_layers:
        find_layer(network, name).eval()
