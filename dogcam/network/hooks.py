"""Capture the outputs of layers during a forward pass, and restore the network afterwards."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError


class Activations:
    """The outputs of the captured layers, filled while the forward pass runs."""

    def __init__(self) -> None:
        self._outputs: dict[str, list[Tensor]] = {}

    def expect(self, layer: str) -> None:
        """Open the list of outputs of a layer."""
        self._outputs[layer] = []

    def add(self, layer: str, output: Tensor) -> None:
        """Append one output of a layer."""
        self._outputs[layer].append(output)

    def __getitem__(self, layer: str) -> Tensor:
        """Return the only output of a layer, with three or four axes (see `dogcam.network.spatial`).

        Raises:
            ModelError: if the layer did not run exactly once, or returns neither maps nor tokens.
        """
        outputs = self._outputs[layer]
        if len(outputs) != 1:
            raise ModelError(
                f"the layer {layer!r} ran {len(outputs)} times in one forward pass; expected 1: name a layer "
                "that the network uses exactly once"
            )
        if not isinstance(outputs[0], Tensor) or outputs[0].ndim not in (3, 4):
            found = getattr(outputs[0], "shape", type(outputs[0]).__name__)
            raise ModelError(
                f"the layer {layer!r} returns {found}; expected activation maps (N, C, h, w) or tokens "
                "(N, T, C)"
            )
        return outputs[0]


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the submodule of that dotted name.

    Raises:
        ModelError: if there is none; the message lists the nearest names.
    """
    # A module that is registered twice has two names; both are valid.
    layers = {key: module for key, module in network.named_modules(remove_duplicate=False) if key}
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, n=5, cutoff=0.3) or list(layers)[:5]
    raise ModelError(f"{type(network).__name__} has no layer {name!r}; similar names are {', '.join(near)}")


Before = Callable[[str, nn.Module, tuple], None]
"""Called with a module's name, the module and its inputs, before it runs."""

After = Callable[[str, nn.Module, tuple, Any], Any]
"""Called with name, module, inputs and output after the module ran; a result replaces the output."""


@contextmanager
def hooked(
    modules: Iterable[tuple[str, nn.Module]], *, before: Before | None = None, after: After | None = None
) -> Iterator[None]:
    """Call functions whenever a module runs in the block; hooks are removed afterwards, also after errors.

    Args:
        modules: names and modules.
        before: called before each run of a module.
        after: called after each run of a module.
    """
    with ExitStack() as hooks:
        for name, module in modules:
            if before is not None:
                hooks.callback(module.register_forward_pre_hook(partial(before, name)).remove)
            if after is not None:
                hooks.callback(module.register_forward_hook(partial(after, name)).remove)
        yield


@contextmanager
def capture(network: nn.Module, layers: Sequence[str]) -> Iterator[Activations]:
    """Capture the outputs of layers in the block.

    If gradients are enabled, the graph of the forward pass starts at the first of the layers that runs,
    provided that no parameter requires a gradient (`frozen_parameters`).

    Args:
        network: any network.
        layers: dotted names of its submodules.

    Raises:
        ModelError: if the network has no such layer.
    """
    activations = Activations()
    for layer in layers:
        activations.expect(layer)

    def keep(layer: str, _module: nn.Module, _inputs: tuple, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            activations.add(layer, output)
            return None
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        activations.add(layer, output)
        # The rest of the network receives a copy: an in-place module after the layer (the ReLU of most
        # torchvision networks) would otherwise overwrite the captured tensor.
        return output.clone()

    with hooked([(layer, find_layer(network, layer)) for layer in layers], after=keep):
        yield activations


def underlying(network: nn.Module) -> nn.Module:
    """Return the network without the wrappers of `DataParallel` and `torch.compile`.

    Both hide the outputs of layers: replicas run on copies of the network, and compiled code ignores hooks
    that are registered after compilation.
    """
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


@contextmanager
def eager(network: nn.Module) -> Iterator[None]:
    """Disable compiled code in the block if parts of the network were compiled in place."""
    compiled = any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod") for module in network.modules()
    )
    if not compiled:
        yield
        return
    # Importing the compiler takes seconds, so only networks that were compiled before do it.
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode in the block, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen_parameters(network: nn.Module) -> Iterator[None]:
    """Disable gradients of all parameters in the block, and restore the flag of each parameter afterwards.

    Raises:
        ModelError: if a weight was created under `torch.inference_mode`: no graph can contain it.
    """
    if any(weight.is_inference() for weight in chain(network.parameters(), network.buffers())):
        raise ModelError(
            f"the weights of this {type(network).__name__} were created under torch.inference_mode and allow "
            "no gradients; build the network outside of torch.inference_mode (it may run inside)"
        )
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
