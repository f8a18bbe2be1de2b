"""The activation of a head: probabilities, log-odds, and the gradient of a probability."""

import pytest
import torch

from dogcam.cam import GradCam, explain
from dogcam.network.activation import activate, log_odds
from tests.support.tiny_networks import pooled

LOGITS = torch.tensor([[6.0, 4.0, 0.0], [-800.0, 0.0, 800.0]], dtype=torch.float64)


def test_probabilities_of_both_activations():
    assert activate(LOGITS, "softmax")[0].tolist() == pytest.approx([0.878879, 0.118943, 0.002178], abs=1e-6)
    assert activate(LOGITS, "sigmoid")[0].tolist() == pytest.approx([0.997527, 0.982014, 0.5], abs=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_log_odds_are_those_of_the_probabilities_and_never_saturate(activation):
    found = log_odds(LOGITS, activation)
    p = activate(LOGITS[:1], activation)
    torch.testing.assert_close(found[:1], p.log() - (1 - p).log())
    assert found.isfinite().all() and found[1].tolist() == sorted(found[1].tolist())


def test_a_softmax_of_one_class_is_refused():
    with pytest.raises(ValueError, match="1 class"):
        log_odds(LOGITS[:, :1], "softmax")


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("layer", ["features.late", "features.early"])
def test_grad_cam_of_a_probability_is_that_of_its_autograd_gradient(activation, layer):
    network = pooled().eval()
    images = torch.randn(2, 3, 20, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = explain(network, images, [0, 2], [GradCam(layer, activation)]).maps[0]
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    for k, target in enumerate((0, 2)):
        kept.clear()
        p = activate(network(images), activation)[:, target]
        (gradient,) = torch.autograd.grad(p.sum(), kept[0])
        expected = (gradient.mean(dim=(2, 3), keepdim=True) * kept[0]).sum(dim=1).relu()
        torch.testing.assert_close(found[:, k], expected.detach())
    handle.remove()
