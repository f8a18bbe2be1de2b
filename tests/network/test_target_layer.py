"""The layers that are looked at: chosen by the stated rule in every family, and the network left alone."""

import pytest
import torch
import torchvision
from torch import nn

from dogcam.errors import ModelError
from dogcam.models.networks import sample_net
from dogcam.network.target_layer import choose_layers
from tests.support.tiny_networks import (
    CLASSES,
    SIZE,
    Doubled,
    Packed,
    deep_headed,
    max_pooled,
    pooled,
    snapshot,
)

SIZE_PX = (128, 96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target", "earlier", "head"),
    [
        ("resnet18", "layer4", "layer3", "fc"),
        ("vgg11", "features.19", "features.14", None),
        ("densenet121", "features", "features.denseblock3", None),
        ("mobilenet_v2", "features", "features.13", "classifier.1"),
        ("mobilenet_v3_small", "features", "features.8", None),
        ("efficientnet_b0", "features", "features.5", "classifier.1"),
        ("convnext_tiny", "features", "features.5", None),
        ("regnet_y_400mf", "trunk_output", "trunk_output.block3", "fc"),
        ("swin_t", "permute", "features.5", "head"),
    ],
)
def test_torchvisions_families(name, target, earlier, head):
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=5)
    chosen = choose_layers(network, SIZE_PX)
    assert (chosen.target, chosen.earlier, chosen.head) == (target, earlier, head)


@pytest.mark.parametrize("head", ["trained", "all zero"])
def test_a_class_token_is_read_so_that_the_last_attention_s_input_is_the_target(head):
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=20, num_classes=5
    )
    assert not network.heads.head.weight.any()  # torchvision starts from zero
    if head == "trained":
        nn.init.normal_(network.heads.head.weight)
    chosen = choose_layers(network, (32, 32))
    assert (chosen.target, chosen.earlier, chosen.head) == ("encoder.layers.encoder_layer_1.ln_1", None, None)
    assert "4 x 4 positions, as tokens without the first 1" in chosen.rule


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "size", "target", "earlier", "head"),
    [
        ("resnet18", {}, SIZE_PX, "layer4", "layer3", "fc"),
        ("convnext_atto", {}, SIZE_PX, "stages", "stages.2", None),
        ("efficientnet_lite0", {}, SIZE_PX, "bn2", "blocks.4", "classifier"),
        (
            "vit_tiny_patch16_224",
            {"img_size": (64, 96), "depth": 2, "reg_tokens": 4},
            (64, 96), "blocks.1.norm1", None, None,
        ),
        (
            "vit_tiny_patch16_224",
            {"img_size": (64, 96), "depth": 2, "global_pool": "avg", "class_token": False, "fc_norm": False},
            (64, 96), "norm", None, "head",
        ),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": (64, 96), "window_size": 2, "depths": (1, 1, 1, 1), "embed_dim": 24},
            (64, 96), "norm", "layers.2", "head.fc",
        ),
        # A class token is added at the end, and made by attention from values of the other tokens' width.
        (
            "cait_xxs24_224",
            {"img_size": (64, 96), "depth": 2, "embed_dim": 24, "num_heads": 2},
            (64, 96), "blocks_token_only.1.norm1", None, None,
        ),
        (
            "xcit_nano_12_p16_224",
            {"img_size": (64, 96), "depth": 2, "cls_attn_layers": 1},
            (64, 96), "cls_attn_blocks.0.norm1", "patch_embed.proj.5", None,
        ),
    ],
)  # fmt: skip
def test_timms_families(name, options, size, target, earlier, head):
    import timm

    torch.manual_seed(0)
    chosen = choose_layers(timm.create_model(name, num_classes=5, **options), size)
    assert (chosen.target, chosen.earlier, chosen.head) == (target, earlier, head)


@pytest.mark.parametrize(
    ("network", "head"), [(pooled(), "head"), (deep_headed(), None), (max_pooled(), None)]
)
def test_a_head_is_named_only_where_average_and_head_are_all_that_follows(network, head):
    before = snapshot(network)
    chosen = choose_layers(network, SIZE)
    assert (chosen.target, chosen.head) == ("features", head)
    assert snapshot(network) == before


def test_the_networks_of_the_sample_data_have_the_layers_that_were_named_by_hand():
    chosen = choose_layers(sample_net(3), (160, 160))
    assert (chosen.target, chosen.earlier, chosen.head) == ("features", "features.stage2", "head")


def test_an_in_place_module_behind_a_layer_makes_it_another_tensor():
    body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    # Not the convolution, whose tensor the ReLU changed, nor the pooling, which only passes on.
    assert choose_layers(network, (16, 16)).target == "0.1"


def test_layers_that_run_twice_or_aside_are_left_out():
    assert choose_layers(Doubled(), SIZE).target == "first"


def test_a_training_network_and_the_random_numbers_are_left_alone():
    network = pooled().train()
    before, state = snapshot(network), torch.get_rng_state()
    with torch.no_grad():
        choose_layers(network, SIZE)
    assert snapshot(network) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_the_layers_are_chosen_under_inference_mode_too():
    network = pooled()
    before, expected = snapshot(network), choose_layers(pooled(), SIZE)
    with torch.inference_mode():
        assert choose_layers(network, SIZE) == expected
    assert snapshot(network) == before


@pytest.mark.parametrize(
    ("wrapped", "found"), [(lambda logits: (logits,), "tuple"), (lambda logits: {"logits": logits}, "dict")]
)
def test_a_network_that_puts_out_more_than_logits_is_refused_and_left_as_it_was(wrapped, found):
    network = pooled().train()
    network.append(Packed(wrapped))
    before = snapshot(network)
    with pytest.raises(ModelError, match=rf"{found}.*\(N, C\)"):
        choose_layers(network, SIZE)
    assert snapshot(network) == before


def test_a_network_without_places_is_refused_and_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, CLASSES))
    before = snapshot(network)
    with pytest.raises(ModelError, match=r"Sequential.* 4 x 4"):
        choose_layers(network, (4, 4))
    with pytest.raises(RuntimeError):
        choose_layers(network, (5, 5))
    assert snapshot(network) == before
