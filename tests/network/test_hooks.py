"""Capturing layers: what is caught, what is refused, and that the network is left as it was found."""

import copy

import pytest
import torch
from torch import nn

from dogcam.errors import ModelError
from dogcam.network.hooks import capture, evaluation_mode, find_layer, frozen_parameters
from tests.support.tiny_networks import Doubled, First, Pair, images, n_hooks, pooled, snapshot


def test_what_is_captured_is_what_the_layer_put_out():
    network, batch = pooled(), images()
    with torch.no_grad(), capture(network, ["features.early", "features.late"]) as activations:
        logits = network(batch)
    assert torch.equal(activations["features.early"], network.features.early(batch))
    assert torch.equal(activations["features.late"], network.features(batch))
    assert torch.equal(logits, network(batch))


def test_an_in_place_relu_behind_the_layer_does_not_overwrite_what_was_captured():
    network, batch = pooled(), images()
    with capture(network, ["features.norm"]) as activations:
        network(batch)
    expected = network.features.norm(network.features.early(batch))
    assert (expected < 0).any()
    assert torch.equal(activations["features.norm"], expected)


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_reach_every_captured_layer(frozen):
    network = pooled().requires_grad_(not frozen)
    layers = ["features.early", "features.norm", "features"]
    with capture(network, layers) as activations:
        network(images())[:, 1].sum().backward(inputs=[activations[layer] for layer in layers])
    assert all(activations[layer].grad.abs().sum() > 0 for layer in layers)
    assert activations["features.early"].is_leaf == frozen


def test_no_graph_where_the_caller_wants_none():
    with torch.no_grad(), capture(network := pooled(), ["features.late"]) as activations:
        assert not network(images()).requires_grad
    assert not activations["features.late"].requires_grad


def test_no_hook_is_left_after_success_error_and_a_wrong_name():
    network = pooled()
    with capture(network, ["features.early", "features"]):
        assert n_hooks(network) == 2
    assert n_hooks(network) == 0
    with pytest.raises(RuntimeError), capture(network, ["features.early", "features"]):
        network(images()[:, :2])
    assert n_hooks(network) == 0
    with pytest.raises(ModelError), capture(network, ["features.early", "features.nowhere"]):
        pass
    assert n_hooks(network) == 0


def test_hooks_of_others_stay_and_are_called():
    network, calls = pooled(), []
    network.features.late.register_forward_hook(lambda *_: calls.append("before"))
    with capture(network, ["features.late"]):
        network(images())
    network(images())
    assert calls == ["before", "before"]
    assert n_hooks(network) == 1


def test_what_a_hook_of_others_puts_in_place_of_the_output_is_captured():
    network = pooled()
    network.features.late.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with torch.no_grad(), capture(network, ["features.late"]) as activations:
        network(images())
        assert torch.equal(activations["features.late"], network.features(images()))


@pytest.mark.parametrize(("layer", "times"), [("twice", 2), ("unused", 0)])
def test_a_layer_that_does_not_run_once_is_refused(layer, times):
    network = Doubled().double()
    with capture(network, [layer]) as activations:
        network(images())
    with pytest.raises(ModelError, match=rf"'{layer}' .*{times} times"):
        activations[layer]


def test_an_output_that_is_no_map_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Pair(), First(), nn.Flatten()).double()
    with capture(network, ["1", "3"]) as activations:
        network(images())
    with pytest.raises(ModelError, match=r"'1' .*tuple"):
        activations["1"]
    with pytest.raises(ModelError, match=r"'3' .*\[3, 1872\]"):
        activations["3"]


def test_a_wrong_layer_name_lists_the_nearest():
    with pytest.raises(ModelError, match=r"'feature\.latte'") as caught:
        find_layer(pooled(), "feature.latte")
    near = str(caught.value).split("similar names are ")[1].split(", ")
    assert near[0] == "features.late"
    with pytest.raises(ModelError, match="features, "):
        find_layer(pooled(), "")


def test_a_module_with_two_names_is_found_by_both():
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    network.append(network[0])
    assert find_layer(network, "0") is find_layer(network, "1") is network[0]
    with capture(network, ["1"]) as activations:
        network(images(dtype=torch.float32))
    with pytest.raises(ModelError, match=r"'1' .*2 times"):
        activations["1"]


def test_each_module_gets_its_own_mode_back_on_errors_too():
    network = pooled().train()
    network.features.norm.eval()
    before = snapshot(network)
    with pytest.raises(KeyError), evaluation_mode(network):
        assert not any(module.training for module in network.modules())
        raise KeyError
    assert snapshot(network) == before


def test_each_parameter_gets_its_own_flag_back_on_errors_too():
    network = pooled()
    network.features.early.weight.requires_grad_(False)
    before = snapshot(network)
    assert len(set(before["flags"])) == 2
    with pytest.raises(KeyError), frozen_parameters(network):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        raise KeyError
    assert snapshot(network) == before


def test_weights_that_no_gradient_can_pass_are_refused():
    with torch.inference_mode():
        network = copy.deepcopy(pooled())
    with pytest.raises(ModelError, match=r"torch\.inference_mode"), frozen_parameters(network):
        pass
