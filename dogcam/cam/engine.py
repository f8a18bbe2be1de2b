"""Compute all requested maps of a batch from one forward pass, with as few backward passes as possible."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dogcam.cam.forward import Captured, ForwardPass, ForwardRequest, forward_pass
from dogcam.cam.gradients import GradientRequest, Score
from dogcam.cam.targets import Targets, class_indices
from dogcam.cam.views import ONE_VIEW, WIDTH, Views, resized
from dogcam.errors import ModelError
from dogcam.network.activation import activate
from dogcam.network.hooks import underlying

Request = GradientRequest | ForwardRequest
"""A method at a layer. A new method is a subclass of one of the two and an entry of `dogcam.cam.METHODS`."""


@dataclass(frozen=True)
class OfClasses:
    """A request for classes of its own instead of the target classes of the call.

    Attributes:
        request: the map to compute.
        classes: K class indices, the same for all images.
    """

    request: Request
    classes: tuple[int, ...]


SCALE_OF_HALVES = 1024.0
"""Factor by which a float16 score is scaled before differentiation, so that gradients do not underflow."""


@dataclass(frozen=True)
class Explanation:
    """Logits and class activation maps of a batch.

    Attributes:
        logits: (N, C) float tensor, the raw outputs of the network.
        maps: for each request an (N, K, h, w) float tensor of class activation maps, one for each of the K
            target classes, at the resolution of its layer. A map without support for its class is 0
            everywhere, never nan.
    """

    logits: Tensor
    maps: tuple[Tensor, ...]


def explain(
    network: nn.Module,
    images: Tensor,
    targets: Targets,
    requests: Sequence[Request | OfClasses],
    views: Views = ONE_VIEW,
) -> Explanation:
    """Compute the class activation maps of a batch, all requests from one forward pass.

    If only global average pooling and one head follow a layer (verified on the batch), the maps of all
    classes are a single matrix product. Otherwise gradients are computed from the score back to the layer
    only. The gradient mode of the caller does not matter: the function works under `torch.no_grad` and
    `torch.inference_mode`. A network wrapped by `torch.compile` or `DataParallel` is unwrapped.

    With several views, ReLU is applied to the map of each view. The map is divided by its maximum (an empty
    map stays 0), mirrored back if its view was mirrored, and resized bilinearly to the largest map of all
    views. The result is the mean of the maps, in [0, 1], and the mean of the logits.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; restored to its state afterwards.
        images: (N, 3, H, W) float tensor, preprocessed, on the device of the network.
        targets: K class indices to explain in every image, or N rows of K indices.
        requests: the maps to compute; one that is `OfClasses` has its own classes.
        views: scales and mirroring of test-time augmentation.

    Raises:
        ModelError: if a layer or a class does not exist, the logits do not depend on the layer, the network
            has no CAM and it is requested, activations are not finite, or the images are on another device.
    """
    if views == ONE_VIEW:
        return _explain_view(network, images, targets, requests)
    explanations = [
        _mirrored_back(_explain_view(network, view, targets, requests), mirrored)
        for view, mirrored in views.of(images)
    ]
    maps = tuple(
        _mean(each) for each in zip(*(explanation.maps for explanation in explanations), strict=True)
    )
    return Explanation(torch.stack([explanation.logits for explanation in explanations]).mean(dim=0), maps)


def _mirrored_back(explanation: Explanation, mirrored: bool) -> Explanation:
    if not mirrored:
        return explanation
    return Explanation(explanation.logits, tuple(maps.flip(WIDTH) for maps in explanation.maps))


def _mean(views: Sequence[Tensor]) -> Tensor:
    size = max(((maps.shape[2], maps.shape[3]) for maps in views), key=lambda shape: shape[0] * shape[1])
    return torch.stack([resized(_of_peak(maps), size) for maps in views]).mean(dim=0)


def _of_peak(maps: Tensor) -> Tensor:
    positive = maps.relu()
    peak = positive.amax(dim=(2, 3), keepdim=True)
    return positive / torch.where(peak > 0, peak, 1)


def _explain_view(
    network: nn.Module, images: Tensor, targets: Targets, requests: Sequence[Request | OfClasses]
) -> Explanation:
    """Compute the maps of a batch without test-time augmentation; arguments as for `explain`."""
    # The classes of each request, None for the targets of the call, and the map itself.
    split = [
        (each.classes, each.request) if isinstance(each, OfClasses) else (None, each) for each in requests
    ]
    layers = list(dict.fromkeys(request.layer for _, request in split))
    # No graph is built unless a gradient is needed. inference_mode is not used: its tensors could not enter
    # a graph of the caller.
    graph = any(isinstance(request, GradientRequest) for _, request in split)
    with forward_pass(underlying(network), images, targets, layers, graph=graph) as forward:
        maps: dict[tuple[tuple[int, ...] | None, Request], Tensor] = {}
        for classes in dict.fromkeys(classes for classes, _ in split):
            own = (
                forward
                if classes is None
                else replace(forward, targets=class_indices(forward.logits, classes))
            )
            made = _maps(own, [request for each, request in split if each == classes])
            maps |= {(classes, request): found for request, found in made.items()}
    return Explanation(forward.logits.detach(), tuple(maps[each] for each in split))


def _maps(forward: ForwardPass, requests: Sequence[Request]) -> dict[Request, Tensor]:
    """Return the maps of the target classes of a forward pass by request: (N, K, h, w) each."""
    maps: dict[Request, Tensor] = {}
    left: list[GradientRequest] = []
    for request in dict.fromkeys(requests):
        if not isinstance(request, GradientRequest):
            maps[request] = request.maps(forward)
        elif (channel_gradients := _channel_gradients(forward, request)) is not None:
            maps[request] = _weighted_sum(forward, request, channel_gradients)
        else:
            left.append(request)
    for score in dict.fromkeys(each.differentiated for each in left):
        same = [each for each in left if each.differentiated == score]
        maps.update(_differentiate(forward, score, same).items())
    return maps


@torch.no_grad()
def _weighted_sum(forward: ForwardPass, request: GradientRequest, channel_gradients: Tensor) -> Tensor:
    maps = forward.layers[request.layer].maps
    return torch.einsum("nchw,nkc->nkhw", maps, request.weights(maps, channel_gradients)).relu()


@torch.no_grad()
def _channel_gradients(forward: ForwardPass, request: GradientRequest) -> Tensor | None:
    """Return the channel gradients of all target classes: (N, K, C); None if G depends on the position."""
    every = forward.channel_gradients(request.layer)
    if every is None:
        return None
    if request.differentiated == "logit":
        return forward.of_targets(every)
    # The activation needs at least single precision: in half precision a sigmoid is 1 for logits above 9.
    p = activate(forward.logits.to(every.dtype), request.differentiated)
    if request.differentiated == "sigmoid":
        return forward.of_targets(every) * forward.of_targets(p * (1 - p))[..., None]
    mean = torch.einsum("nk,nkc->nc", p, every)
    return forward.of_targets(p)[..., None] * (forward.of_targets(every) - mean[:, None])


def _differentiate(
    forward: ForwardPass, score: Score, requests: Sequence[GradientRequest]
) -> dict[GradientRequest, Tensor]:
    """Compute maps from gradients: one backward pass for each class serves all requests."""
    layers = [forward.layers[name] for name in dict.fromkeys(request.layer for request in requests)]
    made: dict[GradientRequest, list[Tensor]] = {request: [] for request in requests}
    for k in range(forward.targets.shape[1] if requests else 0):
        gradients = _gradients(forward, score, k, layers)
        for request, maps in made.items():
            maps.append(request.map(forward.layers[request.layer].maps, gradients[request.layer]).relu())
    return {request: torch.stack(maps, dim=1) for request, maps in made.items()}


def _gradients(forward: ForwardPass, score: Score, k: int, layers: Sequence[Captured]) -> dict[str, Tensor]:
    """Return the gradient of the k-th target of each image by layer name: (N, C, h, w) each."""
    logits = forward.logits.gather(1, forward.targets[:, k : k + 1])
    scale = SCALE_OF_HALVES if logits.dtype == torch.float16 else 1.0
    scores = logits
    if score != "logit":
        every = activate(forward.logits.to(layers[0].maps.dtype), score)
        scores = every.gather(1, forward.targets[:, k : k + 1])
    found: dict[str, Tensor | None] = {}
    # A layer that the network runs without gradients is in no graph; `_checked` refuses it.
    outputs = {layer.name: layer.output for layer in layers if layer.output.requires_grad}
    if outputs and logits.requires_grad:
        # The score of an image depends only on its own maps, so one backward pass of the sum serves all
        # images. torch imports sympy, which takes seconds, to check the gradient of anything but a scalar.
        total = (scores * scale).sum()
        gradients = torch.autograd.grad(total, list(outputs.values()), retain_graph=True, allow_unused=True)
        found = dict(zip(outputs, gradients, strict=True))
    return {layer.name: _checked(layer, found.get(layer.name), scale) for layer in layers}


def _checked(layer: Captured, gradient: Tensor | None, scale: float) -> Tensor:
    if gradient is None:
        raise ModelError(
            f"the logits have no gradient with respect to the layer {layer.name!r}: they do not depend on "
            "its output, or the network disables gradients in between; name another layer"
        )
    if not gradient.isfinite().all():
        raise ModelError(
            f"the gradient at the layer {layer.name!r} is not finite in {gradient.dtype}; run the network in "
            "a wider number format"
        )
    return layer.layout.maps(gradient).to(layer.maps.dtype) / scale
