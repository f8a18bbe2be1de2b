"""Choose the target layer of a network by a stated rule, from a forward pass on a dummy input."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.network.gap_head import LastHead, is_gap_linear, require_logits, watch_heads
from dogcam.network.hooks import capture, eager, evaluation_mode, frozen_parameters, hooked, underlying
from dogcam.network.spatial import Layout, layout_of

_Pooling = (
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._MaxPoolNd,
)
_Passing = (nn.Identity, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True)
class TargetLayers:
    """The layers of a network that maps are computed at.

    Attributes:
        target: dotted name of the target layer.
        earlier: dotted name of the last layer with a higher resolution; None if there is none.
        head: dotted name of the head if only global average pooling and this head follow the target layer,
            so that CAM exists; else None.
        rule: the reason for the choice of the target layer, in words.
    """

    target: str
    earlier: str | None
    head: str | None
    rule: str


def choose_layers(network: nn.Module, input_size: tuple[int, int]) -> TargetLayers:
    """Choose the target layer and an earlier layer by running a dummy input through the network.

    The **target layer** is the last layer to finish that runs once, has spatial positions
    (`dogcam.network.spatial`) on which the logits depend, and does not merely pool or pass on its input.
    Dependence is tested by gradients: after the last attention of a network that uses a class token, the
    logits no longer depend on the other tokens. Three kinds of inner layers are excluded: layers with more
    positions than a layer before them (inside attention), tokens of another width than the last tokens (joint
    queries, keys and values), and several linear layers on the same input (separate queries, keys and
    values). If several layers return the same tensor, the outermost is named.

    The **earlier layer** is the input of the last step down to the resolution of the target layer: the input
    of the outermost module whose output has as many positions as the target layer, and whose input has more,
    but as few as possible.

    Args:
        network: maps (N, C, H, W) images to (N, K) logits; restored to its state afterwards.
        input_size: (height, width) of the network input in pixels.

    Raises:
        ModelError: if no layer qualifies, or the network does not return logits.
    """
    network = underlying(network)
    with eager(network), evaluation_mode(network), frozen_parameters(network), torch.inference_mode(False):
        # Created here: a tensor created under inference_mode cannot enter a graph.
        dummy = _dummy_input(network, input_size)
        with torch.enable_grad(), _traced(network, input_size) as calls, watch_heads(network) as last:
            logits = require_logits(network(dummy.requires_grad_()))
        target = _target(calls, last, logits)
        head = _head(network, dummy.detach(), target)
    if target is None:
        height, width = input_size
        raise ModelError(
            f"no layer of this {type(network).__name__} has more than one spatial position on which the "
            f"logits depend, for images of {height} x {width} pixels; use larger images, or name the "
            "target layer"
        )
    rule = (
        f"the last layer with spatial positions on which the logits depend, except pooling ({target.layout})"
    )
    return TargetLayers(target.name, _earlier(calls, target), head, rule)


@dataclass
class _Call:
    """One call of a module: its first input and its output, each with its version at that time."""

    name: str
    module: nn.Module
    given: Tensor | None
    given_state: tuple[int, int] | None
    given_layout: Layout | None
    output: Tensor | None = None
    state: tuple[int, int] | None = None
    layout: Layout | None = None

    @property
    def depth(self) -> int:
        return self.name.count(".")


def _dummy_input(network: nn.Module, input_size: tuple[int, int]) -> Tensor:
    convolution = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    channels = convolution.in_channels if convolution is not None else 3
    image = torch.randn(1, channels, *input_size, generator=torch.Generator().manual_seed(0))
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), image)
    return image.to(weight.device, weight.dtype)


def _state(tensor: Tensor) -> tuple[int, int]:
    """Identify a tensor and, because modules may work in place, its version."""
    return id(tensor), tensor._version


@contextmanager
def _traced(network: nn.Module, input_size: tuple[int, int]) -> Iterator[list[_Call]]:
    """Record every call of every submodule, in the order in which they finish."""
    started: dict[str, list[_Call]] = {}
    finished: list[_Call] = []

    def start(name: str, module: nn.Module, inputs: tuple) -> None:
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        seen = (None, None) if given is None else (_state(given), layout_of(given.shape, input_size))
        started.setdefault(name, []).append(_Call(name, module, given, *seen))

    def finish(name: str, _module: nn.Module, _inputs: tuple, output: Any) -> None:
        call = started[name].pop()
        if isinstance(output, Tensor):
            call.output, call.state = output, _state(output)
            # Attention windows are stacked along the first axis and have no positions of the image.
            call.layout = layout_of(output.shape, input_size) if output.shape[:1] == (1,) else None
        finished.append(call)

    modules = [(name, module) for name, module in network.named_modules() if name]
    with hooked(modules, before=start, after=finish):
        yield finished


def _target(calls: list[_Call], last: LastHead, logits: Tensor) -> _Call | None:
    pooled = {call.state for call in calls if isinstance(call.module, _Pooling)}
    candidates = [call for call in _candidates(calls) if call.state not in pooled]
    if not candidates or not logits.requires_grad:
        return None
    # The input of the head rather than its output: an untrained head may be all 0.
    reference = last.given if last.output is logits else logits
    assert reference is not None, "a head that ran has an input"
    direction = torch.randn(reference.shape, generator=torch.Generator().manual_seed(1)).to(reference)
    outputs = [call.output for call in candidates if call.output is not None]
    # Of a scalar: torch imports sympy, which takes seconds, to check the shape of any other gradient.
    with torch.enable_grad():
        along = (reference * direction).sum()
    gradients = torch.autograd.grad(along, outputs, allow_unused=True)
    for call, gradient in reversed(list(zip(candidates, gradients, strict=True))):
        if gradient is not None and call.layout is not None and call.layout.maps(gradient).any():
            return _outermost([other for other in candidates if other.state == call.state])
    return None


def _candidates(calls: list[_Call]) -> list[_Call]:
    """Return the candidates: calls with positions, of modules that run once, outside of attention."""
    widths = [
        call.output.shape[-1]
        for call in calls
        if call.output is not None and call.layout and call.layout.kind == "tokens"
    ]
    linear = Counter(call.given_state for call in calls if isinstance(call.module, nn.Linear))
    fewest, kept = float("inf"), []
    for call in _named_once(calls):
        layout, output = call.layout, call.output
        if (
            layout is None
            or output is None
            or not 1 < layout.n_positions <= fewest
            or not output.requires_grad
        ):
            continue
        if layout.kind == "tokens" and output.shape[-1] != widths[-1]:
            continue
        if isinstance(call.module, nn.Linear) and linear[call.given_state] > 1:
            continue
        fewest = layout.n_positions
        kept.append(call)
    return kept


def _named_once(calls: list[_Call]) -> list[_Call]:
    times = Counter(call.name for call in calls)
    return [call for call in calls if times[call.name] == 1 and not isinstance(call.module, _Passing)]


def _outermost(calls: list[_Call]) -> _Call:
    return min(calls, key=lambda call: call.depth)


def _earlier(calls: list[_Call], target: _Call) -> str | None:
    once = _named_once(calls)
    assert target.layout is not None, "a target has positions"
    n_positions = target.layout.n_positions
    steps = [
        (call.given_layout.n_positions, call.depth, index)
        for index, call in enumerate(once)
        if call.layout is not None
        and call.given_layout is not None
        and call.layout.n_positions == n_positions < call.given_layout.n_positions
    ]
    for step in (once[index] for _, _, index in sorted(steps)):
        feeding = [call for call in once if call.state == step.given_state]
        if feeding:
            return _outermost(feeding).name
    return None


def _head(network: nn.Module, dummy: Tensor, target: _Call | None) -> str | None:
    """Return the name of the head, verified on the output of the target layer before in-place changes."""
    if target is None or target.layout is None:
        return None
    with torch.enable_grad(), capture(network, [target.name]) as activations, watch_heads(network) as last:
        logits = network(dummy)
        output = activations[target.name]
    return last.name if is_gap_linear(last, output, target.layout, logits) else None
