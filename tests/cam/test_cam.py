"""CAM and Grad-CAM against their papers' sums, against finite differences and against each other."""

import copy
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from dogcam.cam import Cam, EigenCam, GradCam, OfClasses, explain
from dogcam.errors import ModelError
from dogcam.models.networks import pooled_network
from dogcam.network.heads import LogOddsHead
from dogcam.network.target_layer import choose_layers
from tests.support.maps import cam, grad_cam
from tests.support.references_cam import cam_loop, finite_difference_alphas, grad_cam_loop
from tests.support.tiny_networks import (
    CLASSES,
    Doubled,
    First,
    Packed,
    Pair,
    deep_headed,
    images,
    max_pooled,
    n_hooks,
    pooled,
    snapshot,
)

TARGETS = [2, 0, 3]
LATE, EARLY = "features.late", "features.early"
LATE_SIZE, EARLY_SIZE = (5, 7), (10, 14)
BUILDS = {"pooled": pooled, "deep headed": deep_headed, "max-pooled": max_pooled}


def log_odds_network() -> nn.Sequential:
    torch.manual_seed(3)
    return pooled(LogOddsHead(nn.Linear(7, 9), [[1, 4, 5], [0]]))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_no_gradient_makes_torch_import_sympy(build, monkeypatch):
    """torch needs it to check a gradient that is given for an output with several values."""
    monkeypatch.setitem(sys.modules, "torch.fx.experimental.symbolic_shapes", None)
    leaf, network = torch.ones(2, requires_grad=True), build().float()
    with pytest.raises(ImportError):
        torch.autograd.grad(leaf * 2, leaf, torch.ones(2))
    assert (grad_cam(network, images(dtype=torch.float32), TARGETS, EARLY) > 0).any()
    assert choose_layers(network, (40, 56)).target


def mean_of(maps: torch.Tensor) -> torch.Tensor:
    return maps.mean(dim=(2, 3))


# Grad-CAM


@pytest.mark.parametrize("layer", ["early", "norm", "relu", "late"])
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_grad_cam_is_the_papers_two_equations(build, layer):
    network, batch = build(), images()
    found = grad_cam(network, batch, TARGETS, f"features.{layer}")
    expected = grad_cam_loop(network, batch, TARGETS, layer)
    assert found.shape == (3, 3, *(LATE_SIZE if layer == "late" else EARLY_SIZE))
    assert (found > 0).any() and (found >= 0).all() and not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("layer", ["early", "late"])
@pytest.mark.parametrize("build", [pooled, deep_headed])
def test_grad_cam_weights_are_the_slopes_of_the_logit(build, layer):
    network, batch = build(), images(2, size=(12, 8))
    found = grad_cam(network, batch, [1], f"features.{layer}")
    for image, map_ in zip(batch, found[:, 0], strict=True):
        alphas = finite_difference_alphas(network, image, 1, layer)
        stages = network.features.early(image[None]) if layer == "early" else network.features(image[None])
        expected = sum(alpha * channel for alpha, channel in zip(alphas, stages[0].detach(), strict=True))
        torch.testing.assert_close(map_, expected.clamp(min=0), rtol=1e-6, atol=1e-9)


def test_a_batch_of_several_classes_is_its_images_and_classes_one_by_one():
    network, batch = deep_headed(), images()
    together = grad_cam(network, batch, TARGETS, EARLY)
    for n, image in enumerate(batch):
        for k, target in enumerate(TARGETS):
            alone = grad_cam(network, image[None], [target], EARLY)[0, 0]
            torch.testing.assert_close(together[n, k], alone, rtol=1e-11, atol=1e-15)


def test_one_pass_answers_all_requests_like_a_pass_each():
    network, batch = pooled(), images()
    requests = [GradCam(LATE), GradCam(EARLY), GradCam(LATE, "sigmoid"), Cam(LATE, "head")]
    requests.append(GradCam("features"))  # the same maps as the first, under another name
    explanation = explain(network, batch, TARGETS, requests)
    for request, maps in zip(requests, explanation.maps, strict=True):
        alone = explain(network, batch, TARGETS, [request]).maps[0]
        torch.testing.assert_close(maps, alone, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(explanation.maps[0], explanation.maps[4])
    with torch.no_grad():
        torch.testing.assert_close(explanation.logits, network(batch))
    assert not any(tensor.requires_grad for tensor in (explanation.logits, *explanation.maps))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_request_with_classes_of_its_own_shares_the_forward_pass(build):
    network, batch, passes = build(), images(), []
    handle = network.register_forward_hook(lambda *_: passes.append(1))
    ours, theirs, early = explain(
        network, batch, [2], [GradCam(LATE), OfClasses(GradCam(LATE), (3, 0)), GradCam(EARLY)]
    ).maps
    handle.remove()
    assert len(passes) == 1 and n_hooks(network) == 0
    for found, classes, layer in ((ours, [2], LATE), (theirs, [3, 0], LATE), (early, [2], EARLY)):
        torch.testing.assert_close(found, grad_cam(network, batch, classes, layer))


def test_a_class_of_a_request_that_does_not_exist_is_refused():
    with pytest.raises(ModelError, match="99"):
        explain(pooled(), images(), [0], [OfClasses(GradCam(LATE), (99,))])


def test_a_class_that_nothing_speaks_for_has_an_empty_map():
    network = pooled_network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Linear(4, 1))
    with torch.no_grad():
        network.head.weight.fill_(-1.0)
    found = grad_cam(network, images(dtype=torch.float32), [0], "features")
    assert not found.any()
    assert (cam(network, images(dtype=torch.float32), [0], "features", "head") < 0).any()


@pytest.mark.parametrize("layer", ["early", "late"])
def test_the_probabilitys_map_is_the_logits_times_p_times_1_minus_p(layer):
    network, batch = deep_headed(), images()
    of_logit, of_probability = explain(
        network, batch, TARGETS, [GradCam(f"features.{layer}"), GradCam(f"features.{layer}", "sigmoid")]
    ).maps
    p = network(batch)[:, TARGETS].sigmoid().detach()[:, :, None, None]
    torch.testing.assert_close(of_probability, p * (1 - p) * of_logit, rtol=1e-11, atol=1e-16)
    expected = grad_cam_loop(network, batch, TARGETS, layer, torch.sigmoid)
    torch.testing.assert_close(of_probability, expected, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("bias", [200.0, -200.0])
def test_a_saturated_probability_gives_an_empty_map_and_never_a_nan(bias):
    network = pooled(dtype=torch.float32)
    with torch.no_grad():
        network.head.bias.fill_(bias)
    of_logit, of_probability = explain(
        network, images(dtype=torch.float32), [0, 1], [GradCam(LATE), GradCam(LATE, "sigmoid")]
    ).maps
    assert of_logit.any() and not of_logit.isnan().any()
    assert torch.equal(of_probability, torch.zeros_like(of_probability))


# CAM


def test_cam_is_the_papers_sum():
    network, batch = pooled(), images()
    found = cam(network, batch, TARGETS, LATE, "head")
    assert found.shape == (3, 3, *LATE_SIZE) and (found < 0).any()
    torch.testing.assert_close(found, cam_loop(network, batch, TARGETS), rtol=1e-12, atol=1e-15)


def test_the_mean_of_cam_and_the_bias_make_the_logit():
    network, batch = pooled(), images()
    explanation = explain(network, batch, TARGETS, [Cam(LATE, "head")])
    logits = mean_of(explanation.maps[0]) + network.head.bias.detach()[TARGETS]
    torch.testing.assert_close(logits, explanation.logits[:, TARGETS], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("build", [pooled, log_odds_network])
def test_grad_cam_is_the_positive_part_of_cam_over_the_area_where_pooling_and_head_follow(build):
    of_gradient, of_weights = explain(build(), images(), [1, 0], [GradCam(LATE), Cam(LATE, "head")]).maps
    area = LATE_SIZE[0] * LATE_SIZE[1]
    assert of_gradient.any()
    torch.testing.assert_close(of_gradient, of_weights.relu() / area, rtol=1e-10, atol=1e-15)


def test_the_two_differ_where_anything_else_follows():
    network = deep_headed()
    found = grad_cam(network, images(), [1], LATE)
    # As if the tanh between the two layers of the head were not there.
    weights = network.head.last.weight @ network.head.hidden.weight
    linear = torch.einsum("kc,nchw->nkhw", weights[[1]], network.features(images())).relu()
    linear /= found[0, 0].numel()
    assert (found - linear).abs().max() > 0.01 * linear.max()


@pytest.mark.parametrize(
    ("network", "layer", "head", "reason"),
    [
        (max_pooled(), LATE, "head", "logits.* by up to"),
        (pooled(), "features.norm", "head", "7 .* 6 maps"),
        (pooled(), LATE, "features.early", "Conv2d"),
        (pooled(), LATE, "nowhere", "'nowhere'"),
        (deep_headed(), LATE, "head", "use Grad-CAM"),
        (deep_headed(), LATE, "head.hidden", "'head.hidden'.* 6 .* 4 logits"),
        (deep_headed(), LATE, "head.last", "6 .* 7 maps"),
    ],
)
def test_cam_is_refused_where_the_network_is_built_otherwise(network, layer, head, reason):
    before = snapshot(network)
    with pytest.raises(ModelError, match=reason):
        cam(network, images(), TARGETS, layer, head)
    assert snapshot(network) == before


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_cam_is_verified_whatever_the_size_of_the_logits(scale):
    """A layer of the right width behind which another follows, and logits far below or above 1."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3))
    network = pooled_network(body, nn.Linear(6, 2)).double()
    with torch.no_grad():
        network.head.weight *= scale
        network.head.bias *= scale
    assert cam(network, images(), [0, 1], "features.2", "head").any()
    with pytest.raises(ModelError, match=r"logits.* by up to"):
        cam(network, images(), [0, 1], "features.0", "head")


class RowByRow(nn.Module):
    """Global average pooling that sums in another order, and so rounds otherwise."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return sum(maps.unbind(2)).mean(dim=2) / maps.shape[2]


def test_cam_is_not_refused_for_rounding_where_large_terms_cancel():
    network = pooled(dtype=torch.float32)
    network.pool = RowByRow()
    batch = images(1, torch.float32)
    with torch.no_grad():
        network.head.weight *= 1e4
        network.head.bias -= network(batch)[0]
        logits = network(batch)
    assert logits.abs().max() < 1e-2
    assert cam(network, batch, TARGETS, LATE, "head").abs().max() > 100


class Sine(nn.Linear):
    """Its name says linear, its forward does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sin()


@pytest.mark.parametrize("head", [Sine(7, CLASSES), LogOddsHead(Sine(7, 9), [[0], [1], [2], [3, 4]])])
def test_a_named_head_that_is_linear_by_name_only_is_refused_and_grad_cam_is_the_papers(head):
    network, batch = pooled(head), images()
    with pytest.raises(ModelError, match=r"linear layer.* forward"):
        cam(network, batch, TARGETS, LATE, "head")
    expected = grad_cam_loop(network, batch, TARGETS, "late")
    torch.testing.assert_close(grad_cam(network, batch, TARGETS, LATE), expected, rtol=1e-10, atol=1e-14)


def test_a_named_head_whose_outputs_a_hook_changes_is_refused():
    network = pooled()
    network.head.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with pytest.raises(ModelError, match=r"logits.* by up to"):
        cam(network, images(), TARGETS, LATE, "head")


def test_logits_that_are_no_number_verify_nothing():
    network = pooled()
    with torch.no_grad():
        network.head.bias[0] = float("nan")
    with pytest.raises(ModelError, match=r"'head'.* nan\b"):
        cam(network, images(), [0], LATE, "head")


# The network is left as it was found


REQUESTS = [GradCam(LATE), GradCam("features.norm", "sigmoid"), Cam(LATE, "head")]


def _as_left_by_training() -> nn.Sequential:
    """In training mode but for one module, one parameter frozen, gradients there, somebody's hook on it."""
    network = pooled()
    network(images()).sum().backward()
    network.train()
    network.features.norm.eval()
    network.features.early.bias.requires_grad_(False)
    return network


def test_nothing_about_the_network_changes():
    network, calls = _as_left_by_training(), []
    network.features.late.register_forward_hook(lambda *_: calls.append("late"))
    before = snapshot(network)
    assert before["hooks"] == 1 and len(set(before["modes"])) == 2 and len(set(before["flags"])) == 2
    assert any(before["gradients"])
    explain(network, images(), TARGETS, REQUESTS)
    assert snapshot(network) == before
    assert calls == ["late"]


@pytest.mark.parametrize(
    ("batch", "targets", "requests", "error"),
    [
        (images()[:, :2], TARGETS, REQUESTS, RuntimeError),
        (images(), TARGETS, [*REQUESTS, GradCam("features.nowhere")], ModelError),
        (images(), [CLASSES], REQUESTS, ModelError),
        (images(), TARGETS, [*REQUESTS, Cam(LATE, "nowhere")], ModelError),
        (images(), TARGETS, [*REQUESTS, GradCam("flatten")], ModelError),
    ],
    ids=["forward", "layer", "target", "head", "2-D layer"],
)
def test_nothing_about_the_network_changes_on_errors(batch, targets, requests, error):
    network = _as_left_by_training()
    before = snapshot(network)
    with pytest.raises(error):
        explain(network, batch, targets, requests)
    assert snapshot(network) == before


def test_the_images_and_their_gradients_are_left_alone():
    batch = images().requires_grad_()
    found = grad_cam(pooled(), batch, TARGETS, LATE)
    assert batch.grad is None and batch.requires_grad
    torch.testing.assert_close(found, grad_cam(pooled(), images(), TARGETS, LATE))


def test_training_mode_and_frozen_parameters_make_no_difference():
    expected = explain(pooled(), images(), TARGETS, REQUESTS)
    for network in (pooled().train(), pooled().requires_grad_(False)):
        found = explain(network, images(), TARGETS, REQUESTS)
        for maps, those in zip(found.maps, expected.maps, strict=True):
            torch.testing.assert_close(maps, those)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_makes_no_difference(mode):
    network, batch = pooled(), images()
    expected = explain(network, batch, TARGETS, REQUESTS)
    with mode():
        made_inside = batch.clone()
        found = [explain(network, each, TARGETS, REQUESTS) for each in (batch, made_inside)]
        assert not torch.is_grad_enabled()
    found.append(explain(network, made_inside, TARGETS, REQUESTS))
    for each in found:
        for maps, those in zip(each.maps, expected.maps, strict=True):
            torch.testing.assert_close(maps, those)


def test_images_made_in_inference_mode_may_be_the_target_layers_output():
    network = nn.Sequential(nn.Identity(), nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    with torch.inference_mode():
        batch = images() + 0
    assert grad_cam(network, batch, [0], "0").shape == (3, 1, 20, 28)


def test_a_network_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        network = copy.deepcopy(pooled())
    with pytest.raises(ModelError, match=r"torch\.inference_mode"):
        grad_cam(network, images(), [0], LATE)
    assert n_hooks(network) == 0


# Requests that cannot be answered


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("twice", "'twice'.* 2 times"),
        ("unused", "'unused'.* 0 times"),
        ("aside", "gradient.*'aside'"),
        ("head", r"'head'.*\[3, 4\]"),
        ("frist", "'frist'.* first"),
    ],
)
@pytest.mark.parametrize("others", [[], [GradCam("first")]], ids=["alone", "beside another"])
def test_layers_that_have_no_map_are_refused(layer, reason, others):
    network = Doubled().double()
    before = snapshot(network)
    with pytest.raises(ModelError, match=reason):
        explain(network, images(), [0], [*others, GradCam(layer)])
    assert snapshot(network) == before


def test_a_layer_that_puts_out_a_tuple_is_refused():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), Pair(), First())
    network = pooled_network(body, nn.Linear(4, 2)).double()
    with pytest.raises(ModelError, match="tuple"):
        grad_cam(network, images(), [0], "features.1")
    assert grad_cam(network, images(), [0], "features.2").any()


class WithoutGradients(nn.Module):
    """Layer `aside` runs without gradients, by the network's own will; `first` and `last` run with them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.aside, self.last = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3), nn.Conv2d(5, CLASSES, 3)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            gate = self.aside(batch).sigmoid()
        return self.last(self.first(batch) * gate).amax(dim=(2, 3))


def test_a_layer_that_the_network_runs_without_gradients_is_refused_beside_another():
    network = WithoutGradients().double()
    assert grad_cam(network, images(), [0], "first").any()
    before = snapshot(network)
    for requests in ([GradCam("first"), GradCam("aside")], [GradCam("aside")]):
        for batch in (images(), images().requires_grad_()):
            with pytest.raises(ModelError, match=r"gradient.*'aside'"):
                explain(network, batch, [0], requests)
    assert snapshot(network) == before


@pytest.mark.parametrize("targets", [[], [-1], [0, CLASSES], [0.5], ["dog"]])
def test_targets_that_are_no_class_are_refused(targets):
    with pytest.raises(ModelError, match="0 to 3"):
        explain(pooled(), images(), targets, REQUESTS)


@pytest.mark.parametrize("targets", [[1, 1], (1, 1), [1.0, True], np.array([1, 1]), torch.tensor([1, 1])])
def test_targets_may_repeat_and_be_any_sequence_of_integers(targets):
    expected = explain(pooled(), images(), [1], REQUESTS)
    found = explain(pooled(), images(), targets, REQUESTS)
    for maps, those in zip(found.maps, expected.maps, strict=True):
        torch.testing.assert_close(maps, those.expand_as(maps))


def test_a_network_without_logits_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double()
    with pytest.raises(ModelError, match=r"\(3, 4, 18, 26\).*\(N, C\)"):
        grad_cam(network, images(), [0], "0")


@dataclass
class Record:
    logits: torch.Tensor


@pytest.mark.parametrize(
    ("wrapped", "found"),
    [
        (lambda logits: (logits, logits), "tuple"),
        (lambda logits: {"logits": logits}, "dict"),
        (Record, "Record"),
    ],
)
def test_a_network_that_puts_out_more_than_logits_is_refused_and_left_as_it_was(wrapped, found):
    network = _as_left_by_training()
    network.append(Packed(wrapped))
    before = snapshot(network)
    reason = rf"{found}.*\(N, C\)"
    with pytest.raises(ModelError, match=reason):
        explain(network, images(), TARGETS, REQUESTS)
    with pytest.raises(ModelError, match=reason):
        explain(network, images(), TARGETS, [EigenCam(LATE)])
    assert snapshot(network) == before


def test_no_images_have_no_maps():
    explanation = explain(pooled(), images(0), TARGETS, REQUESTS)
    assert explanation.logits.shape == (0, CLASSES)
    sizes = [LATE_SIZE, EARLY_SIZE, LATE_SIZE]
    assert [maps.shape for maps in explanation.maps] == [(0, 3, *size) for size in sizes]
