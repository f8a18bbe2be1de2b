"""`dogcam convert`: the same weights in another form, and nothing assumed of files that do not say."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from dogcam.cli.main import main
from dogcam.errors import ModelError
from dogcam.models.card import PUBLISHED_CLASSES
from dogcam.models.checkpoints import load_checkpoint, save_checkpoint, weights_sha256
from dogcam.models.classifier import load_classifier
from dogcam.models.networks import sample_net
from dogcam.models.registry import find_architecture
from report.cli import main as report_main
from tests.support.runs import assert_one_line


class Sentinel:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def resnet50(classes) -> dict:
    return find_architecture("resnet50").build(classes, False).state_dict()


def invoke(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def _networks(path):
    return "--model", "resnet50", "--checkpoint", path, "--other-model", "efficientnet_lite0"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("published") / "model_at_epoch_019.pth.tar"
    torch.save({"i_epoch": 19, "model_sdict": resnet50(PUBLISHED_CLASSES), "optimizer_sdict": {}}, path)
    return path


@pytest.mark.slow
def test_a_published_checkpoint_gets_the_card_that_it_lacks_and_goes_back(published, tmp_path):
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth.tar"
    assert invoke("convert", published, ours).exit_code == 0
    card = json.loads(ours.with_suffix(".json").read_text())
    assert card["classes"] == list(PUBLISHED_CLASSES)
    assert (card["architecture"], card["i_epoch"]) == ("resnet50", 19)
    assert "does not name them" in card["classes_from"]
    assert load_classifier(None, ours, "cpu").classes == PUBLISHED_CLASSES

    result = invoke("convert", ours, back)
    assert result.exit_code == 0
    assert "20 classes (person, bird, cat, cow, dog" in result.output
    # As another program would read it, and in the way that runs nothing.
    payload = torch.load(back, weights_only=True)
    original = torch.load(published, weights_only=True)["model_sdict"]
    assert payload["i_epoch"] == 19
    assert payload["classes"] == list(PUBLISHED_CLASSES)
    assert all(torch.equal(payload["model_sdict"][name], original[name]) for name in original)
    assert load_checkpoint(back).meta["classes"] == list(PUBLISHED_CLASSES)
    assert load_classifier(None, back, "cpu").source == "checkpoint back.pth.tar"


def test_a_card_survives_both_ways(tmp_path):
    sample = Path(__file__).resolve().parents[2] / "dogcam" / "models" / "weights" / "sample_net.safetensors"
    there, back = tmp_path / "net.pt", tmp_path / "net.safetensors"
    assert invoke("convert", sample, there).exit_code == 0
    assert invoke("convert", there, back).exit_code == 0
    assert back.read_bytes() == sample.read_bytes()


@pytest.mark.slow
def test_another_number_of_outputs_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"i_epoch": 1, "model_sdict": resnet50("abcdefg"), "optimizer_sdict": {}}, path)
    result = invoke("convert", path, tmp_path / "out.safetensors")
    assert_one_line(result, 1, "other.pt", "7 outputs", "class list 20")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_bare_state_says_nothing_of_its_classes(tmp_path):
    path = tmp_path / "bare.pt"
    torch.save(sample_net(3).state_dict(), path)
    target = tmp_path / "out.safetensors"
    assert_one_line(invoke("convert", path, target), 1, "does not name its classes", "--classes")
    given = {"--model": "sample_net", "--classes": "a,b,c", "--activation": "softmax"}
    for missing in given:
        options = [word for name, value in given.items() if name != missing for word in (name, value)]
        assert_one_line(invoke("convert", path, target, *options), 1, f"give {missing} ")
    twice = ("--model", "sample_net", "--classes", "a,b,b", "--activation", "softmax")
    assert_one_line(invoke("convert", path, target, *twice), 1, " b ")
    too_few = ("--model", "sample_net", "--classes", "a,b", "--activation", "softmax")
    assert_one_line(invoke("convert", path, target, *too_few), 1, "weight has 3 outputs, its class list 2")
    assert not target.exists()


def test_a_bare_state_is_given_the_card_that_the_options_name(tmp_path):
    path, target = tmp_path / "bare.pt", tmp_path / "out.safetensors"
    state = sample_net(3).state_dict()
    torch.save(state, path)
    (tmp_path / "names.txt").write_text("dog\ncat, small\nfox\n")
    options = ["--model", "sample_net", "--classes", tmp_path / "names.txt", "--input-size", "64"]
    options += ["--activation", "softmax"]
    assert invoke("convert", path, target, *options).exit_code == 0
    classifier = load_classifier(None, target, "cpu")
    assert (classifier.name, classifier.classes) == ("sample_net", ("dog", "cat, small", "fox"))
    assert classifier.activation == "softmax"
    assert classifier.preprocessing.size == (64, 64)
    assert weights_sha256(classifier.network) == weights_sha256(state)
    again = invoke("convert", target, tmp_path / "again.pt", *options)
    assert_one_line(again, 1, "names its classes (dog, cat, small, fox); remove --model")


VOC_ALPHABET = sorted(PUBLISHED_CLASSES)


@pytest.mark.slow
def test_a_file_in_the_published_form_that_names_its_classes_keeps_them(tmp_path):
    path, target = tmp_path / "theirs.pt", tmp_path / "out.safetensors"
    state = resnet50(VOC_ALPHABET)
    torch.save({"i_epoch": 3, "model_sdict": state, "classes": tuple(VOC_ALPHABET)}, path)
    found = load_classifier(None, path, "cpu")
    assert list(found.classes) == VOC_ALPHABET and found.index_of("dog") == 11
    assert "published order" not in found.source
    assert invoke("convert", path, target).exit_code == 0
    card = json.loads(target.with_suffix(".json").read_text())
    assert card["classes"] == VOC_ALPHABET and card["i_epoch"] == 3 and "classes_from" not in card
    assert_one_line(invoke("convert", path, target, "--classes", "a"), 1, "names its classes (aeroplane")
    assert invoke("convert", path, target, "--model", "resnet50", "--input-size", 64).exit_code == 0
    assert load_classifier(None, target, "cpu").preprocessing.size == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes", ["dog,cat", 20, {"dog": 0}, ["dog", 1], ["dog", "dog"], torch.zeros(2)], ids=repr
)
def test_classes_that_are_no_list_of_names_are_not_taken_for_the_published_ones(tmp_path, classes):
    path, target = tmp_path / "theirs.pt", tmp_path / "out.safetensors"
    torch.save({"i_epoch": 3, "model_sdict": resnet50(PUBLISHED_CLASSES), "classes": classes}, path)
    with pytest.raises(ModelError, match=r"theirs\.pt.* classes"):
        load_classifier(None, path, "cpu")
    assert_one_line(invoke("convert", path, target), 1, "theirs.pt has no card")
    assert not target.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n"), [("mobilenet_v3_small", 20), ("resnet18", 20)], ids=["no fc", "not as deep"]
)
def test_another_network_in_the_published_form_is_not_given_a_card(tmp_path, name, n):
    path, target = tmp_path / "theirs.pt", tmp_path / "out.safetensors"
    state = find_architecture(name).build(PUBLISHED_CLASSES[:n], False).state_dict()
    torch.save({"i_epoch": 3, "model_sdict": state}, path)
    assert_one_line(invoke("convert", path, target), 1, "theirs.pt does not fit this ResNet")
    assert not target.exists()


def test_a_card_that_does_not_fit_its_weights_is_not_converted(tmp_path):
    path, target = tmp_path / "theirs.safetensors", tmp_path / "out.pt"
    card = {
        "architecture": "sample_net",
        "classes": ["dog", "cat"],
        "activation": "sigmoid",
        "input_size": [64, 64],
    }
    save_checkpoint(path, sample_net(3).state_dict(), card)
    assert_one_line(invoke("convert", path, target), 1, "head.weight has 3 outputs, its class list 2")
    assert not target.exists()


def test_the_published_form_counts_the_epochs_of_a_training_from_0(tmp_path):
    path, target = tmp_path / "ours.safetensors", tmp_path / "out.pt"
    card = {"architecture": "sample_net", "classes": ["dog"], "activation": "sigmoid", "input_size": [64, 64]}
    save_checkpoint(path, sample_net(1).state_dict(), card | {"training": {"epochs": 20}})
    assert invoke("convert", path, target).exit_code == 0
    assert torch.load(target, weights_only=True)["i_epoch"] == 19


@pytest.mark.slow
@pytest.mark.parametrize("place", ["model_sdict", "i_epoch", "card"])
@pytest.mark.parametrize(
    "command",
    [
        lambda path, folder: ("convert", path, folder / "out.safetensors"),
        lambda path, folder: ("evaluate", "--data", folder, "--checkpoint", path),
        lambda path, folder: ("evaluate", "--data", folder, "--model", "resnet50", "--checkpoint", path),
        lambda path, folder: (
            "train", "--data", folder, "--classes", "dog", "--init", path, "--out", folder / "out",
        ),
        lambda path, folder: ("compare-classifiers", "--data", folder, *_networks(path)),
        lambda path, folder: (
            "run", "--data", folder, "--split", "val", "--model", "resnet50", "--checkpoint", path,
            "--out", folder / "out",
        ),
        lambda path, folder: ("explain", folder / "photo.jpg", "--model", "resnet50", "--checkpoint", path),
    ],
    ids=["convert", "evaluate", "evaluate-named", "train", "compare", "report", "explain"],
)  # fmt: skip
def test_a_checkpoint_that_would_run_code_does_not(tmp_path, small_data, command, place):
    sentinel, path = tmp_path / "ran", tmp_path / "hostile.pt"
    payload = {"i_epoch": 1, "model_sdict": {}, "optimizer_sdict": {}} | {place: Sentinel(sentinel)}
    torch.save(payload, path)
    split = tmp_path / "ImageSets" / "Main"
    split.mkdir(parents=True)
    names = (small_data / "ImageSets" / "Main" / "test.txt").read_text()
    ids = names.splitlines(keepends=True)
    (split / "val.txt").write_text("".join(ids[::2]))
    (split / "train.txt").write_text("".join(ids[1::2]))
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).symlink_to(small_data / folder)
    (tmp_path / "photo.jpg").symlink_to(next((small_data / "JPEGImages").iterdir()))
    arguments = [str(each) for each in command(path, tmp_path)]
    result = CliRunner().invoke(report_main if arguments[0] == "run" else main, arguments)
    assert_one_line(result, 1, "hostile.pt contains", "expected only tensors")
    assert not sentinel.exists()
    # The trap is real: read in the unsafe way, the file runs.
    pickle.loads(pickle.dumps(Sentinel(sentinel)))
    assert sentinel.exists()


def test_damaged_notes_are_refused(tmp_path):
    path = tmp_path / "notes.pt"
    torch.save({"i_epoch": 1, "model_sdict": sample_net(3).state_dict(), "card": "{"}, path)
    assert_one_line(invoke("convert", path, tmp_path / "out.safetensors"), 1, "notes.pt", "not valid JSON")


@pytest.mark.slow
def test_equal_weights_have_equal_sums(published, tmp_path):
    ours = tmp_path / "ours.safetensors"
    invoke("convert", published, ours)
    assert weights_sha256(load_checkpoint(ours).state) == weights_sha256(load_checkpoint(published).state)
