"""Capture what layers of a network put out during a forward pass, and leave the network as it was found."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain

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
        """Return the layer's only output, of three or four axes: see `dogcam.network.spatial`.

        Raises:
            ModelError: where the layer ran not once, or puts out something else than maps or tokens.
        """
        outputs = self._outputs[layer]
        if len(outputs) != 1:
            raise ModelError(
                f"the layer {layer!r} ran {len(outputs)} times in one forward pass; expected once: "
                "name a layer that the network uses exactly once"
            )
        if not isinstance(outputs[0], Tensor) or outputs[0].ndim not in (3, 4):
            found = getattr(outputs[0], "shape", type(outputs[0]).__name__)
            raise ModelError(
                f"the layer {layer!r} puts out {found}; expected activation maps (N, C, h, w) or tokens "
                "(N, T, C)"
            )
        return outputs[0]


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the submodule of that dotted name.

    Raises:
        ModelError: where there is none; the message lists the nearest names.
    """
    # A module that stands in two places has two names; both are the network's.
    layers = {key: module for key, module in network.named_modules(remove_duplicate=False) if key}
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, n=5, cutoff=0.3) or list(layers)[:5]
    raise ModelError(f"{type(network).__name__} has no layer {name!r}; near to it are {', '.join(near)}")


@contextmanager
def capture(network: nn.Module, layers: Sequence[str]) -> Iterator[Activations]:
    """Capture the outputs of layers while the block runs; no hook is left behind, on errors neither.

    Where gradients are enabled, the graph of the forward pass begins at the first of the layers that runs:
    nothing below it is recorded, provided that no parameter asks for a gradient (`frozen_parameters`).

    Args:
        network: any network.
        layers: dotted names of its submodules.

    Raises:
        ModelError: where the network has no such layer.
    """
    activations = Activations()
    with ExitStack() as hooks:
        for layer in layers:
            module = find_layer(network, layer)
            activations.expect(layer)
            handle = module.register_forward_hook(_keep_output(activations, layer))
            hooks.callback(handle.remove)
        yield activations


def _keep_output(activations: Activations, layer: str):
    def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor | None:
        if not isinstance(output, Tensor):
            activations.add(layer, output)
            return None
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        activations.add(layer, output)
        # The rest of the network gets a copy: an in-place module behind the layer (the ReLU of most
        # torchvision networks) would otherwise overwrite what was captured.
        return output.clone()

    return hook


@contextmanager
def output_changed(network: nn.Module, layer: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put a changed output in place of a layer's while the block runs; no hook is left behind."""
    handle = find_layer(network, layer).register_forward_hook(lambda _module, _inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def underlying(network: nn.Module) -> nn.Module:
    """Return the network itself, without what `DataParallel` and `torch.compile` put around it.

    Both hide what layers put out: replicas run on copies of the network, and compiled code runs no hooks that
    were registered after it was compiled.
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
    """Run a network without compiled code during the block, where parts of it were compiled in place."""
    compiled = any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod") for module in network.modules()
    )
    if not compiled:
        yield
        return
    # Importing the compiler takes seconds, so that it is left to networks that have met it already.
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for the block, and each module back into its own mode after it."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen_parameters(network: nn.Module) -> Iterator[None]:
    """Ask no gradient of any parameter during the block, and restore each parameter's flag after it.

    Raises:
        ModelError: where a weight was made under `torch.inference_mode`: no graph can go through it.
    """
    if any(weight.is_inference() for weight in chain(network.parameters(), network.buffers())):
        raise ModelError(
            f"the weights of this {type(network).__name__} were made under torch.inference_mode, and no "
            "gradient goes through such tensors; build the network outside of it (it may run inside)"
        )
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
