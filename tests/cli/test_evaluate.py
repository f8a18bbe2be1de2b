"""`dogcam evaluate` and what it measures: against scikit-learn, repeated images and tables by hand."""

import json
import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dogcam.cli.main import main
from dogcam.data.image_cache import label_matrix
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.evaluate.classification import class_ap, predict, score_classes
from dogcam.evaluate.metrics import Resampler
from dogcam.models.card import card_of
from dogcam.models.checkpoints import load_checkpoint, save_checkpoint
from dogcam.models.classifier import SAMPLE_WEIGHTS, load_classifier
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture
from dogcam.structures.defaults import RESAMPLE_SEED
from tests.support.runs import assert_one_line

CLASSES = ("cat", "dog", "cow")


def random_case(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, 3, generator=generator) < torch.tensor([0.3, 0.5, 0.0])).float()
    # Few different scores, so that many are equal.
    scores = (labels + torch.randn(n, 3, generator=generator)).mul(2).round()
    return labels, scores


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_resampled_ap_is_scikit_learns_on_the_repeated_photographs(seed):
    from sklearn.metrics import average_precision_score

    labels, scores = random_case(seed)
    values = Resampler(40, 20, seed=3).ranking_ap_samples(labels[:, 0], scores[:, 0])
    drawn = np.random.default_rng(3).integers(len(labels), size=(20, len(labels)))
    expected = [average_precision_score(labels[rows, 0], scores[rows, 0]) for rows in drawn]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_a_resample_without_the_class_is_not_defined():
    labels = np.array([1, 0, 0])
    values = Resampler(3, 200, seed=1).ranking_ap_samples(labels, [3.0, 2.0, 1.0])
    assert set(values[~np.isnan(values)]) == {1.0}
    share = np.isnan(values).mean()
    # Three draws of three miss one photograph in (2/3)^3 of the cases.
    assert share == pytest.approx((2 / 3) ** 3, abs=0.1)


def test_scores_hold_what_each_class_and_their_mean_are_worth():
    labels, scores = random_case(7)
    found = score_classes(labels, scores, CLASSES, Resampler(40, 300, seed=2))
    ap = class_ap(labels, scores, CLASSES)
    assert {each.name: each.ap for each in found.classes} == ap
    assert found.absent == ("cow",)
    assert found.mean_ap == pytest.approx(np.mean(list(ap.values())))
    assert [each.n_positive for each in found.classes] == labels[:, :2].sum(dim=0).tolist()
    assert found.interval.low < found.mean_ap < found.interval.high
    widths = [each.interval.high - each.interval.low for each in found.classes]
    assert found.interval.high - found.interval.low < max(widths)


def test_without_a_positive_photograph_nothing_is_defined():
    found = score_classes(torch.zeros(4, 1), torch.rand(4, 1), ("cat",), Resampler(4, 10))
    assert math.isnan(found.mean_ap)
    assert found.interval.low is None
    assert found.classes == ()


def invoke(*arguments):
    return CliRunner().invoke(main, ["evaluate", *(str(each) for each in arguments)])


@pytest.fixture(scope="module")
def evaluated(small_data, small_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    result = invoke(
        "--data", small_data, "--split", "test", "--model", "sample_net", "--checkpoint", small_checkpoint,
        "--json", folder / "ap.json", "--figure", folder / "ap.svg", "--resamples", 200, "--device", "cpu",
        "--confidence-level", 0.975,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result, folder


def test_the_numbers_are_those_of_the_network(evaluated, small_data, small_checkpoint):
    result, folder = evaluated
    written = json.loads((folder / "ap.json").read_text())
    classifier = load_classifier("sample_net", small_checkpoint, "cpu")
    images = read_split(small_data, "test").images
    logits = predict(classifier.network, images, classifier.preprocessing, 5)
    ap = class_ap(label_matrix(images, classifier.classes), logits, classifier.classes)
    assert {each["name"]: each["value"] for each in written["classes"]} == pytest.approx(ap)
    assert written["map"]["value"] == pytest.approx(np.mean(list(ap.values())))
    for each in [written["map"], *written["classes"]]:
        assert each["low"] <= each["value"] <= each["high"]
    for name, value in ap.items():
        assert any(name in line and f"{value:.4f}" in line for line in result.output.splitlines())


def test_the_level_of_the_intervals_is_an_option(evaluated, small_data, small_checkpoint):
    result, folder = evaluated
    written = json.loads((folder / "ap.json").read_text())
    assert written["level"] == 0.975 and "97.5% bootstrap intervals" in result.output
    classifier = load_classifier("sample_net", small_checkpoint, "cpu")
    images = read_split(small_data, "test").images
    scores = classifier.log_odds(predict(classifier.network, images, classifier.preprocessing, 16))
    resampler = Resampler(len(images), 200, seed=RESAMPLE_SEED)
    narrow = score_classes(label_matrix(images, classifier.classes), scores, classifier.classes, resampler)
    assert narrow.interval.level < written["level"]
    assert written["map"]["low"] < narrow.interval.low < narrow.interval.high < written["map"]["high"]


def test_the_figure_names_every_class(evaluated):
    _, folder = evaluated
    written = json.loads((folder / "ap.json").read_text())
    text = (folder / "ap.svg").read_text()
    ET.fromstring(text)
    assert all(f"{each['name']} {each['value']:.3f}" in text for each in written["classes"])


def test_mirror_images_are_averaged(small_data, small_checkpoint):
    classifier = load_classifier("sample_net", small_checkpoint, "cpu")
    images = read_split(small_data, "test").images[:3]
    both = predict(classifier.network, images, classifier.preprocessing, 2, flip=True)
    batch = classifier.batch([read_pixels(image) for image in images])
    mirrored = classifier.batch([read_pixels(image).transpose(0) for image in images])
    with torch.no_grad():
        expected = (classifier.network(batch) + classifier.network(mirrored)) / 2
    assert torch.allclose(both, expected, atol=0.05)
    assert not torch.allclose(both, classifier.network(batch).detach(), atol=1e-4)


def test_the_model_is_the_one_that_the_card_names(small_data):
    assert load_checkpoint(SAMPLE_WEIGHTS).meta["architecture"] == "sample_net"
    named = invoke("--data", small_data, "--split", "test", "--limit", 4, "--checkpoint", SAMPLE_WEIGHTS)
    assert named.exit_code == 0
    assert "sample_net at" in named.output


def test_what_was_measured_is_shown_though_a_file_cannot_be_written(tmp_path, small_data):
    (tmp_path / "file").write_text("")
    options = ("--data", small_data, "--split", "test", "--limit", 4, "--checkpoint", SAMPLE_WEIGHTS)
    result = invoke(*options, "--json", tmp_path / "file" / "numbers.json")
    assert result.exit_code == 1 and "numbers.json cannot be written" in result.stderr
    assert "sample_net at" in result.stdout


def test_a_size_that_the_network_cannot_be_given_is_refused(tmp_path, small_data):
    pytest.importorskip("timm", reason="needs the extra timm")
    path, name = tmp_path / "vit.safetensors", "timm:vit_tiny_patch16_224"
    network = find_architecture(name).build(("dog",), False)
    save_checkpoint(path, network.state_dict(), card_of(name, ("dog",), Preprocessing((224, 224)), "sigmoid"))
    result = invoke("--data", small_data, "--split", "test", "--checkpoint", path, "--input-size", 64)
    assert_one_line(result, 1, name, "64 x 64", "such as 224")
    photo = next((small_data / "JPEGImages").iterdir())
    options = ("--checkpoint", path, "--scale", 1, "--scale", 1.5, "--out", tmp_path)
    result = CliRunner().invoke(main, ["explain", *map(str, (photo, *options))])
    assert_one_line(result, 1, name, "336 x 336")


def test_what_cannot_be_measured_is_refused(tmp_path, small_data, small_checkpoint):
    neither = invoke("--data", small_data, "--split", "test")
    assert_one_line(neither, 1, "--model NAME", "--checkpoint FILE")
    unnamed = invoke("--data", small_data, "--split", "test", "--checkpoint", small_checkpoint)
    assert_one_line(unnamed, 1, str(small_checkpoint), "--model NAME")
    missing = invoke("--data", tmp_path, "--split", "test", "--model", "sample_net")
    assert_one_line(missing, 1, str(tmp_path), "ImageSets", "data.yaml")
