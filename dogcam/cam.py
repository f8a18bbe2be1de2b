"""Class activation maps: the activation maps of a layer, weighted for one class and summed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from dogcam.activations import Activations, capture, evaluation_mode, find_layer, frozen_parameters
from dogcam.errors import ModelError
from dogcam.heads import head_weights
from dogcam.places import layout_or_refuse

Score = Literal["logit", "probability"]


@dataclass(frozen=True)
class GradCam:
    """Ask for Grad-CAM at a layer, with the gradient of the logit or of its sigmoid."""

    layer: str
    score: Score = "logit"


@dataclass(frozen=True)
class Cam:
    """Ask for CAM at the layer that is averaged over the picture and fed to the head."""

    layer: str
    head: str


Request = GradCam | Cam


@dataclass(frozen=True)
class Explanation:
    """What one forward pass says of a batch.

    Attributes:
        logits: (N, C) float tensor, the network's raw outputs.
        maps: for each request a (N, K, h, w) float tensor of class activation maps, one for each of the K
            target classes, at the resolution of its layer.
    """

    logits: Tensor
    maps: tuple[Tensor, ...]


def explain(
    network: nn.Module, images: Tensor, targets: Sequence[int], requests: Sequence[Request]
) -> Explanation:
    """Compute the class activation maps of a batch, all requests from one forward pass.

    The caller's gradient mode makes no difference: it works under `torch.no_grad` and `torch.inference_mode`.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; left exactly as it was found.
        images: (N, 3, H, W) float tensor, preprocessed, on the network's device.
        targets: K indices of logits, the classes to explain, the same for every image.
        requests: which maps are wanted.

    Raises:
        ModelError: where a layer or a class does not exist, the logits do not hang on the layer, or CAM is
            asked of a network that has none.
    """
    layers = list(dict.fromkeys(request.layer for request in requests))
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        evaluation_mode(network),
        frozen_parameters(network),
        capture(network, layers) as activations,
    ):
        # A tensor made under inference_mode may never enter a graph; its copy may.
        logits = network(images.clone() if images.is_inference() else images)
        classes = _class_indices(logits, targets)
        size = tuple(images.shape[2:])
        maps = [_maps(network, request, activations, logits, classes, size) for request in requests]
    return Explanation(logits.detach(), tuple(maps))


def grad_cam(
    network: nn.Module, images: Tensor, targets: Sequence[int], layer: str, score: Score = "logit"
) -> Tensor:
    """Compute Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).

    The weight of channel k for class c is the gradient of the class's score y, averaged over the Z places of
    the map; the map is the positive part of the weighted sum:

        alpha_k = 1/Z sum_ij dy/dA_kij,    L = ReLU(sum_k alpha_k A_k)

    Args:
        network, images, targets: as for `explain`.
        layer: dotted name of the target layer.
        score: differentiate the logit, or the probability, its sigmoid; their gradients differ by the
            factor p (1 - p), which leaves the map's shape alone until it is too small for the number format.

    Returns:
        (N, K, h, w) float tensor, >= 0; all 0 where nothing speaks for the class.
    """
    return explain(network, images, targets, [GradCam(layer, score)]).maps[0]


def cam(network: nn.Module, images: Tensor, targets: Sequence[int], layer: str, head: str) -> Tensor:
    """Compute CAM (Zhou et al. 2016, equation 2): activation maps weighted by the head's own weights.

        M = sum_k w_k A_k

    Args:
        network, images, targets: as for `explain`.
        layer: dotted name of the layer whose output is averaged over the picture and fed to the head.
        head: dotted name of the head.

    Returns:
        (N, K, h, w) float tensor; its mean over the map is the logit without the bias of a linear head.

    Raises:
        ModelError: where the network is not built that way; this is verified on the batch, not assumed.
    """
    return explain(network, images, targets, [Cam(layer, head)]).maps[0]


def _class_indices(logits: Tensor, targets: Sequence[int]) -> list[int]:
    if logits.ndim != 2:
        raise ModelError(f"the network puts out {tuple(logits.shape)}; expected logits (N, C)")
    known = range(logits.shape[1])
    if not len(targets) or any(target not in known for target in targets):
        raise ModelError(f"target classes {list(targets)}; expected indices from 0 to {len(known) - 1}")
    return [int(target) for target in targets]


def _maps(
    network: nn.Module,
    request: Request,
    activations: Activations,
    logits: Tensor,
    targets: list[int],
    image_size: tuple[int, int],
) -> Tensor:
    output = activations[request.layer]
    layout = layout_or_refuse(request.layer, output.shape, image_size)
    maps = layout.maps(output.detach())
    if isinstance(request, Cam):
        return _cam_maps(network, request, maps, logits.detach(), targets)
    scores = logits if request.score == "logit" else logits.sigmoid()
    gradients = (_gradient(scores[:, target], output, request.layer) for target in targets)
    alpha = torch.stack([layout.maps(gradient).mean(dim=(2, 3)) for gradient in gradients], dim=1)
    return torch.einsum("nchw,nkc->nkhw", maps, alpha).relu()


def _gradient(scores: Tensor, maps: Tensor, layer: str) -> Tensor:
    gradient = None
    if scores.requires_grad:
        # An image's score depends on its own maps alone, so that one backward pass of the sum serves all.
        (gradient,) = torch.autograd.grad(scores.sum(), maps, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ModelError(
            f"no gradient leads from the logits to the layer {layer!r}: they are not computed from its "
            "output, or the network turns gradients off on the way; name another layer"
        )
    return gradient


@torch.no_grad()
def _cam_maps(
    network: nn.Module, request: Cam, maps: Tensor, logits: Tensor, targets: list[int]
) -> Tensor:
    head = find_layer(network, request.head)
    pooled = maps.mean(dim=(2, 3))
    weights = head_weights(head, pooled)
    outputs = head(pooled)
    if outputs.shape != logits.shape:
        raise ModelError(
            f"{request.head!r} has {outputs.shape[1]} outputs, the network {logits.shape[1]} logits: it is "
            "not the network's last layer; use Grad-CAM, or name the right head"
        )
    weights = weights[:, targets]
    differences = (outputs - logits)[:, targets].abs()
    # Rounding errs in proportion to the terms of the sum, which may be far larger, or smaller, than the sum.
    terms = torch.einsum("nkc,nc->nk", weights.abs(), maps.abs().mean(dim=(2, 3)))
    if not (differences <= 1e-3 * terms).all():
        raise ModelError(
            f"{request.head!r} on the average of {request.layer!r} misses the network's logits by up to "
            f"{differences.max().item():.3g}: CAM needs a network that ends in global average pooling and "
            "this head; use Grad-CAM, or name the right layer"
        )
    return torch.einsum("nchw,nkc->nkhw", maps, weights)
