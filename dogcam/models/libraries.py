"""Architectures of torchvision, of timm, and of a user's function."""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from dogcam.errors import ModelError, first_line
from dogcam.models.architecture import AUXILIARY, Architecture, find_head, replace_head
from dogcam.models.imagenet import N_CLASSES, imagenet_categories

Result = TypeVar("Result")

TIMM = "timm:"
"""Prefix of the names of timm's architectures."""


def torchvision_architecture(name: str) -> Architecture:
    """Return an architecture of torchvision; its ImageNet weights are the default weights of the library."""
    import torchvision

    weights = torchvision.models.get_model_weights(name).DEFAULT
    # The input size of vision transformers is part of their weights.
    smallest = max(weights.meta["min_size"])
    sized = {"image_size": smallest} if name.startswith("vit_") else {}

    def whole(pretrained: bool) -> nn.Module:
        if pretrained:
            # Downloaded and read with weights_only; the library then reads the same file again.
            target = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
            remedy = f"download {weights.url} on another machine and save it as {target}"
            _fetched(name, lambda: weights.get_state_dict(check_hash=True, weights_only=True), remedy)
        return without_auxiliary_heads(
            torchvision.models.get_model(
                name, weights=weights if pretrained else None, **_extra_settings(name, pretrained), **sized
            )
        )

    def build(classes: Sequence[str], pretrained: bool) -> nn.Module:
        network = whole(pretrained)
        replace_head(network, len(weights.meta["categories"]), len(classes))
        return network

    size = max(Architecture.input_size, smallest)
    return Architecture(
        name, build, size, imagenet=f"torchvision's {weights}", with_imagenet_head=lambda: whole(True)
    )


def _extra_settings(name: str, pretrained: bool) -> dict[str, Any]:
    """Return the settings with which GoogLeNet and Inception v3 are built without a warning."""
    if name not in ("googlenet", "inception_v3") or pretrained:
        return {}
    return {"transform_input": True, "init_weights": True}


def without_auxiliary_heads(network: nn.Module) -> nn.Module:
    """Remove the auxiliary heads of GoogLeNet and Inception v3, which are used in training only."""
    for name in AUXILIARY:
        if getattr(network, name, None) is not None:
            network.aux_logits = False  # type: ignore[assignment]
            setattr(network, name, None)
    return network


def timm_architecture(name: str) -> Architecture:
    """Return an architecture of timm, `timm:NAME` or `timm:NAME.TAG`.

    Raises:
        ModelError: if timm is not installed, or has no such model or weights.
    """
    timm = _import_timm()
    plain = name.removeprefix(TIMM)
    base = plain.partition(".")[0]
    if not timm.is_model(plain):
        near = difflib.get_close_matches(base, timm.list_models(), n=4, cutoff=0.5)
        raise ModelError(f"timm has no model {plain!r}; similar names are {', '.join(near) or 'none'}")
    try:
        card = timm.get_pretrained_cfg(plain)
    except RuntimeError as error:  # unknown tag
        there = ", ".join(timm.list_pretrained(f"{base}.*")) or "none"
        raise ModelError(f"timm has no weights {plain!r}; the weights of {base} are {there}") from error
    source = f"{card.hf_hub_id or card.url or 'its authors'}"

    def make(pretrained: bool, **settings: Any) -> nn.Module:
        if not pretrained:
            return timm.create_model(plain, pretrained=False, **settings)
        remedy = (
            f"download the weights of {source} on another machine, and use --checkpoint FILE --classes "
            "imagenet --activation softmax"
        )
        return _fetched(name, lambda: timm.create_model(plain, pretrained=True, **settings), remedy)

    def build(classes: Sequence[str], pretrained: bool) -> nn.Module:
        network = make(pretrained, num_classes=len(classes))
        find_head(network, len(classes))
        return network

    def categories() -> tuple[str, ...]:
        if card.num_classes == N_CLASSES:
            return imagenet_categories()
        subset = timm.data.infer_imagenet_subset(card.to_dict())
        if not subset:
            raise ModelError(f"{name} has {card.num_classes} outputs without known names; give --classes")
        return tuple(timm.data.ImageNetInfo(subset).label_names())

    size, mean, std = card.input_size[-1], tuple(card.mean), tuple(card.std)
    weights = f"timm's {card.architecture}.{card.tag or 'default'}"
    return Architecture(
        name, build, size, mean, std, weights, ("timm",),
        with_imagenet_head=lambda: make(True), categories=categories,
    )  # fmt: skip


def is_function(name: str) -> bool:
    """Check whether the name of an architecture is that of a user's function."""
    return ":" in name and not name.startswith(TIMM)


def own_architecture(name: str) -> Architecture:
    """Return the architecture of a user's function, `package.module:function`.

    The function takes no arguments and returns the network with its head. Modules are also searched in the
    current folder.
    """

    def build(_classes: Sequence[str], _pretrained: bool) -> nn.Module:
        module_name, _, function_name = name.partition(":")
        sys.path.insert(0, str(Path.cwd()))
        try:
            function = getattr(importlib.import_module(module_name), function_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ModelError(
                f"{name} cannot be imported ({error}); expected package.module:function, importable from "
                f"{Path.cwd()}"
            ) from error
        finally:
            sys.path.remove(str(Path.cwd()))
        network = function()
        if not isinstance(network, nn.Module):
            raise ModelError(f"{name} returns a {type(network).__name__}; expected a torch.nn.Module")
        return network

    return Architecture(name, build)


def _import_timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            "timm:NAME needs timm, which is not installed: run  pip install 'dogcam[timm]'"
        ) from error
    return timm


def _fetched(name: str, fetch: Callable[[], Result], remedy: str) -> Result:
    """Call a function of a library that downloads weights; raise ModelError with a remedy if it fails."""
    try:
        return fetch()
    except Exception as error:  # HTTP clients of the libraries raise various errors
        raise ModelError(
            f"the ImageNet weights of {name} could not be downloaded ({first_line(error)}); connect to the "
            f"network, or {remedy}. For other initial weights of a training, use --init"
        ) from error
