"""Architectures: how to build a network, and how to find and replace its head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from dogcam.errors import ModelError
from dogcam.models.imagenet import imagenet_categories
from dogcam.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""The auxiliary heads of GoogLeNet and Inception v3. They are used in training only, and are removed."""


@dataclass(frozen=True)
class Architecture:
    """How to build a network.

    Attributes:
        name: name of the architecture, which a model card states.
        build: (class names, whether to use ImageNet weights) -> the network with a new head.
        input_size: default height and width of the input in pixels.
        mean, std: normalisation of the input.
        imagenet: description of the ImageNet weights; None if there are none.
        packages: required packages, in addition to torch and torchvision.
        with_imagenet_head: -> the network with ImageNet weights and ImageNet head; None if there are none.
        categories: -> names of the outputs of the ImageNet head, in their order.
    """

    name: str
    build: Callable[[Sequence[str], bool], nn.Module]
    input_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    imagenet: str | None = None
    packages: tuple[str, ...] = ()
    with_imagenet_head: Callable[[], nn.Module] | None = None
    categories: Callable[[], tuple[str, ...]] = imagenet_categories


def find_head(network: nn.Module, n_outputs: int) -> str:
    """Return the dotted name of the head: the last registered linear layer with that number of outputs.

    Raises:
        ModelError: if no linear layer has that many outputs.
    """
    fitting = [
        name
        for name, module in network.named_modules()
        # A joint head contains the prior head as `head.prior`.
        if isinstance(module, nn.Linear) and module.out_features == n_outputs and ".prior." not in name
    ]
    if not fitting:
        raise ModelError(
            f"this {type(network).__name__} has no linear layer with {n_outputs} outputs that could be its "
            "head; choose a network that ends in one"
        )
    return fitting[-1]


def replace_head(network: nn.Module, n_outputs: int, n_classes: int) -> None:
    """Replace the head of `n_outputs` by a new linear layer of `n_classes` outputs.

    Raises:
        ModelError: if no head is found.
    """
    name = find_head(network, n_outputs)
    old = cast(nn.Linear, network.get_submodule(name))
    network.set_submodule(name, nn.Linear(old.in_features, n_classes, bias=old.bias is not None))
