"""CAM and Grad-CAM as their papers write them: one image, one class, one channel after another."""

import torch
from torch import Tensor, nn


def prefix_and_suffix(network: nn.Sequential, layer: str) -> tuple[nn.Module, nn.Module]:
    """Cut a network of `tiny_networks.pooled` behind a layer of its `features`."""
    names = list(dict(network.features.named_children()))
    cut = names.index(layer) + 1
    # In-place modules would write into what the reference keeps.
    body = [nn.ReLU() if isinstance(module, nn.ReLU) else module for module in network.features]
    behind = [module for name, module in network.named_children() if name != "features"]
    return nn.Sequential(*body[:cut]), nn.Sequential(*body[cut:], *behind)


def grad_cam_loop(
    network: nn.Sequential, images: Tensor, targets: list[int], layer: str, score=lambda logit: logit
) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2, with the sums written out."""
    prefix, suffix = prefix_and_suffix(network, layer)
    batch = []
    for image in images:
        maps = prefix(image[None])[0].detach().requires_grad_()
        logits = suffix(maps[None])[0]
        channels, height, width = maps.shape
        of_image = []
        for target in targets:
            (gradient,) = torch.autograd.grad(score(logits[target]), maps, retain_graph=True)
            result = torch.zeros(height, width, dtype=images.dtype)
            for k in range(channels):
                alpha = sum(gradient[k, i, j] for i in range(height) for j in range(width)) / (height * width)
                result += alpha * maps[k].detach()
            of_image.append(result.clamp(min=0))
        batch.append(torch.stack(of_image))
    return torch.stack(batch)


def cam_loop(network: nn.Sequential, images: Tensor, targets: list[int]) -> Tensor:
    """Zhou et al. 2016, equation 2, of a network whose head is one linear layer."""
    batch = []
    for image in images:
        maps = network.features(image[None])[0].detach()
        weights = network.head.weight.detach()
        of_image = [sum(weights[target, k] * maps[k] for k in range(len(maps))) for target in targets]
        batch.append(torch.stack(of_image))
    return torch.stack(batch)


@torch.no_grad()
def finite_difference_alphas(
    network: nn.Sequential, image: Tensor, target: int, layer: str, step: float = 1e-5
) -> Tensor:
    """The weights alpha_k by moving one activation after another up and down and watching the logit."""
    prefix, suffix = prefix_and_suffix(network, layer)
    maps = prefix(image[None])[0]
    channel_gradients = torch.zeros_like(maps)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in maps.shape)).tolist():
        moved = torch.stack([maps, maps])
        moved[(0, *place)] += step
        moved[(1, *place)] -= step
        up, down = suffix(moved)[:, target]
        channel_gradients[tuple(place)] = (up - down) / (2 * step)
    return channel_gradients.mean(dim=(1, 2))


def gradient_loop(network: nn.Sequential, images: Tensor, targets: list[int], layer: str, of_one) -> Tensor:
    """The positive part of `of_one(maps, gradient)` for one image and one class after another."""
    prefix, suffix = prefix_and_suffix(network, layer)
    batch = []
    for image in images:
        maps = prefix(image[None])[0].detach().requires_grad_()
        logits = suffix(maps[None])[0]
        of_image = []
        for target in targets:
            (gradient,) = torch.autograd.grad(logits[target], maps, retain_graph=True)
            of_image.append(of_one(maps.detach(), gradient).clamp(min=0))
        batch.append(torch.stack(of_image))
    return torch.stack(batch)


def _places(maps: Tensor) -> list[tuple[int, int]]:
    return [(i, j) for i in range(maps.shape[1]) for j in range(maps.shape[2])]


def hires_cam_of_one(maps: Tensor, gradient: Tensor) -> Tensor:
    """Draelos and Carin 2020, place by place."""
    result = torch.zeros_like(maps[0])
    for i, j in _places(maps):
        result[i, j] = sum(gradient[k, i, j] * maps[k, i, j] for k in range(len(maps)))
    return result


def layer_cam_of_one(maps: Tensor, gradient: Tensor) -> Tensor:
    """Jiang et al. 2021: as above, negative gradients left out."""
    result = torch.zeros_like(maps[0])
    for i, j in _places(maps):
        for k in range(len(maps)):
            if gradient[k, i, j] > 0:
                result[i, j] += gradient[k, i, j] * maps[k, i, j]
    return result


def grad_cam_plus_plus_of_one(maps: Tensor, gradient: Tensor) -> Tensor:
    """Chattopadhyay et al. 2018, equation 19 as it is printed, powers of the gradient and all."""
    result = torch.zeros_like(maps[0])
    for k in range(len(maps)):
        total = sum(maps[k, i, j] for i, j in _places(maps))
        weight = 0.0
        for i, j in _places(maps):
            g = gradient[k, i, j]
            denominator = 2 * g**2 + total * g**3
            if g > 0 and denominator != 0:
                weight += g**2 / denominator * g
        result += weight * maps[k]
    return result


def xgrad_cam_of_one(maps: Tensor, gradient: Tensor) -> Tensor:
    """Fu et al. 2020, equation 8."""
    result = torch.zeros_like(maps[0])
    for k in range(len(maps)):
        total = sum(maps[k, i, j] for i, j in _places(maps))
        if total != 0:
            weight = sum(maps[k, i, j] / total * gradient[k, i, j] for i, j in _places(maps))
            result += weight * maps[k]
    return result


@torch.no_grad()
def score_cam_loop(network: nn.Sequential, images: Tensor, targets: list[int], layer: str) -> Tensor:
    """Wang et al. 2020, algorithm 1: one masked picture after another, a black picture's score taken off."""
    prefix, _ = prefix_and_suffix(network, layer)
    batch = []
    for image in images:
        maps, black = prefix(image[None])[0], network(torch.zeros_like(image)[None])[0]
        scores = []
        for map_ in maps:
            large = nn.functional.interpolate(map_[None, None], image.shape[1:], mode="bilinear")[0, 0]
            mask = (large - large.min()) / (large.max() - large.min())
            scores.append(network((image * mask)[None])[0] - black)
        of_image = []
        for target in targets:
            exponentials = [torch.exp(score[target]) for score in scores]
            weighted = sum(e * map_ for e, map_ in zip(exponentials, maps, strict=True)) / sum(exponentials)
            of_image.append(weighted.clamp(min=0))
        batch.append(torch.stack(of_image))
    return torch.stack(batch)


@torch.no_grad()
def ablation_cam_loop(network: nn.Sequential, images: Tensor, targets: list[int], layer: str) -> Tensor:
    """Ramaswamy and Desai 2020, equation 4, over the size of the score: one map taken away after another."""
    prefix, suffix = prefix_and_suffix(network, layer)
    batch = []
    for image in images:
        maps = prefix(image[None])[0]
        whole = suffix(maps[None])[0]
        of_image = []
        for target in targets:
            result = torch.zeros_like(maps[0])
            for k in range(len(maps)):
                without = maps.clone()
                without[k] = 0
                loss = whole[target] - suffix(without[None])[0][target]
                result += loss / whole[target].abs() * maps[k]
            of_image.append(result.clamp(min=0))
        batch.append(torch.stack(of_image))
    return torch.stack(batch)


def eigen_cam_loop(maps: Tensor) -> Tensor:
    """Muhammad and Yeasin 2020, with the singular value decomposition of one image after another."""
    batch = []
    for of_image in maps:
        rows = of_image.flatten(1).T
        _, _, vh = torch.linalg.svd(rows, full_matrices=False)
        projected = rows @ vh[0]
        signed = projected if projected.sum() >= 0 else -projected
        batch.append(signed.view(of_image.shape[1:]).clamp(min=0))
    return torch.stack(batch)
