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
    slopes = torch.zeros_like(maps)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in maps.shape)).tolist():
        moved = torch.stack([maps, maps])
        moved[(0, *place)] += step
        moved[(1, *place)] -= step
        up, down = suffix(moved)[:, target]
        slopes[tuple(place)] = (up - down) / (2 * step)
    return slopes.mean(dim=(1, 2))
