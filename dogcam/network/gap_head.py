"""Verify that only global average pooling and one head follow a layer.

Then the gradient of every logit is known without differentiation: at each of the Z spatial positions it is
the weight of the head divided by Z, so one matrix product serves all classes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.network.heads import has_constant_gradient
from dogcam.network.hooks import hooked
from dogcam.network.spatial import Layout

ROUNDING_OF_GRADIENTS = 2
"""Relative tolerance of gradients in units of the machine epsilon. A gradient is one division, or a few; all
usual implementations of average pooling are off by less than 1."""

ROUNDING_OF_MEANS = 4
"""The same for means, relative to the mean absolute value of their terms. Usual sums in half precision are
off by about 1, because they accumulate in single precision."""

LEAST_OF_MEANS = 1e-3
"""Least tolerance of means in any number format: a long sum in single precision may be off by many times the
machine epsilon, but by far less than this."""


@dataclass
class LastHead:
    """The head that ran last, with its input and output; None before the forward pass."""

    name: str | None = None
    module: nn.Module | None = None
    given: Tensor | None = None
    output: Tensor | None = None


@contextmanager
def watch_heads(network: nn.Module) -> Iterator[LastHead]:
    """Record which linear layer or log-odds head runs last in the block; hooks are removed afterwards."""
    last = LastHead()

    def note(name: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        last.name, last.module, last.output = name, module, output
        last.given = inputs[0] if inputs else None

    heads = [each for each in network.named_modules() if has_constant_gradient(each[1])]
    with hooked(heads, after=note):
        yield last


def require_logits(output: object) -> Tensor:
    """Return the output of a network if it is a tensor.

    Raises:
        ModelError: if it is anything else, such as a tuple or a dictionary.
    """
    if isinstance(output, Tensor):
        return output
    raise ModelError(
        f"the network returns a {type(output).__name__}; expected logits of shape (N, C): wrap the network "
        "in a module whose forward returns only the logits"
    )


def is_gap_linear(last: LastHead, output: Tensor, layout: Layout, logits: Tensor) -> bool:
    """Check whether the logits are the output of the last head on the spatial mean of a layer.

    Values and gradients are verified. The head must have returned these logits, and return them again for the
    mean of the activation maps. The gradient of the input of the head along a random direction must be that
    direction divided by the number of positions, at every position. Values alone are not enough: a ReLU after
    a layer without negative values changes only the gradient at 0.

    Args:
        last: the head, from `watch_heads`.
        output: the captured output of the layer, where the graph of the logits starts; if it requires no
            gradient, only values are compared.
        layout: of the output of the layer.
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
    assert pooled is not None and last.module is not None, "a head ran"
    size = maps.abs().mean(dim=(2, 3))
    tolerance = max(LEAST_OF_MEANS, ROUNDING_OF_MEANS * torch.finfo(pooled.dtype).eps)
    if not ((pooled - maps.mean(dim=(2, 3))).abs() <= tolerance * size).all():
        return False
    # `forward` itself: a hook of the caller may have changed the output of the head.
    return torch.allclose(last.module.forward(pooled), logits, rtol=1e-3, atol=1e-5)


def _same_gradients(pooled: Tensor, output: Tensor, layout: Layout) -> bool:
    if not pooled.requires_grad:
        return False
    generator = torch.Generator().manual_seed(0)
    # Between 1 and 2, so that no gradient underflows in a format with few digits.
    direction = (1 + torch.rand(pooled.shape[1], generator=generator)).to(pooled)
    # Of a scalar: torch imports sympy, which takes seconds, to check the shape of any other gradient.
    with torch.enable_grad():
        along = (pooled * direction).sum()
    (channel_gradients,) = torch.autograd.grad(along, output, retain_graph=True, allow_unused=True)
    if channel_gradients is None:
        return False
    channel_gradients = layout.maps(channel_gradients)
    # Under autocast the mean may have a wider format than the layer; gradients have that of the layer.
    tolerance = ROUNDING_OF_GRADIENTS * max(
        torch.finfo(each.dtype).eps for each in (pooled, channel_gradients)
    )
    # The expected values must not be rounded.
    wide = torch.promote_types(channel_gradients.dtype, torch.float32)
    expected = (direction.to(wide) / layout.n_positions)[:, None, None]
    return bool(((channel_gradients.to(wide) - expected).abs() <= tolerance * expected).all())
