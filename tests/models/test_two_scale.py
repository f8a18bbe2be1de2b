"""The closer look: its scores place by place, its part in what a classifier says, and who cannot take one."""

import copy
import json
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from torch import nn

from dogcam.cam import GradCam
from dogcam.cli.main import main
from dogcam.data.image_cache import label_matrix
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.detection.detector import Detector, detections_of
from dogcam.errors import ConfigError, ModelError
from dogcam.evaluate.classification import predict
from dogcam.models.checkpoints import load_checkpoint, save_checkpoint
from dogcam.models.classifier import load_classifier
from dogcam.models.networks import pooled_network, sample_net
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass, fuse_logits
from dogcam.network.heads import JointHead, LogOddsHead
from tests.support.voc_folders import write_patches

CLASSES = ("blue", "red")


def network(head: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(3)
    return pooled_network(nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU()), head or nn.Linear(6, 2)).eval()


def joint_head() -> JointHead:
    head = JointHead(nn.Linear(6, 2), LogOddsHead(nn.Linear(6, 5), [[1, 3]]), [1])
    with torch.no_grad():
        head.local.normal_()
    return head


def images(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 3, 11, 17, generator=torch.Generator().manual_seed(4))


def slow_logits(net: nn.Sequential, batch: torch.Tensor, n_highest: int) -> torch.Tensor:
    """Score one place of one image after the other, and average the highest by sorting a list."""
    rows = []
    for maps in net.features(batch):
        seen = []
        for y in range(maps.shape[1]):
            for x in range(maps.shape[2]):
                place = maps[:, y, x][None]
                scores = net.head(place)[0]
                if isinstance(net.head, JointHead):
                    scores = scores + torch.stack([torch.zeros(()), net.head.local[0] @ place[0]])
                seen.append(scores.tolist())
        rows.append([sum(sorted(column)[-n_highest:]) / n_highest for column in zip(*seen, strict=True)])
    return torch.tensor(rows)


@pytest.mark.parametrize("head", ["linear", "joint"])
@pytest.mark.parametrize(("share", "n_highest"), [(0.01, 1), (0.1, 4), (1.0, 40)])
@torch.no_grad()
def test_the_highest_places_score_each_class(head, share, n_highest):
    net = network(joint_head() if head == "joint" else None)
    found = HighResolutionPass((11, 17), share).logits(net, images())
    # Maps of 5 x 8 places.
    torch.testing.assert_close(found, slow_logits(net, images(), n_highest))


@torch.no_grad()
def test_all_places_of_a_linear_head_say_what_their_average_does():
    net = network()
    torch.testing.assert_close(HighResolutionPass((11, 17), 1.0).logits(net, images()), net(images()))


@torch.no_grad()
def test_what_places_hear_near_is_not_heard_by_the_average():
    head = joint_head()
    pooled = torch.randn(4, 6)
    before, weights = head(pooled), head.weights(pooled)
    head.copy_to_local()
    assert torch.equal(head.local[0], head.linear.weight[1])
    assert torch.equal(head(pooled), before) and torch.equal(head.weights(pooled), weights)
    extra = head.of_positions(pooled) - head(pooled)
    torch.testing.assert_close(extra, torch.stack([torch.zeros(4), pooled @ head.linear.weight[1]], dim=1))


def test_a_small_object_is_heard_that_the_average_does_not_hear():
    """A head that answers redness; one place of hundreds is red."""
    net = pooled_network(nn.Conv2d(3, 3, 1), nn.Linear(3, 1))
    with torch.no_grad():
        net.features.weight.copy_(torch.eye(3)[:, :, None, None])
        net.features.bias.zero_()
        net.head.weight.copy_(torch.tensor([[8.0, -4.0, -4.0]]))
        net.head.bias.fill_(-2.0)
        picture = torch.zeros(1, 3, 20, 20)
        picture[0, 0, 3:5, 7:9] = 1
        assert net(picture).item() < -1.5
        assert HighResolutionPass((20, 20), 0.01).logits(net, picture).item() == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("other", "has"),
    [
        (torchvision.models.resnet18, "ResNet has conv1, bn1"),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 1)), "Sequential has 0"),
        (nn.Identity, "Identity has no layers"),
    ],
)
def test_a_network_whose_places_cannot_be_scored_is_refused(other, has):
    with pytest.raises(ModelError, match=f"features, pool, flatten, head.* {has}"):
        HighResolutionPass((32, 32)).logits(other(), images())


@pytest.mark.parametrize(
    ("size", "share", "fault"),
    [
        ((0, 5), 0.1, "0 x 5"),
        ((5, 5), 0.0, "share.* 0;"),
        ((5, 5), 1.5, r"share.* 1\.5"),
        ((5, 5), float("nan"), "share.* nan"),
    ],
)
def test_a_closer_look_that_cannot_be_is_refused(size, share, fault):
    with pytest.raises(ConfigError, match=fault):
        HighResolutionPass(size, share)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    kinds = {"val": list(islice(cycle([["red"], ["blue"], ["red"], []]), 10))}
    return read_split(write_patches(tmp_path_factory.mktemp("data"), kinds), "val")


@pytest.mark.parametrize("flip", [False, True])
def test_what_is_predicted_is_the_mean_of_both_looks(split, flip):
    net, preprocessing, high_resolution = (
        network(),
        Preprocessing((12, 18)),
        HighResolutionPass((30, 40), 0.2),
    )
    found = predict(net.train(), split.images, preprocessing, 4, flip=flip, high_resolution=high_resolution)
    assert all(each.training for each in net.modules())
    pictures = [read_pixels(image) for image in split.images]
    first, larger = preprocessing(pictures), replace(preprocessing, size=high_resolution.size)(pictures)
    sides = [lambda batch: batch, lambda batch: batch.flip(-1)][: 1 + flip]
    with torch.no_grad():
        seen = [net.eval()(side(first)) for side in sides]
        seen += [high_resolution.logits(net, side(larger)) for side in sides]
    torch.testing.assert_close(found, torch.stack(seen).mean(0))
    assert not found.requires_grad


def test_without_a_closer_look_the_first_one_counts():
    logits = torch.randn(3, 2)
    assert torch.equal(fuse_logits(logits, None), logits)
    torch.testing.assert_close(fuse_logits(logits, logits + 2), logits + 1)


def detect(classifier, split):
    detector = Detector(classifier, ("red",), GradCam(classifier.target_layer))
    results = list(detector.run((read_pixels(image) for image in split.images), batch_size=4))
    return torch.from_numpy(np.stack([each.logits for each in results])), detections_of(results, "red")


def save(path, high_resolution: object, size=(32, 48)):
    torch.manual_seed(0)
    net = sample_net(2).eval()
    card = {
        "architecture": "sample_net",
        "classes": list(CLASSES),
        "activation": "sigmoid",
        "input_size": list(size),
    }
    save_checkpoint(path, net.state_dict(), card | {"high_resolution_pass": high_resolution})
    return path


def test_a_checkpoint_says_how_to_look_closer(split, tmp_path):
    path = save(tmp_path / "weights.safetensors", {"size": [64, 96], "share": 0.2})
    classifier = load_classifier(None, path, "cpu")
    assert classifier.high_resolution == HighResolutionPass((64, 96), 0.2)
    seen, boxes = detect(classifier, split)
    expected = predict(
        classifier.network,
        split.images,
        classifier.preprocessing,
        4,
        high_resolution=classifier.high_resolution,
    )
    torch.testing.assert_close(seen, expected)
    # Where the boxes are does not hang on it, only what they score: the probability times a map's height.
    once, same_boxes = detect(replace(classifier, high_resolution=None), split)
    assert (boxes.boxes == same_boxes.boxes).all() and len(boxes.boxes)
    factors = torch.from_numpy(boxes.scores / same_boxes.scores)
    wanted = expected[:, 1].double().sigmoid() / once[:, 1].double().sigmoid()
    torch.testing.assert_close(factors, wanted[torch.from_numpy(boxes.image)], rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "high_resolution",
    [{"size": [64], "share": 0.2}, {"size": [64, 64]}, "yes", {"size": [64, 64], "share": 3.0}],
)
def test_a_card_that_says_it_wrong_is_refused(tmp_path, high_resolution):
    path = save(tmp_path / "weights.safetensors", high_resolution)
    with pytest.raises(ModelError, match=r"weights\.safetensors.*(high_resolution_pass|share.* 3)"):
        load_classifier(None, path, "cpu")


@pytest.mark.slow
def test_a_card_for_a_network_that_cannot_look_closer_is_refused(tmp_path):
    net = torchvision.models.resnet18(num_classes=2)
    card = {
        "architecture": "resnet18",
        "classes": list(CLASSES),
        "activation": "sigmoid",
        "input_size": [32, 32],
    }
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, net.state_dict(), card | {"high_resolution_pass": {"size": [64, 64], "share": 0.1}})
    with pytest.raises(ModelError, match=r"ResNet.* conv1"):
        load_classifier(None, path, "cpu")


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.slow
def test_both_looks_are_evaluated_unless_one_is_wanted(split, tmp_path):
    from sklearn.metrics import average_precision_score

    path = save(tmp_path / "weights.safetensors", {"size": [64, 96], "share": 0.2})
    classifier = load_classifier(None, path, "cpu")
    for option, closer in (
        ("--high-resolution-pass", classifier.high_resolution),
        ("--no-high-resolution-pass", None),
    ):
        words = ("evaluate", "--data", split.root, "--checkpoint", path, "--device", "cpu", option)
        result = run(*words, "--resamples", 100, "--json", tmp_path / "ap.json")
        assert result.exit_code == 0, result.output
        looks = "at 32 x 48 and 64 x 96 pixels" if closer else "at 32 x 48 pixels"
        assert looks in " ".join(result.stdout.split())
        found = json.loads((tmp_path / "ap.json").read_text())
        assert found["high_resolution_pass"] == ({"size": [64, 96], "share": 0.2} if closer else None)
        logits = predict(
            classifier.network, split.images, classifier.preprocessing, 16, high_resolution=closer
        )
        labels = label_matrix(split.images, CLASSES)
        for column, each in enumerate(found["classes"]):
            expected = average_precision_score(labels[:, column], logits[:, column])
            assert each["value"] == pytest.approx(expected)


def test_an_explained_picture_is_as_likely_as_both_looks_say(split, tmp_path):
    path = save(tmp_path / "weights.safetensors", {"size": [64, 96], "share": 0.2})
    classifier, image = load_classifier(None, path, "cpu"), split.images[0]
    words = ("explain", image.path, "--checkpoint", path, "--target", "red", "--device", "cpu")
    result = run(*words, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    logit = predict(
        classifier.network, [image], classifier.preprocessing, 1, high_resolution=classifier.high_resolution
    )[0, 1]
    assert f": red {logit.sigmoid().item():.2f} (" in result.stdout


@pytest.mark.slow
def test_a_training_notes_its_closer_look_and_measures_with_it(tmp_path):
    kinds = [["red"], ["blue"], [], ["red", "blue"]] * 2
    data = write_patches(tmp_path / "data", {"train": kinds, "val": kinds})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'arch = "sample_net"\ninput_size = 32\n[training]\nepochs = 1\n'
        "high_resolution = {size = [64, 64], share = 0.3}\n"
    )
    words = ["train", "--data", data, "--recipe", recipe, "--device", "cpu", "--out", tmp_path / "out"]
    result = run(*words)
    assert result.exit_code == 0, result.output
    path = tmp_path / "out" / "sample_net.safetensors"
    card = load_checkpoint(path).meta
    assert card["high_resolution_pass"] == {"size": [64, 64], "share": 0.3}
    measured = run("evaluate", "--data", data, "--checkpoint", path, "--device", "cpu", "--resamples", 100)
    assert f"{card['metrics']['val']['map']:.4f}" in measured.stdout


def test_a_training_of_a_network_that_cannot_look_closer_does_not_begin(tmp_path):
    data = write_patches(tmp_path / "data", {"train": [["red"], []] * 2, "val": [["red"], []]})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'arch = "resnet18"\ninit = "none"\ninput_size = 32\n[training]\nhigh_resolution = {size = [64, 64]}\n'
    )
    result = run("train", "--data", data, "--recipe", recipe, "--device", "cpu", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "conv1" in " ".join(result.stderr.split())
    assert "epoch" not in result.stderr


def test_the_network_is_left_as_it_was(split):
    net = network(joint_head())
    before = copy.deepcopy(net.state_dict())
    predict(net, split.images, Preprocessing((12, 18)), 4, high_resolution=HighResolutionPass((24, 36)))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
