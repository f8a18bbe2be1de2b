"""Cascading randomisation (Adebayo et al. 2018): the weights are permuted layer by layer, from the head."""

from collections.abc import Container, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from dogcam.network.hooks import evaluation_mode, hooked


@torch.no_grad()
def layers_as_they_run(network: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the modules that have weights of their own, in the order in which they first run.

    A module may never run although its weights are used: attention multiplies by the weights of its
    projections itself. Such a module follows its nearest parent that runs, and so does a module that is not
    used at all: the list holds all weights of the network.

    Args:
        network: any network; left as it was found.
        images: (N, 3, H, W) float tensor, one image is enough.
    """
    order = _order_of_runs(network, images)
    own = [name for name, module in network.named_modules() if _has_weights(module)]
    # Of equal ones, the module that contains the others is named first.
    return sorted(own, key=lambda name: order[_nearest(name, order)])


def _order_of_runs(network: nn.Module, images: Tensor) -> dict[str, int]:
    """Return the rank of every module that runs, from 0; the network itself is the first."""
    order = {"": 0}

    def note(name: str, _module: nn.Module, _inputs: tuple) -> None:
        order.setdefault(name, len(order))

    # Before it runs: a module that contains others precedes them.
    with evaluation_mode(network), hooked(network.named_modules(), before=note):
        network(images)
    return order


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _nearest(name: str, ran: Container[str]) -> str:
    """Return the module itself if it ran, else the nearest one that it is part of that did."""
    while name not in ran:
        name = name.rpartition(".")[0]
    return name


class Cascade:
    """A copy of a network whose layers are permuted one after the other, from the last to the first.

    The values of each weight tensor are permuted at random. This keeps their scale, so that activations
    neither vanish nor explode, and removes what training put into their order. The statistics of batch
    normalisation stay. A weight tensor of equal values does not change.

    Args:
        network: is copied, and left as it was found.
        layers: names of modules, as `layers_as_they_run` returns them.
        seed: of the permutations.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], seed: int) -> None:
        self.network = deepcopy(network)
        self._remaining = list(layers)
        self._permuted: set[int] = set()
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def randomise(self, n_layers: int) -> str:
        """Randomise the last layers that still have their weights; return the name of the lowest of them.

        Args:
            n_layers: how many, from 1 to as many as remain.
        """
        modules = dict(self.network.named_modules())
        for _ in range(n_layers):
            name = self._remaining.pop()
            for weight in modules[name].parameters(recurse=False):
                # A tensor that two layers share is permuted once.
                if id(weight) not in self._permuted:
                    self._permuted.add(id(weight))
                    order = torch.randperm(weight.numel(), generator=self._generator).to(weight.device)
                    weight.copy_(weight.flatten()[order].view(weight.shape))
        return name
