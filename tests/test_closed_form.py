"""Whether averaging and one head is all behind a layer: found by inspection, never believed unverified."""

import pytest
import torch
from tiny_networks import deep_headed, images, max_pooled, n_hooks, pooled
from torch import nn

from dogcam.activations import capture
from dogcam.closed_form import averages_into, watch_heads
from dogcam.heads import LogOddsHead
from dogcam.places import layout_of


def verdict(network: nn.Module, layer: str = "features", batch: torch.Tensor | None = None) -> bool:
    batch = images() if batch is None else batch
    network.requires_grad_(False)
    with capture(network, [layer]) as activations, watch_heads(network) as last:
        logits = network(batch)
    output = activations[layer]
    return averages_into(last, output, layout_of(output.shape, batch.shape[2:]), logits)


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


@pytest.mark.parametrize(
    "network",
    [
        max_pooled(),
        deep_headed(),
        pooled_behind(torch.relu),
        pooled_behind(lambda maps: maps + 1e-1),
        pooled_behind(lambda maps: maps * 1.01),
    ],
    ids=["max-pooled", "hidden layer", "ReLU", "shifted", "scaled"],
)
def test_anything_else_is_not(network):
    assert not verdict(network)


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
    assert averages_into(last, output, layout_of(output.shape, images().shape[2:]), logits)
    assert last.name == "head"
