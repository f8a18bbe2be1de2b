"""Networks as they are met: wrapped, compiled, in half precision, with others' hooks. Right, or refused."""

import re
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from dogcam.cam import Cam, EigenCam, GradCam, LayerCam, ScoreCam, Views, explain
from dogcam.detection.boxes_from_maps import heat_map, normalise, resize
from dogcam.errors import ModelError
from tests.support.maps import grad_cam
from tests.support.tiny_networks import CLASSES, deep_headed, images, n_hooks, pooled, snapshot

TARGETS = [2, 0]
LATE, EARLY = "features.late", "features.early"
REQUESTS = [GradCam(LATE), LayerCam(EARLY), Cam(LATE)]


def assert_same_maps(found, expected, **tolerances):
    for ours, theirs in zip(found.maps, expected.maps, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerances)


# Targets


@pytest.mark.parametrize("as_type", [list, np.array, torch.tensor])
@pytest.mark.parametrize("build", [pooled, deep_headed])
def test_each_image_may_have_targets_of_its_own(build, as_type):
    network, batch, rows = build(), images(3), [[2, 0], [1, 1], [3, 2]]
    requests = [GradCam(LATE), LayerCam(EARLY), EigenCam(LATE), ScoreCam(LATE)]
    together = explain(network, batch, as_type(rows), requests)
    for n, row in enumerate(rows):
        alone = explain(network, batch[n : n + 1], row, requests)
        for maps, those in zip(together.maps, alone.maps, strict=True):
            torch.testing.assert_close(maps[n : n + 1], those, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ([[0, 1], [1, 2]], "2 rows.* 3 images"),
        ([[0], [1], [2], [3]], "4 rows.* 3 images"),
        ([[0, 1], [1], [2]], r"\[\[0, 1\], \[1\], \[2\]\]"),
        ([[], [], []], "0 to 3"),
        ([[0], [1], [CLASSES]], "0 to 3"),
        ([[0], [1], [float("nan")]], "0 to 3"),
        ([[[0]]], "0 to 3"),
        (1, "0 to 3"),
    ],
)
def test_a_wrong_number_of_targets_is_refused_and_never_cut_short(targets, reason):
    network = pooled()
    before = snapshot(network)
    with pytest.raises(ModelError, match=reason):
        explain(network, images(3), targets, REQUESTS)
    assert snapshot(network) == before


# Numbers


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_no_numbers_are_refused(bad):
    network, batch = pooled(), images()
    batch[1, 0, 3, 3] = bad
    with pytest.raises(ModelError, match=r"activations.*'features\.early'.*nan"):
        grad_cam(network, batch, [0], EARLY)
    assert n_hooks(network) == 0


def test_a_gradient_that_is_no_number_is_refused():
    class Cliff(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return (maps - maps.detach()).sqrt()  # 0, with an infinite slope

    network = pooled()
    network.features.append(Cliff())
    with pytest.raises(ModelError, match=r"gradient.*'features\.late'.*torch\.float64"):
        grad_cam(network, images(), [0], LATE)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
@pytest.mark.parametrize("build", [pooled, deep_headed])
def test_half_precision_gives_the_maps_of_single_up_to_its_rounding(build, dtype, tolerance):
    network, batch = build(dtype=torch.float32), images(dtype=torch.float32)
    requests = [GradCam(LATE), LayerCam(EARLY), GradCam(LATE, "sigmoid")]
    expected = explain(network, batch, TARGETS, requests)
    found = explain(network.to(dtype), batch.to(dtype), TARGETS, requests)
    assert found.logits.dtype == dtype
    for ours, theirs in zip(found.maps, expected.maps, strict=True):
        assert ours.dtype == torch.float32 and theirs.any()
        assert (ours - theirs).abs().max() <= tolerance * theirs.max()


def test_sums_of_half_precision_are_taken_in_single():
    """4,096 maps of which each adds 1: float16 stops counting at 2,048, bfloat16 at 256."""
    for dtype in (torch.float16, torch.bfloat16):
        network = nn.Sequential(
            nn.Conv2d(3, 4096, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4096, 1)
        ).to(dtype)
        with torch.no_grad():
            network[0].weight.zero_()
            network[0].bias.fill_(1)
            network[3].weight.fill_(1)
        batch = images(1, dtype, (2, 2))
        assert torch.equal(grad_cam(network, batch, [0], "0"), torch.full((1, 1, 2, 2), 1024.0))


def test_small_gradients_do_not_vanish_in_half_precision():
    network = deep_headed(torch.float32)
    with torch.no_grad():
        network.head.last.weight *= 1e-5
    expected = grad_cam(network, images(dtype=torch.float32), [1], EARLY)
    found = grad_cam(network.half(), images(dtype=torch.float16), [1], EARLY)
    assert (found - expected).abs().max() <= 0.05 * expected.max()


def test_autocast_is_let_through():
    network, batch = deep_headed(torch.float32), images(dtype=torch.float32)
    expected = grad_cam(network, batch, TARGETS, EARLY)
    with torch.autocast("cpu", torch.bfloat16):
        found = grad_cam(network, batch, TARGETS, EARLY)
    assert (found - expected).abs().max() <= 0.06 * expected.max()


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (images(dtype=torch.float32), r"torch\.float32.*torch\.float64"),
        (images().to("meta"), r"\bmeta\b.*\bcpu\b"),
        (images()[0], r"\(3, 20, 28\)"),
        ((images() > 0).to(torch.uint8), r"torch\.uint8"),
    ],
)
def test_images_that_do_not_fit_the_network_are_refused(batch, reason):
    with pytest.raises(ModelError, match=reason):
        explain(pooled(), batch, TARGETS, REQUESTS)


def test_a_network_on_another_device_is_refused():
    with pytest.raises(ModelError, match=r"\bcpu\b.*\bmeta\b"):
        explain(pooled().to("meta"), images(), TARGETS, REQUESTS)


# Wrappers


def test_a_network_under_data_parallel_is_looked_into_without_it():
    expected = explain(pooled(), images(), TARGETS, REQUESTS)
    assert_same_maps(explain(nn.DataParallel(pooled()), images(), TARGETS, REQUESTS), expected)


def _whole(network: nn.Module) -> nn.Module:
    return torch.compile(network, backend="eager")


def _in_place(network: nn.Module) -> nn.Module:
    network.compile(backend="eager")
    return network


def _a_part(network: nn.Module) -> nn.Module:
    network.features = torch.compile(network.features, backend="eager")
    return network


def _wrapped_twice(network: nn.Module) -> nn.Module:
    return nn.DataParallel(torch.compile(network, backend="eager"))


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [_whole, _in_place, _a_part, _wrapped_twice])
def test_a_compiled_network_is_looked_into_also_after_it_ran(compiled):
    network, batch = compiled(pooled()), images()
    with torch.no_grad():
        network(batch)
    # A part that is compiled has another module inside.
    prefix = "features._orig_mod." if compiled is _a_part else "features."
    requests = [GradCam(f"{prefix}late"), LayerCam(f"{prefix}early"), Cam(f"{prefix}late")]
    assert_same_maps(explain(network, batch, TARGETS, requests), explain(pooled(), batch, TARGETS, REQUESTS))
    assert n_hooks(network) == 0
    with torch.no_grad():
        torch.testing.assert_close(network(batch), pooled()(batch))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_traced_network_is_refused():
    with torch.no_grad():
        traced = torch.jit.trace(pooled(), images())
    with pytest.raises(ModelError, match=r"'features\.late'.* 0 times"):
        grad_cam(traced, images(), [0], LATE)


def test_a_closed_form_spoilt_by_a_hook_of_others_is_not_used():
    """Somebody doubles the head's logits: half of the slope would be the answer of the weights alone."""
    network, expected = pooled(), grad_cam(pooled(), images(), TARGETS, LATE)
    network.head.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    torch.testing.assert_close(grad_cam(network, images(), TARGETS, LATE), 2 * expected)
    assert n_hooks(network) == 1


# Families


def plain_grad_cam(network: nn.Module, batch: torch.Tensor, target: int, layer: str, cut) -> torch.Tensor:
    """Grad-CAM with the whole graph of the network, `cut` making maps of what the layer puts out."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    logits = network.eval()(batch)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, target].sum(), kept[0])
    maps, channel_gradients = cut(kept[0].detach()), cut(gradient)
    return (maps * channel_gradients.mean(dim=(2, 3), keepdim=True)).sum(dim=1).relu()


def vision_transformer() -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 8, 2, 2, 12, 20, num_classes=CLASSES)
    nn.init.normal_(network.heads.head.weight)
    return network


def timm_transformer(**options) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", num_classes=CLASSES, depth=2, embed_dim=12, num_heads=2, **options
    )


def swin() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [2, 2], num_classes=CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "size", "layer", "cut"),
    [
        (
            vision_transformer, (32, 32), "encoder.layers.encoder_layer_1.ln_1",
            lambda tokens: tokens[:, 1:].permute(0, 2, 1).reshape(2, 12, 4, 4),
        ),
        (
            partial(timm_transformer, img_size=(64, 96), reg_tokens=4), (64, 96), "blocks.1.norm1",
            lambda tokens: tokens[:, 5:].permute(0, 2, 1).reshape(2, 12, 4, 6),
        ),
        (
            partial(timm_transformer, img_size=(96, 64), class_token=False, global_pool="avg", fc_norm=False),
            (96, 64), "norm", lambda tokens: tokens.permute(0, 2, 1).reshape(2, 12, 6, 4),
        ),
        (swin, (32, 48), "features.2", lambda output: output.permute(0, 3, 1, 2)),
        (swin, (32, 48), "permute", lambda output: output),
    ],
    ids=["torchvision ViT", "timm ViT, registers", "timm ViT, averaged", "Swin, inner", "Swin, last"],
)  # fmt: skip
def test_tokens_and_channels_last_become_maps(build, size, layer, cut):
    network, batch = build(), images(2, torch.float32, size)
    found = grad_cam(network, batch, [1, 3], layer)
    assert found.any() and found.shape[2] / found.shape[3] == size[0] / size[1]
    for k, target in enumerate([1, 3]):
        expected = plain_grad_cam(network, batch, target, layer, cut)
        torch.testing.assert_close(found[:, k], expected, rtol=1e-4, atol=1e-6 * expected.max().item())


def test_the_channels_may_be_stored_last():
    network, batch = deep_headed(), images()
    expected = explain(network, batch, TARGETS, [GradCam(EARLY), ScoreCam(LATE)])
    stored = network.to(memory_format=torch.channels_last), batch.to(memory_format=torch.channels_last)
    assert_same_maps(explain(*stored, TARGETS, [GradCam(EARLY), ScoreCam(LATE)]), expected)


# Views


def symmetric(network: nn.Module) -> nn.Module:
    """Make every kernel its own mirror image, so that a mirrored picture gives the mirrored maps."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_((module.weight + module.weight.flip(3)) / 2)
    return network


ODD = (21, 29)
"""A size at which a stride of 2, twice, leaves the grid of places symmetric."""


@pytest.mark.parametrize("build", [pooled, deep_headed])
def test_the_mirrored_view_of_a_mirror_symmetric_network_changes_nothing(build):
    network, batch = symmetric(build()), images(size=ODD)
    requests = [GradCam(LATE), GradCam(EARLY), EigenCam(LATE)]
    once = explain(network, batch, TARGETS, requests)
    for maps, those in zip(once.maps, explain(network, batch.flip(3), TARGETS, requests).maps, strict=True):
        torch.testing.assert_close(those, maps.flip(3))
    twice = explain(network, batch, TARGETS, requests, Views(flip=True))
    torch.testing.assert_close(twice.logits, once.logits)
    for maps, those in zip(once.maps, twice.maps, strict=True):
        peak = maps.amax(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(those, maps / torch.where(peak > 0, peak, 1))


def test_the_mirror_swaps_left_and_right_and_no_channels():
    seen = []
    network = pooled()
    network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    batch = images(2)
    explain(network, batch, TARGETS, [GradCam(LATE)], Views(flip=True))
    assert torch.equal(seen[0], batch)
    assert torch.equal(seen[1], batch[:, :, :, torch.arange(27, -1, -1)])


def test_views_of_several_sizes_are_averaged_as_shares_of_their_peaks():
    network, batch = deep_headed(), images(2)
    views = Views(scales=(0.5, 1.0), flip=True)
    found = explain(network, batch, TARGETS, [GradCam(LATE)], views)
    expected, logits = np.zeros((2, 2, 5, 7)), 0
    small = nn.functional.interpolate(batch, (10, 14), mode="bilinear", antialias=True)
    for given in (small, batch):
        for mirrored in (False, True):
            one = explain(network, given.flip(3) if mirrored else given, TARGETS, [GradCam(LATE)])
            logits = logits + one.logits / 4
            for n in range(2):
                for k in range(2):
                    map_ = one.maps[0][n, k].numpy().astype(np.float32)
                    expected[n, k] += enlarged(map_[:, ::-1] if mirrored else map_, (5, 7)) / 4
    assert found.maps[0].shape == (2, 2, 5, 7)
    np.testing.assert_allclose(found.maps[0].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(found.logits, logits)


def enlarged(map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The share of the peak, resized by Pillow."""
    share = normalise(map_)
    return share if map_.shape == size else resize(share, size)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_views_of_several_sizes_are_made_in_half_precision_too(dtype, tolerance):
    network, batch = deep_headed(torch.float32), images(2, torch.float32)
    views = Views(scales=(0.5, 1.0), flip=True)
    expected = explain(network, batch, TARGETS, [GradCam(LATE)], views)
    found = explain(network.to(dtype), batch.to(dtype), TARGETS, [GradCam(LATE)], views)
    assert found.logits.dtype == dtype and found.maps[0].dtype == torch.float32
    assert (found.maps[0] - expected.maps[0]).abs().max() <= tolerance


def test_a_map_that_is_zero_stays_zero_in_every_view():
    network = deep_headed()
    with torch.no_grad():
        network.head.last.weight[1] = 0
    found = explain(network, images(2), [1, 0], [GradCam(LATE)], Views((0.5, 1.0, 1.5), flip=True)).maps[0]
    assert not found[:, 0].any() and found[:, 1].any() and found.isfinite().all()
    assert not heat_map(found[0, 0].numpy(), (20, 28)).any()


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (float("inf"),), (float("nan"), 1.0)])
def test_scales_that_are_none_are_refused(scales):
    with pytest.raises(ValueError, match=re.escape(str(scales))):
        Views(scales)
