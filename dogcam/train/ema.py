"""The exponential moving average (EMA) of the weights, and its interpolation with the initial weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RAMP = 10
"""Limits the decay of early updates: at update t it is at most (1 + t) / (10 + t)."""

_AVERAGE, _INITIAL = "average.", "initial."


class WeightAverage:
    """The final weights of a training: the EMA, interpolated with the initial weights.

    After update t (from 1) the average becomes d * average + (1 - d) * weights, with
    d = min(decay, (1 + t) / (10 + t)). Tensors of integers, such as a count of batches, are copied.

    The final weights are (1 - w) * average + w * initial, w being the WiSE-FT weight (Wortsman et al. 2022).

    Args:
        network: its current state is the initial average.
        decay: share of the average that an update keeps, in [0, 1); at 0 it equals the weights.
        wise_ft_weight: share of the initial weights in the final weights, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float, wise_ft_weight: float = 0.0) -> None:
        self.decay, self.wise_ft_weight = decay, wise_ft_weight
        self.reset(network)

    def reset(self, network: nn.Module) -> None:
        """Use the current state of the network as the initial weights and as the average."""
        self.average = _copied(network.state_dict())
        self.initial = _copied(network.state_dict()) if self.wise_ft_weight else {}

    @torch.no_grad()
    def update(self, network: nn.Module, n_updates: int) -> None:
        """Include the weights after update number `n_updates`, which counts from 1."""
        share = 1 - min(self.decay, (1 + n_updates) / (RAMP + n_updates))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, share)
            else:
                self.average[name].copy_(tensor)

    def final(self) -> dict[str, Tensor]:
        """Return a copy of the final weights as of now."""
        made = _copied(self.average)
        for name, initial in self.initial.items():
            if initial.is_floating_point():
                made[name].lerp_(initial, self.wise_ft_weight)
        return made

    def stored(self) -> dict[str, Tensor]:
        """Return all tensors that a training needs to resume, by name."""
        return {f"{_AVERAGE}{name}": tensor for name, tensor in self.average.items()} | {
            f"{_INITIAL}{name}": tensor for name, tensor in self.initial.items()
        }

    def restore(self, stored: dict[str, Tensor]) -> None:
        """Continue from tensors that `stored` returned."""
        for name, tensor in self.stored().items():
            tensor.copy_(stored[name])

    @contextmanager
    def installed(self, network: nn.Module) -> Iterator[None]:
        """Give the network the final weights as of now, until the context ends."""
        own = _copied(network.state_dict())
        network.load_state_dict(self.final())
        try:
            yield
        finally:
            network.load_state_dict(own)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
