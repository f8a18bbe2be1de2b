"""Average the weights of a training as it goes: the mean of many noisy networks is better than the last."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RAMP = 10
"""How slowly the average begins to remember: after t updates it forgets at least 9 / (10 + t) of itself."""

_NOW, _START = "now.", "start."


class WeightAverage:
    """The exponential moving average of a network's state.

    After update t (from 1) the average becomes d * average + (1 - d) * weights, with
    d = min(decay, (1 + t) / (10 + t)): early on, the starting weights are soon forgotten. What is no floating
    number, such as a count of batches, is copied.

    What comes out may lie between that average and the weights that the training began with, on a straight
    line: it knows more of the new task than the beginning, and of the old one than the end (Wortsman et al.
    2022).

    Args:
        network: its present state is the average to begin with.
        decay: share of the average that an update leaves, in [0, 1); at 0 the average is the weights.
        start_share: share of the starting weights in what comes out, in [0, 1): those that the network has
            now, unless `begin` names others.
    """

    def __init__(self, network: nn.Module, decay: float, start_share: float = 0.0) -> None:
        self.decay, self.start_share = decay, start_share
        self.begin(network)

    def begin(self, network: nn.Module) -> None:
        """Begin again with the present state of the network, which is the starting weights from now on."""
        self.state = _copied(network.state_dict())
        self.start = _copied(network.state_dict()) if self.start_share else {}

    @torch.no_grad()
    def update(self, network: nn.Module, n_updates: int) -> None:
        """Take the weights in that an update led to; `n_updates` counts it."""
        share = 1 - min(self.decay, (1 + n_updates) / (RAMP + n_updates))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, share)
            else:
                self.state[name].copy_(tensor)

    def result(self) -> dict[str, Tensor]:
        """Return the state that comes out now; a copy."""
        made = _copied(self.state)
        for name, start in self.start.items():
            if start.is_floating_point():
                made[name].lerp_(start, self.start_share)
        return made

    def stored(self) -> dict[str, Tensor]:
        """Return all tensors that going on takes, by names of their own."""
        return {f"{_NOW}{name}": tensor for name, tensor in self.state.items()} | {
            f"{_START}{name}": tensor for name, tensor in self.start.items()
        }

    def restore(self, stored: dict[str, Tensor]) -> None:
        """Go on from what was `stored`."""
        for name, tensor in self.stored().items():
            tensor.copy_(stored[name])

    @contextmanager
    def installed(self, network: nn.Module) -> Iterator[None]:
        """Give the network the state that would come out now, for as long as the context lasts."""
        own = _copied(network.state_dict())
        network.load_state_dict(self.result())
        try:
            yield
        finally:
            network.load_state_dict(own)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
