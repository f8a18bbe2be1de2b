"""Every method against its paper's sums, one image, class, channel and place after another."""

import pytest
import torch
from torch import nn

from dogcam.cam import (
    METHODS,
    AblationCam,
    Cam,
    EigenCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    ScoreCam,
    XGradCam,
    eigen,
    explain,
)
from dogcam.errors import ModelError
from dogcam.models.networks import pooled_network
from dogcam.network.heads import LogOddsHead
from tests.support.references_cam import (
    ablation_cam_loop,
    eigen_cam_loop,
    grad_cam_loop,
    grad_cam_plus_plus_of_one,
    gradient_loop,
    hires_cam_of_one,
    layer_cam_of_one,
    score_cam_loop,
    xgrad_cam_of_one,
)
from tests.support.tiny_networks import (
    CLASSES,
    OnDeviceWithoutDouble,
    deep_headed,
    images,
    max_pooled,
    pooled,
    snapshot,
)

TARGETS = [2, 0, 3]
LAYERS = ["early", "relu", "late"]
OF_GRADIENTS = {
    HiResCam: hires_cam_of_one,
    LayerCam: layer_cam_of_one,
    GradCamPlusPlus: grad_cam_plus_plus_of_one,
    XGradCam: xgrad_cam_of_one,
}


def log_odds() -> nn.Sequential:
    torch.manual_seed(3)
    return pooled(LogOddsHead(nn.Linear(7, 9), [[1, 4, 5], [0], [2, 3], [6, 7]]))


BUILDS = {"pooled": pooled, "log-odds": log_odds, "deep headed": deep_headed, "max-pooled": max_pooled}


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("method", OF_GRADIENTS)
def test_methods_of_gradients_are_their_papers_sums(method, build, layer):
    network, batch = build(), images(2)
    found = explain(network, batch, TARGETS, [method(f"features.{layer}")]).maps[0]
    expected = gradient_loop(network, batch, TARGETS, layer, OF_GRADIENTS[method])
    assert (found > 0).any() and (found >= 0).all()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13 * expected.max().item())


def test_grad_cam_plus_plus_by_hand():
    """One map [1, 3] and a gradient of [2, 0]: alpha = 1 / (2 + 2 * 4), w = 2 / 10."""
    maps, gradient = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 0.0]]]])
    found = GradCamPlusPlus("layer").map(maps, gradient)
    torch.testing.assert_close(found, torch.tensor([[[0.2, 0.6]]]))


def test_xgrad_cam_by_hand():
    """w = (1 * 2 + 3 * 4) / 4 = 3.5; a map that adds up to 0 counts for nothing."""
    maps = torch.tensor([[[[1.0, 3.0]], [[1.0, -1.0]]]])
    gradient = torch.tensor([[[[2.0, 4.0]], [[5.0, 6.0]]]])
    torch.testing.assert_close(XGradCam("layer").map(maps, gradient), torch.tensor([[[3.5, 10.5]]]))
    weights = XGradCam("layer").weights(maps, torch.tensor([[[3.0, 5.0]]]))
    torch.testing.assert_close(weights, torch.tensor([[[3.0, 0.0]]]))


def test_hires_cam_and_xgrad_cam_are_grad_cam_where_average_and_head_follow_and_else_are_not():
    methods = GradCam, HiResCam, XGradCam
    late = explain(pooled(), images(), TARGETS, [method("features.late") for method in methods]).maps
    torch.testing.assert_close(late[1], late[0], rtol=1e-12, atol=1e-16)
    torch.testing.assert_close(late[2], late[0], rtol=1e-12, atol=1e-16)
    early = explain(pooled(), images(), TARGETS, [method("features.relu") for method in methods]).maps
    for other in early[1:]:
        assert (other - early[0]).abs().max() > 0.1 * early[0].max()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize(("method", "loop"), [(ScoreCam, score_cam_loop), (AblationCam, ablation_cam_loop)])
def test_methods_that_change_something_are_their_papers_sums(method, loop, build, layer, batch_size):
    network, batch = build(), images(2)
    found = explain(network, batch, TARGETS, [method(f"features.{layer}", batch_size)]).maps[0]
    expected = loop(network, batch, TARGETS, layer)
    assert (found > 0).any()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12 * expected.max().item())


def test_ablation_cam_takes_the_head_alone_where_it_may_and_the_network_where_it_must():
    for network, passes in ((pooled(), 1), (deep_headed(), 1 + 2 * 2)):
        calls = []
        network.features.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        explain(network, images(2), TARGETS, [AblationCam("features.late", batch_size=4)])
        assert len(calls) == passes


def test_ablation_cam_of_a_logit_of_zero_is_no_nan():
    network = pooled()
    with torch.no_grad():
        network.head.bias[1] -= network(images(1))[0, 1]
        assert network(images(1))[0, 1] == 0
    found = explain(network, images(1), [1], [AblationCam("features.late")]).maps[0]
    assert found.isfinite().all() and found.any()


@pytest.mark.parametrize("layer", LAYERS)
def test_eigen_cam_is_the_first_singular_vector_s_share(layer):
    network, batch = pooled(), images()
    found = explain(network, batch, TARGETS, [EigenCam(f"features.{layer}")]).maps[0]
    names = list(dict(network.features.named_children()))
    with torch.no_grad():
        maps = network.features[: names.index(layer) + 1](batch)
    expected = eigen_cam_loop(maps)
    assert found.shape[1] == 3 and (found > 0).any()
    for k in range(3):
        torch.testing.assert_close(found[:, k], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_channels", [3, 20])
def test_eigen_cam_is_computed_on_the_cpu_where_the_device_has_no_double_precision(monkeypatch, n_channels):
    maps = torch.randn(2, n_channels, 2, 3, generator=torch.Generator().manual_seed(2))
    expected = eigen.principal_maps(maps)
    elsewhere = maps.as_subclass(OnDeviceWithoutDouble)
    with pytest.raises(TypeError, match="to float64"):
        eigen.principal_maps(elsewhere)
    monkeypatch.setattr(eigen, "WITHOUT_DOUBLE", ("cpu",))
    found = eigen.principal_maps(elsewhere)
    assert (found.device, found.dtype) == (maps.device, maps.dtype)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_answers_for_many_images_and_classes_and_leaves_the_network_alone(name):
    network, batch = pooled().train(), images()
    before = snapshot(network)
    request = METHODS[name]("features.late")
    together = explain(network, batch, TARGETS, [request])
    assert snapshot(network) == before
    assert together.maps[0].shape == (3, 3, 5, 7) and together.logits.shape == (3, CLASSES)
    assert not together.maps[0].requires_grad
    for n in range(3):
        alone = explain(network, batch[n : n + 1], TARGETS[1:2], [request]).maps[0]
        torch.testing.assert_close(together.maps[0][n, 1], alone[0, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_makes_a_nan_of_a_layer_that_is_zero_everywhere(name):
    network = pooled_network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Linear(4, 2))
    with torch.no_grad():
        network.features[0].weight.zero_()
        network.features[0].bias.zero_()
    found = explain(network, images(2, torch.float32), [0, 1], [METHODS[name]("features")]).maps[0]
    assert torch.equal(found, torch.zeros(2, 2, 18, 26))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_no_maps_in_no_images(name):
    found = explain(pooled(), images(0), TARGETS, [METHODS[name]("features.late")])
    assert found.maps[0].shape == (0, 3, 5, 7)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_leaves_the_network_alone_on_errors(name):
    network = pooled().train()
    before = snapshot(network)
    with pytest.raises(ModelError):
        explain(network, images(), TARGETS, [METHODS[name]("features.late"), GradCam("flatten")])
    with pytest.raises(ModelError):
        explain(network, images(), [CLASSES], [METHODS[name]("features.late")])
    calls = []

    def broken(*_):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("in the midst of it")

    handle = network.head.register_forward_hook(broken)
    try:
        explain(network, images(), TARGETS, [METHODS[name]("features.late")])
    except KeyError:
        assert name in ("score_cam", "ablation_cam", "cam")
    handle.remove()
    assert snapshot(network) == before


def test_cam_finds_its_head_itself():
    network = pooled()
    named, found = explain(
        network, images(), TARGETS, [Cam("features.late", "head"), Cam("features.late")]
    ).maps
    assert torch.equal(named, found)
    headless = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    with pytest.raises(ModelError, match=r"linear.*Grad-CAM"):
        explain(headless, images(), [0], [Cam("0")])


def test_methods_share_the_passes_that_they_can_share(monkeypatch):
    network, calls, backward = deep_headed(), [], []
    network.features.early.register_forward_hook(lambda *_: calls.append(1))
    differentiate = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backward.append(1) or differentiate(*a, **k))
    requests = [
        method(f"features.{layer}")
        for method in (GradCam, HiResCam, LayerCam, GradCamPlusPlus, XGradCam, EigenCam)
        for layer in LAYERS
    ]
    together = explain(network, images(), TARGETS, requests).maps
    # One forward pass; a backward pass a class serves five methods at three layers.
    assert (len(calls), len(backward)) == (1, len(TARGETS))
    for request, maps in zip(requests, together, strict=True):
        alone = explain(network, images(), TARGETS, [request]).maps[0]
        torch.testing.assert_close(maps, alone, rtol=1e-11, atol=1e-15)


def test_the_closed_form_differentiates_once_to_be_verified_whatever_the_number_of_classes(monkeypatch):
    backward, differentiate = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backward.append(1) or differentiate(*a, **k))
    requests = [GradCam("features.late"), LayerCam("features.late"), GradCam("features.late", "sigmoid")]
    found = explain(pooled(), images(), [0, 1, 2, 3] * 5, requests).maps
    assert len(backward) == 1
    expected = grad_cam_loop(pooled(), images(), [0, 1, 2, 3], "late")
    torch.testing.assert_close(found[0][:, :4], expected, rtol=1e-10, atol=1e-14)


def test_no_graph_is_built_where_nothing_is_differentiated():
    network, recorded = pooled(), []
    network.head.register_forward_hook(lambda _module, _inputs, output: recorded.append(output.requires_grad))
    explain(network, images(), TARGETS, [Cam("features.late"), EigenCam("features.late")])
    explain(network, images(), TARGETS, [GradCam("features.late")])
    assert recorded[0] is False and recorded[-1] is True
