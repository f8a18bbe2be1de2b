"""Average the weights of a training as it goes: the mean of many noisy networks is better than the last."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RAMP = 10
"""How slowly the average begins to remember: after t updates it forgets at least 9 / (10 + t) of itself."""


class WeightAverage:
    """The exponential moving average of a network's state.

    After update t (from 1) the average becomes d * average + (1 - d) * weights, with
    d = min(decay, (1 + t) / (10 + t)): early on, the starting weights are soon forgotten. What is no floating
    number, such as a count of batches, is copied.

    Args:
        network: its present state is the average to begin with.
        decay: share of the average that an update leaves, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, n_updates: int) -> None:
        """Take the weights in that an update led to; `n_updates` counts it."""
        share = 1 - min(self.decay, (1 + n_updates) / (RAMP + n_updates))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, share)
            else:
                self.state[name].copy_(tensor)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from an average that was stored."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])

    @contextmanager
    def installed(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged state for as long as the context lasts."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield
        finally:
            network.load_state_dict(own)
