"""Cascading randomisation (Adebayo et al. 2018): weights lose their meaning, from the head down."""

from collections.abc import Callable, Container, Sequence
from contextlib import ExitStack
from copy import deepcopy

import torch
from torch import Tensor, nn

from dogcam.network.hooks import evaluation_mode


@torch.no_grad()
def layers_as_they_run(network: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the modules that have weights of their own, in the order in which they first run.

    A module may never run and its weights be used all the same: attention takes those of its projections and
    multiplies by itself. Such a module stands behind the nearest one of those it is part of that runs; one
    that is not used at all does so too, so that all weights of the network are in the list.

    Args:
        network: any network; left as it was found.
        images: (N, 3, H, W) float tensor, one image is enough.
    """
    places = _places_as_they_run(network, images)
    own = [name for name, module in network.named_modules() if _has_weights(module)]
    # Of one place, the module that holds the others is named first.
    return sorted(own, key=lambda name: places[_nearest(name, places)])


def _places_as_they_run(network: nn.Module, images: Tensor) -> dict[str, int]:
    """Return, for every module that runs, which it is of them, from 0; the network itself is the first."""
    places = {"": 0}

    def noting(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            places.setdefault(name, len(places))

        return hook

    with ExitStack() as hooks, evaluation_mode(network):
        for name, module in network.named_modules():
            # Before it runs: a module that holds others, such as a token's, comes before what it holds.
            hooks.callback(module.register_forward_pre_hook(noting(name)).remove)
        network(images)
    return places


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _nearest(name: str, ran: Container[str]) -> str:
    """Return the module itself if it ran, else the nearest one that it is part of that did."""
    while name not in ran:
        name = name.rpartition(".")[0]
    return name


class Cascade:
    """A copy of a network whose layers lose what they learned, one after the other, the last first.

    The values of each weight tensor are dealt out to other places at random. That keeps their scale, so that
    activations neither vanish nor explode, and takes away all that training put into their order; what
    batch normalisation counted stays. A weight tensor of equal values, as of one number, stays as it is.

    Args:
        network: is copied, and left as it was found.
        layers: names of modules, as `layers_as_they_run` returns them.
        seed: of the draws.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], seed: int) -> None:
        self.network = deepcopy(network)
        self._remaining = list(layers)
        self._dealt: set[int] = set()
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def randomise(self, n_layers: int) -> str:
        """Randomise the last layers that are not yet, and return the name of the lowest of them.

        Args:
            n_layers: how many, from 1 to as many as remain.
        """
        modules = dict(self.network.named_modules())
        for _ in range(n_layers):
            name = self._remaining.pop()
            for weight in modules[name].parameters(recurse=False):
                # A tensor that two layers share is dealt out once.
                if id(weight) not in self._dealt:
                    self._dealt.add(id(weight))
                    places = torch.randperm(weight.numel(), generator=self._generator).to(weight.device)
                    weight.copy_(weight.flatten()[places].view(weight.shape))
        return name
