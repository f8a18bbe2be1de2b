"""Whether averaging and one head is all behind a layer: found by inspection, never believed unverified."""

import pytest
import torch
from torch import nn

from dogcam.network.gap_head import is_gap_linear, watch_heads
from dogcam.network.heads import LogOddsHead
from dogcam.network.hooks import capture
from dogcam.network.spatial import layout_of
from tests.support.tiny_networks import deep_headed, images, max_pooled, n_hooks, pooled


def verdict(network: nn.Module, layer: str = "features", batch: torch.Tensor | None = None) -> bool:
    batch = images() if batch is None else batch
    network.requires_grad_(False)
    with capture(network, [layer]) as activations, watch_heads(network) as last:
        logits = network(batch)
    output = activations[layer]
    return is_gap_linear(last, output, layout_of(output.shape, batch.shape[2:]), logits)


class Behind(nn.Module):
    """Something between the features and their average."""

    def __init__(self, between) -> None:
        super().__init__()
        self.between = between

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.between(maps).mean(dim=(2, 3), keepdim=True)


def pooled_behind(between) -> nn.Module:
    network = pooled()
    network.pool = Behind(between)
    return network


def test_averaging_and_a_linear_or_log_odds_head_are_recognised():
    assert verdict(pooled())
    assert verdict(pooled(LogOddsHead(nn.Linear(7, 9), [[1, 4, 5], [0]])))
    assert verdict(pooled(nn.Sequential(nn.Dropout(0.5), nn.Linear(7, 3))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_it_is_recognised_in_every_precision(dtype):
    network = pooled(dtype=torch.float32).to(dtype)
    assert verdict(network, batch=images(dtype=dtype))


class Average(nn.Module):
    """A way of averaging."""

    def __init__(self, average) -> None:
        super().__init__()
        self.average = average

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.average(maps).view(*maps.shape[:2], 1, 1)


AVERAGES = {
    "mean of means": lambda maps: maps.mean(3).mean(2),
    "one pooling": lambda maps: nn.functional.avg_pool2d(maps, maps.shape[2:]).flatten(1),
    "sum by number": lambda maps: maps.sum(dim=(2, 3)) / maps[0, 0].numel(),
    "sum by share": lambda maps: maps.sum(dim=(2, 3)) * maps.new_tensor(1 / maps[0, 0].numel()),
    "row by row": lambda maps: sum(maps.unbind(2)).mean(2) / maps.shape[2],
    "product": lambda maps: maps.flatten(2) @ torch.full_like(maps[0, 0].view(-1, 1), 1 / maps[0, 0].numel()),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES)
@pytest.mark.parametrize("size", [(20, 28), (76, 92)])
def test_every_way_of_averaging_is_recognised_in_every_precision(average, dtype, size):
    network = pooled(dtype=torch.float32).to(dtype)
    network.pool = Average(average)
    assert verdict(network, batch=images(dtype=dtype, size=size))


def test_it_is_recognised_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert verdict(pooled(dtype=torch.float32), batch=images(dtype=torch.float32))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_average_in_a_wider_format_than_its_layer_is_recognised(dtype):
    network = pooled_behind(torch.Tensor.float)
    network.features.to(dtype)
    network.head.float()
    assert verdict(network, batch=images(dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "build",
    [
        max_pooled,
        deep_headed,
        lambda: pooled_behind(torch.relu),
        lambda: pooled_behind(lambda maps: maps + 1e-1),
        # 1.01 is next to 1 in bfloat16, and as near to it as averages are.
        lambda: pooled_behind(lambda maps: maps * (1.03 if maps.dtype == torch.bfloat16 else 1.01)),
        lambda: pooled_behind(lambda maps: maps * torch.linspace(0.85, 1.15, 7).to(maps)[:, None, None]),
        lambda: pooled_behind(lambda maps: maps * torch.linspace(1, 1.03, 7).to(maps)[:, None, None]),
    ],
    ids=["max-pooled", "hidden layer", "ReLU", "shifted", "scaled", "scaled a map", "one map scaled little"],
)
def test_anything_else_is_not(build, dtype):
    assert not verdict(build().to(dtype), batch=images(dtype=dtype))


def test_another_layer_is_not():
    assert not verdict(pooled(), "features.norm")


def test_a_relu_that_changes_no_value_changes_the_slope_at_zero():
    """The values agree to the last digit, and still the closed form would be wrong."""
    network = pooled_behind(torch.relu)
    network.features.append(nn.ReLU())
    output = network.features(images())
    assert (output == 0).any() and torch.equal(output.relu(), output)
    assert not verdict(network)


def test_logits_that_are_changed_behind_the_head_are_not():
    network = pooled()
    network.append(nn.Tanh())
    assert not verdict(network)


@pytest.mark.parametrize("factor", [2.0, 1.1])
def test_a_hook_of_others_on_the_head_is_seen(factor):
    network = pooled()
    network.head.register_forward_hook(lambda _module, _inputs, output: factor * output)
    assert not verdict(network)


class Sine(nn.Linear):
    """A linear layer by name only."""

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return super().forward(pooled).sin()


def test_a_subclass_with_a_forward_of_its_own_is_not_a_head():
    assert not verdict(pooled(Sine(7, 4)))
    assert not verdict(pooled(LogOddsHead(Sine(7, 9), [[1, 4, 5], [0]])))


def test_a_sum_that_goes_round_the_average_is_seen():
    class Aside(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            # As large as the average for these images, but fed by one corner alone.
            corner = maps[:, :, :1, :1]
            mean = maps.mean(dim=(2, 3), keepdim=True)
            return corner * (mean / corner).detach()

    network = pooled()
    network.pool = Aside()
    assert not verdict(network)


def test_no_hook_is_left():
    network = pooled()
    with pytest.raises(RuntimeError), watch_heads(network):
        network(images()[:, :2])
    assert n_hooks(network) == 0


def test_without_a_gradient_the_values_decide():
    network = pooled()
    with torch.no_grad(), capture(network, ["features"]) as activations, watch_heads(network) as last:
        logits = network(images())
    output = activations["features"]
    assert is_gap_linear(last, output, layout_of(output.shape, images().shape[2:]), logits)
    assert last.name == "head"
