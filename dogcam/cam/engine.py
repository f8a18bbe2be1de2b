"""Compute all requested maps of a batch from one forward pass, with as few backward passes as possible."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dogcam.cam.class_map import Cam
from dogcam.cam.eigen import EigenCam
from dogcam.cam.forward import Captured, ForwardPass, forward_pass
from dogcam.cam.gradients import GradCam, GradCamPlusPlus, HiResCam, LayerCam, Score, XGradCam
from dogcam.cam.perturbation import AblationCam, ScoreCam
from dogcam.cam.targets import Targets
from dogcam.errors import ModelError
from dogcam.network.hooks import underlying

Gradients = GradCam | GradCamPlusPlus | HiResCam | LayerCam | XGradCam
Request = Gradients | Cam | ScoreCam | AblationCam | EigenCam

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


def explain_once(
    network: nn.Module, images: Tensor, targets: Targets, requests: Sequence[Request]
) -> Explanation:
    """Compute the maps of a batch without test-time augmentation; arguments as for `explain`."""
    layers = list(dict.fromkeys(request.layer for request in requests))
    # No graph is built unless a gradient is needed. inference_mode is not used: its tensors could not enter
    # a graph of the caller.
    graph = any(isinstance(request, Gradients) for request in requests)
    with forward_pass(underlying(network), images, targets, layers, graph=graph) as forward:
        maps, left = {}, []
        for request in dict.fromkeys(requests):
            if not isinstance(request, Gradients):
                maps[request] = request.maps(forward)
            elif (channel_gradients := _channel_gradients(forward, request)) is not None:
                maps[request] = _closed_form(forward, request, channel_gradients)
            else:
                left.append(request)
        for score in ("logit", "probability"):
            maps |= _differentiate(forward, score, [each for each in left if each.differentiated == score])
    return Explanation(forward.logits.detach(), tuple(maps[request] for request in requests))


@torch.no_grad()
def _closed_form(forward: ForwardPass, request: Gradients, channel_gradients: Tensor) -> Tensor:
    maps = forward.layers[request.layer].maps
    return torch.einsum("nchw,nkc->nkhw", maps, request.weights(maps, channel_gradients)).relu()


@torch.no_grad()
def _channel_gradients(forward: ForwardPass, request: Gradients) -> Tensor | None:
    """Return the channel gradients of all target classes: (N, K, C); None if G depends on the position."""
    channel_gradients = forward.channel_gradients(request.layer)
    if channel_gradients is None or request.differentiated == "logit":
        return channel_gradients
    probability = forward.of_targets(forward.logits).to(channel_gradients.dtype).sigmoid()
    return channel_gradients * (probability * (1 - probability))[..., None]


def _differentiate(
    forward: ForwardPass, score: Score, requests: Sequence[Gradients]
) -> dict[Gradients, Tensor]:
    """Compute maps from gradients: one backward pass for each class serves all requests."""
    layers = [forward.layers[name] for name in dict.fromkeys(request.layer for request in requests)]
    made: dict[Gradients, list[Tensor]] = {request: [] for request in requests}
    for k in range(forward.targets.shape[1] if requests else 0):
        gradients = _gradients(forward, score, k, layers)
        for request, maps in made.items():
            maps.append(request.map(forward.layers[request.layer].maps, gradients[request.layer]).relu())
    return {request: torch.stack(maps, dim=1) for request, maps in made.items()}


def _gradients(forward: ForwardPass, score: Score, k: int, layers: Sequence[Captured]) -> dict[str, Tensor]:
    """Return the gradient of the k-th target of each image by layer name: (N, C, h, w) each."""
    logits = forward.logits.gather(1, forward.targets[:, k : k + 1])
    scale = SCALE_OF_HALVES if logits.dtype == torch.float16 else 1.0
    # The sigmoid needs at least single precision: in half precision it is 1 for logits above 9.
    scores = logits if score == "logit" else logits.to(layers[0].maps.dtype).sigmoid()
    found: dict[str, Tensor | None] = {}
    # A layer that the network runs without gradients is in no graph; `_checked` refuses it.
    outputs = {layer.name: layer.output for layer in layers if layer.output.requires_grad}
    if outputs and logits.requires_grad:
        # The score of an image depends only on its own maps, so one backward pass of the sum serves all
        # images.
        ones = torch.full_like(scores, scale)
        gradients = torch.autograd.grad(
            scores, list(outputs.values()), ones, retain_graph=True, allow_unused=True
        )
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
