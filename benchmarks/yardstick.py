"""How fast a network would be at the rate of a large matrix product, which is what arithmetic allows."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .measure import seconds_of

NAME = "matrix_product"

SIDE, QUICK_SIDE = 2048, 256
"""Of the square matrices; from about a thousand on the rate no longer grows."""

TRIES = 3
"""Products of which the fastest counts: whatever disturbs one makes it slower, never faster."""


@torch.inference_mode()
def operations(network: nn.Module, images: Tensor) -> int:
    """Return how many additions and multiplications the convolutions and matrix products of a batch take."""
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops()


class Yardstick:
    """Tells how long the operations of a batch would take, in single precision and on all threads.

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
        """Return the seconds, by products that are done now."""
        one, other = self.factors
        return self.share * min(seconds_of(lambda: one @ other) for _ in range(TRIES))
