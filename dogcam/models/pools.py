"""Class pooling: sum the probabilities of several outputs of a softmax head into one class."""

import difflib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn

from dogcam.errors import ConfigError, ModelError
from dogcam.files import read_text
from dogcam.models.architecture import find_head
from dogcam.models.imagenet import VOC_POOLS
from dogcam.network.heads import LogOddsHead, LogOddsOfGroups
from dogcam.network.hooks import evaluation_mode

Pools = Mapping[str, Sequence[int]]
"""The indices of the pooled outputs for each new class."""

_RANGE = re.compile(r"(\d+)-(\d+)")


def parse_pools(texts: Sequence[str], classes: Sequence[str]) -> Pools:
    """Parse the values of the option `--pool`.

    Args:
        texts: `voc` to pool ImageNet's classes into VOC's, `none` for no pools, or any number of
            `NAME=MEMBERS`. MEMBERS is a file with one member in each line, or a list with commas: class
            names, indices from 0, or ranges such as `151-268`.
        classes: names of the outputs in their order.

    Raises:
        ConfigError: if a pool is malformed, empty or named twice, or has an unknown member.

    >>> parse_pools(["pet=cat,0-1"], ["beagle", "pug", "cat", "cow"])
    {'pet': (2, 0, 1)}
    """
    if list(texts) == ["none"]:
        return {}
    if list(texts) == ["voc"]:
        return VOC_POOLS
    pools: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, members = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--pool {text}: expected NAME=MEMBERS, or voc or none alone")
        if name.strip() in pools:
            raise ConfigError(f"--pool {text}: {name.strip()} occurs twice; list all members in one pool")
        indices = [index for each in _members(members) for index in _indices(each, classes, text)]
        if not indices:
            raise ConfigError(f"--pool {text} has no members; expected a file, names or indices")
        pools[name.strip()] = tuple(dict.fromkeys(indices))
    return pools


def pool_outputs(network: nn.Module, pools: Pools, n_outputs: int, size: tuple[int, int]) -> nn.Module:
    """Return a network whose outputs are the log-odds of the pools; the sigmoid gives the probabilities.

    If the network ends in a linear head (verified on a random image), the head is replaced, so CAM still
    exists. Otherwise the log-odds are computed after the network.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits of a softmax; its head may be changed in place.
        pools: G pools.
        n_outputs: C.
        size: (height, width) of the input in pixels.

    Raises:
        ModelError: if a pool contains all outputs, or an output that does not exist.
    """
    groups = list(pools.values())
    appended = nn.Sequential(OrderedDict(network=network, pool_of_outputs=LogOddsOfGroups(n_outputs, groups)))
    try:
        name = find_head(network, n_outputs)
    except ModelError:
        return appended
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), evaluation_mode(appended):
        expected = appended(image)
        linear = cast(nn.Linear, network.get_submodule(name))
        network.set_submodule(name, LogOddsHead(linear, groups))
        found = network(image)
    if found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
        return network
    network.set_submodule(name, linear)
    return appended


def _members(text: str) -> list[str]:
    path = Path(text)
    members = read_text(path, ConfigError).splitlines() if text and path.is_file() else text.split(",")
    return [each.strip() for each in members if each.strip()]


def _indices(member: str, classes: Sequence[str], text: str) -> range | list[int]:
    if member in classes:
        return [classes.index(member)]
    found = _RANGE.fullmatch(member)
    first, last = map(int, found.groups() if found else (member, member) if member.isdigit() else (1, 0))
    if first <= last < len(classes):
        return range(first, last + 1)
    near = difflib.get_close_matches(member, classes, n=4, cutoff=0.5)
    hint = f"similar: {', '.join(near)}" if near else f"expected names, or indices to {len(classes) - 1}"
    raise ConfigError(f"--pool {text}: {member!r} is no class, index, range or file; {hint}")
