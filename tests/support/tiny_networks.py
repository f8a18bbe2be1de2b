"""Tiny random networks of every build that class activation maps meet, and what must not change in them."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dogcam.models.networks import pooled_network

SIZE = (20, 28)
"""Of the images, in pixels: not square, so that swapped sides cannot pass."""

CLASSES = 4


class Doubled(nn.Module):
    """Layer `twice` runs two times, `aside` runs without a way to the logits, `unused` never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3)
        self.aside, self.unused = nn.Conv2d(5, 5, 3), nn.Conv2d(5, 5, 3)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        self.aside(maps)
        return self.head(self.twice(self.twice(maps)).mean(dim=(2, 3)))


class Pair(nn.Module):
    """A layer that puts out a tuple."""

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, -maps


class First(nn.Module):
    """The first of a tuple."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


class Packed(nn.Module):
    """What is put out beside other things: in a tuple, a dictionary or a record, as some libraries do."""

    def __init__(self, pack: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, logits: Tensor) -> object:
        return self.pack(logits)


class OnDeviceWithoutDouble(Tensor):
    """A tensor as on a device that has no double precision: it must come to the CPU first."""

    def double(self) -> Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    def cpu(self) -> Tensor:
        return self.as_subclass(Tensor)


def images(n: int = 3, dtype: torch.dtype = torch.float64, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(n, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))


def ready(network: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Give batch normalisation statistics of its own, as training would, then switch to evaluation mode."""
    network.to(dtype)
    with torch.no_grad():
        network.train()(images(8, dtype))
    return network.eval()


def features() -> nn.Sequential:
    """Layers `early`, `norm`, an in-place ReLU right behind it, and `late`, negative values and all."""
    return nn.Sequential(
        OrderedDict(
            early=nn.Conv2d(3, 6, 3, stride=2, padding=1),
            norm=nn.BatchNorm2d(6),
            relu=nn.ReLU(inplace=True),
            late=nn.Conv2d(6, 7, 3, stride=2, padding=1),
        )
    )


def pooled(head: nn.Module | None = None, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A network of global average pooling and a head: one linear layer, unless another is given."""
    torch.manual_seed(0)
    body = features()
    return ready(pooled_network(body, head or nn.Linear(7, CLASSES)), dtype)


def deep_headed(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A network with a hidden layer behind the pooling: `head.hidden`, `head.last`."""
    torch.manual_seed(0)
    hidden = OrderedDict(hidden=nn.Linear(7, 6), tanh=nn.Tanh(), last=nn.Linear(6, CLASSES))
    return pooled(nn.Sequential(hidden), dtype)


def max_pooled() -> nn.Sequential:
    """Like `pooled`, but the greatest activation of each map is taken, not the mean."""
    network = pooled()
    network.pool = nn.AdaptiveMaxPool2d(1)
    return network


def n_hooks(network: nn.Module) -> int:
    """How many hooks of any kind hang on any module."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def snapshot(network: nn.Module) -> dict:
    """Everything that looking at a network must leave as it was."""
    return {
        "hooks": n_hooks(network),
        "modes": [module.training for module in network.modules()],
        "flags": [parameter.requires_grad for parameter in network.parameters()],
        "versions": [tensor._version for tensor in network.state_dict().values()],
        "state": {name: tensor.tolist() for name, tensor in network.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.tolist() for p in network.parameters()],
    }
