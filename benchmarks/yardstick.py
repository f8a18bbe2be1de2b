"""Lower bound of the time of a network: its operations at the rate of a large matrix product."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .measure import seconds_of

NAME = "matrix_product"

SIDE, QUICK_SIDE = 2048, 256
"""Side of the square matrices; above about 1,000 the rate is constant."""

TRIES = 3
"""Number of products; the fastest counts, because disturbances only slow down."""


@torch.inference_mode()
def operations(network: nn.Module, images: Tensor) -> int:
    """Return the additions and multiplications of the convolutions and matrix products of a batch."""
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops()


class Yardstick:
    """Computes the time of the operations of a batch in single precision on all threads.

    It is torch's product, and no bound to the last per cent: another library's may be somewhat faster, and a
    convolution may skip the borders that are counted here. Algorithms that need fewer multiplications
    (Winograd's) and numbers of 8 or 16 bits have other limits.

    Args:
        n_operations: of the batch.
        side: of the matrices that are multiplied.
    """

    def __init__(self, n_operations: int, side: int) -> None:
        self.share = n_operations / (2 * side**3)
        self.factors = torch.randn(2, side, side)

    def seconds(self) -> float:
        """Return the seconds, from products measured now."""
        one, other = self.factors
        return self.share * min(seconds_of(lambda: one @ other) for _ in range(TRIES))
