"""What fine-tuning does differently in the parts of a network: freeze, slow down, and remember."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.errors import ConfigError
from dogcam.network.heads import JointHead
from dogcam.network.hooks import find_layer
from dogcam.train.config import TrainingConfig


def head_of(network: nn.Module) -> nn.Module:
    """Return the part of a network that is registered last: in every classifier here, its head."""
    return list(network.children())[-1]


@contextmanager
def frozen_layers(network: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Keep some layers as they are for as long as the context lasts.

    Args:
        network: its parameters' flags are changed, and put back.
        names: dotted names of layers.

    Raises:
        ModelError: where there is no such layer.
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


def joint_head_of(network: nn.Module, option: str) -> JointHead:
    """Return the head of a network that keeps an older one beside the new one.

    Args:
        network: a `pooled_network` with a `JointHead`.
        option: what needs it, for the message.

    Raises:
        ConfigError: for any other network.
    """
    head = head_of(network)
    if not isinstance(network, nn.Sequential) or not isinstance(head, JointHead):
        raise ConfigError(
            f"{option} needs a network that keeps an older head beside the new one, such as "
            f"efficientnet_lite0_voc2007; this one is a {type(network).__name__} that ends in a "
            f"{type(head).__name__}: leave {option} out"
        )
    return head


@contextmanager
def known_outputs_alone(head: JointHead) -> Iterator[None]:
    """Take the new linear weights from outputs that an older head knows, and keep them at 0 while it lasts.

    What such an output sees, and its class activation map, then come from the older head's classes alone,
    whose weights in turn are worth what the body makes of them; its bias is learned.

    Args:
        head: the weights are 0 afterwards, and can be learned again.
    """
    learned = 1 - head.places.sum(0)[:, None]
    with torch.no_grad():
        head.linear.weight.mul_(learned)
    if not head.linear.weight.requires_grad:
        yield
        return
    handle = head.linear.weight.register_hook(lambda gradient: gradient * learned)
    try:
        yield
    finally:
        handle.remove()


def parameter_groups(network: nn.Module, config: TrainingConfig) -> list[dict]:
    """Return what is learned for the optimizer: the body, and the head at `head_rate` times its rate.

    Raises:
        ConfigError: where every layer is frozen.
    """
    own = {id(each) for each in head_of(network).parameters()}
    learned = [each for each in network.parameters() if each.requires_grad]
    body = [each for each in learned if id(each) not in own]
    head = [each for each in learned if id(each) in own]
    if not learned:
        frozen = ", ".join(config.frozen)
        raise ConfigError(f"with {frozen} frozen nothing is left to learn; freeze fewer layers")
    groups = ({"params": body, "factor": 1.0}, {"params": head, "factor": config.head_rate})
    return [group for group in groups if group["params"]]


def set_mode(network: nn.Module, config: TrainingConfig) -> None:
    """Switch a network to training; with `body_mode` "evaluate" all but its head work as in use.

    Frozen layers always do: their batch statistics are part of what they were.
    """
    network.train()
    if config.body_mode == "evaluate":
        head = head_of(network)
        for part in network.children():
            part.train(part is head)
    for name in config.frozen:
        find_layer(network, name).eval()


class Teacher:
    """The network before it was trained, which says how it saw a picture (Hinton et al. 2015).

    Li and Hoiem (2017) train a network for new classes so that the outputs of its old head stay what they
    were: what the old head needs is not forgotten.

    Args:
        network: a `pooled_network` with a `JointHead`; its present state is copied.

    Raises:
        ConfigError: for a network without an older head beside the new one.
    """

    def __init__(self, network: nn.Module) -> None:
        joint_head_of(network, "distillation")
        self.network = copy.deepcopy(network).eval()

    def loss(self, batch: Tensor, pooled: Tensor, head: JointHead) -> Tensor:
        """Return how far the older head's answers have moved: KL(before || now), estimated on a batch.

        Every second picture tells it: it is as often right as all of them, and takes half the time.

        Args:
            batch: (N, 3, H, W) images, as the network that learns is given them.
            pooled: (N, C) pooled activations of the network that learns.
            head: its head.
        """
        with torch.no_grad():
            before = self.network[-1].known.linear(self.network[:-1](batch[::2])).log_softmax(-1)
        now = head.known.linear(pooled[::2]).log_softmax(-1)
        return F.kl_div(now, before, reduction="batchmean", log_target=True)
