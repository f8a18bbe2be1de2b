"""Networks without their last stride: activation maps of twice the resolution from the same weights."""

import copy

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.network.hooks import capture

_Step = tuple[nn.Module, int, int]
"""A layer, the height of its input and the height of its output."""

_SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def without_last_stride(network: nn.Module, layer: str, input_size: tuple[int, int]) -> nn.Module:
    """Return a copy of a network whose last stride of 2 is a dilation (Yu & Koltun 2016, section 3).

    Every second position of the new maps, in both directions, equals the original one; the weights are the
    same. The first position is at the place where it was, so that the distances are halved, not the offset.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits.
        layer: dotted name of the target layer, the last one with spatial positions.
        input_size: (height, width) in pixels, multiples of the total stride, on which strides are traced.

    Returns:
        A network in evaluation mode; `layer` has maps of twice the height and width.

    Raises:
        ModelError: if the last size reduction is not made by convolutions of stride 2, or the copy does not
            repeat the activations of the original.
    """
    dense = copy.deepcopy(network).eval()
    steps = _trace(dense, input_size)
    final = min(height for _, _, height in steps)
    reducing = [module for module, before, after in steps if after == final and before == 2 * final]
    if not reducing or not all(isinstance(module, nn.Conv2d) for module in reducing):
        found = ", ".join(type(module).__name__ for module in reducing) or "no layer"
        raise ModelError(f"{found} makes the last size reduction by 2; expected convolutions")
    for module, before, _ in steps:
        if not isinstance(module, nn.Conv2d):
            continue
        if before == 2 * final and module in reducing:
            _remove_stride(module)
        elif before == final:
            _dilate(module)
    _require_same(network, dense, layer, input_size)
    return dense


def _trace(network: nn.Module, input_size: tuple[int, int]) -> list[_Step]:
    """Return the convolution and pooling layers of one forward pass, in order."""
    steps: list[_Step] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        steps.append((module, inputs[0].shape[2], output.shape[2]))

    handles = [each.register_forward_hook(record) for each in network.modules() if isinstance(each, _SPATIAL)]
    try:
        _run(network, torch.zeros(1, 3, *input_size))
    finally:
        for handle in handles:
            handle.remove()
    if not steps:
        raise ModelError(f"{type(network).__name__} has no convolution")
    return steps


def _remove_stride(module: nn.Conv2d) -> None:
    module.stride = (1, 1)
    padding = getattr(module, "static_padding", None)
    if isinstance(padding, nn.ZeroPad2d):
        left, _, top, _ = padding.padding
        rows, columns = module.kernel_size
        module.static_padding = nn.ZeroPad2d((left, columns - 1 - left, top, rows - 1 - top))


def _dilate(module: nn.Conv2d) -> None:
    module.dilation = tuple(2 * each for each in module.dilation)
    padding = getattr(module, "static_padding", None)
    if isinstance(padding, nn.ZeroPad2d):
        left, right, top, bottom = padding.padding
        module.static_padding = nn.ZeroPad2d((2 * left, 2 * right, 2 * top, 2 * bottom))
    if not isinstance(module.padding, str):
        module.padding = tuple(2 * each for each in module.padding)


def _require_same(network: nn.Module, dense: nn.Module, layer: str, input_size: tuple[int, int]) -> None:
    image = torch.randn(1, 3, *input_size, generator=torch.Generator().manual_seed(0))
    maps = []
    for each in (network, dense):
        with capture(each, [layer]) as activations:
            _run(each, image)
        maps.append(activations[layer])
    expected, found = maps[0], maps[1][:, :, ::2, ::2]
    if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-3, rtol=1e-3):
        raise ModelError(
            f"without its last stride the network has other activations at {layer!r}: its shared positions "
            f"have the shape {tuple(found.shape)}, expected {tuple(expected.shape)} and equal values"
        )


@torch.inference_mode()
def _run(network: nn.Module, image: Tensor) -> None:
    network.eval()(image.to(next(network.parameters()).device))
