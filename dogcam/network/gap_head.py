"""Find out whether averaging over the places and one head is all that stands behind a layer, and verify it.

Where it is, the gradient of every logit is known without differentiating: at each of the Z places it is the
head's weight divided by Z, so that one product serves all classes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.network.heads import has_constant_gradient
from dogcam.network.spatial import Layout

ROUNDING_OF_GRADIENTS = 2
"""How many times the precision of the number format a slope may be off, in proportion: it is one division, or
a few. Rounding each of the usual ways of averaging errs by less than 1."""

ROUNDING_OF_MEANS = 4
"""The same for averages, in proportion to the size of their terms: the usual ways of summing in half
precision err by about 1, since they keep their sums in single."""

LEAST_OF_MEANS = 1e-3
"""What averages may be off in any format: in single precision a long sum may err by many times the precision,
and still by far less than this."""


@dataclass
class LastHead:
    """The head that ran last, what it was given and what it put out; None before the forward pass."""

    name: str | None = None
    module: nn.Module | None = None
    given: Tensor | None = None
    output: Tensor | None = None


@contextmanager
def watch_heads(network: nn.Module) -> Iterator[LastHead]:
    """Note which linear layer or log-odds head runs last while the block runs; no hook is left behind."""
    last = LastHead()

    def noting(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            given = inputs[0] if inputs else None
            last.name, last.module, last.given, last.output = name, module, given, output

        return hook

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if has_constant_gradient(module):
                hooks.callback(module.register_forward_hook(noting(name)).remove)
        yield last


def require_logits(output: object) -> Tensor:
    """Return what a network put out, if it is a tensor.

    Raises:
        ModelError: where it is a tuple, a dictionary, or a record of several things.
    """
    if isinstance(output, Tensor):
        return output
    raise ModelError(
        f"the network puts out a {type(output).__name__}; expected logits of shape (N, C): wrap it in a "
        "module whose forward returns the logits alone"
    )


def is_gap_linear(last: LastHead, output: Tensor, layout: Layout, logits: Tensor) -> bool:
    """Tell whether the logits are the head that ran last, on the layer's average over its places.

    Nothing is assumed: the head must have put out the very logits, and repeat them from the average of the
    layer's maps; and the gradients of the head's input, along a random direction, must be that direction
    divided by the number of places at every place. The values alone would not do: behind a layer that is
    nowhere negative a ReLU changes nothing but the slope at 0.

    Args:
        last: the head, from `watch_heads`.
        output: the layer's captured output, at which the graph of the logits begins; where it needs no
            gradient, only the values are compared.
        layout: of the layer's output.
        logits: (N, C) float tensor.
    """
    pooled = last.given
    if last.output is not logits or not isinstance(pooled, Tensor) or pooled.ndim != 2:
        return False
    maps = layout.maps(output.detach())
    if pooled.shape != maps.shape[:2] or not layout.n_positions:
        return False
    if not _same_values(last, maps, logits):
        return False
    return not output.requires_grad or _same_gradients(pooled, output, layout)


@torch.no_grad()
def _same_values(last: LastHead, maps: Tensor, logits: Tensor) -> bool:
    maps, pooled = maps.float() if maps.dtype.itemsize < 4 else maps, last.given
    size = maps.abs().mean(dim=(2, 3))
    tolerance = max(LEAST_OF_MEANS, ROUNDING_OF_MEANS * torch.finfo(pooled.dtype).eps)
    if not ((pooled - maps.mean(dim=(2, 3))).abs() <= tolerance * size).all():
        return False
    # `forward` itself: somebody's hook on the head may have changed what it put out.
    return torch.allclose(last.module.forward(pooled), logits, rtol=1e-3, atol=1e-5)


def _same_gradients(pooled: Tensor, output: Tensor, layout: Layout) -> bool:
    if not pooled.requires_grad:
        return False
    generator = torch.Generator().manual_seed(0)
    # Between 1 and 2, so that no slope is lost in a number format of few digits.
    direction = (1 + torch.rand(pooled.shape[1], generator=generator)).to(pooled)
    (channel_gradients,) = torch.autograd.grad(
        pooled, output, direction.expand_as(pooled), retain_graph=True, allow_unused=True
    )
    if channel_gradients is None:
        return False
    channel_gradients = layout.maps(channel_gradients)
    # Under autocast the average may have a wider format than the layer; the gradients have the layer's.
    tolerance = ROUNDING_OF_GRADIENTS * max(
        torch.finfo(each.dtype).eps for each in (pooled, channel_gradients)
    )
    # What is expected must not be rounded as well.
    wide = torch.promote_types(channel_gradients.dtype, torch.float32)
    expected = (direction.to(wide) / layout.n_positions)[:, None, None]
    return bool(((channel_gradients.to(wide) - expected).abs() <= tolerance * expected).all())
