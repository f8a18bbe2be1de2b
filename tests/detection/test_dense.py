"""Networks without their last stride repeat the original activations at every second position."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from dogcam.detection.dense import without_last_stride
from dogcam.errors import ModelError
from dogcam.models.classifier import load_classifier
from dogcam.network.hooks import capture


def maps_of(network: nn.Module, layer: str, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), capture(network.eval(), [layer]) as activations:
        network(image)
    return activations[layer]


@pytest.mark.parametrize("size", [(96, 128), (64, 160)])
def test_a_residual_network_keeps_its_activations(size):
    torch.manual_seed(0)
    network, image = resnet18(weights=None), torch.randn(1, 3, *size)
    dense = without_last_stride(network, "layer4", (64, 64))
    plain, doubled = maps_of(network, "layer4", image), maps_of(dense, "layer4", image)
    assert doubled.shape[2:] == (2 * plain.shape[2], 2 * plain.shape[3])
    torch.testing.assert_close(doubled[:, :, ::2, ::2], plain, atol=1e-4, rtol=1e-4)
    # The positions between are no copies of their neighbours.
    assert (doubled[:, :, 1::2, ::2] - plain).abs().max() > 0.01
    assert network.layer4[0].conv1.stride == (2, 2)


def test_the_sample_network_keeps_its_activations():
    classifier = load_classifier("sample_net", device="cpu")
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    dense = without_last_stride(classifier.network, classifier.target_layer, (96, 96))
    plain = maps_of(classifier.network, classifier.target_layer, image)
    doubled = maps_of(dense, classifier.target_layer, image)
    torch.testing.assert_close(doubled[:, :, ::2, ::2], plain, atol=1e-4, rtol=1e-4)


def test_a_pooling_layer_cannot_lose_its_stride():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1))
    with pytest.raises(ModelError, match="MaxPool2d"):
        without_last_stride(network, "2", (32, 32))


def test_a_network_without_convolutions_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    with pytest.raises(ModelError, match="Sequential"):
        without_last_stride(network, "0", (8, 8))
