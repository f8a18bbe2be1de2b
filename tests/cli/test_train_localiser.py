"""`dogcam train-localiser`: the file that it writes, what it leaves behind, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from dogcam.cli import train_localiser
from dogcam.cli.main import main
from dogcam.detection.localiser import load_localiser
from dogcam.models.classifier import load_classifier
from dogcam.train.localiser.training import EXAMPLES, LocaliserEpoch
from dogcam.train.state import STATE, StateFile, Tensors
from tests.support.runs import assert_one_line


def run(command: str, *arguments) -> object:
    options = ("--model", "sample_net", "--device", "cpu")
    return CliRunner().invoke(main, [command, *options, *map(str, arguments)])


def words(data: Path, out: Path) -> tuple:
    return ("--data", data, "--split", "test[:6]", "--epochs", "2", "--mosaics", "0.5", "--out", out)


@pytest.fixture(scope="module")
def trained(small_data, tmp_path_factory):
    """The folder of a finished training of two epochs."""
    out = tmp_path_factory.mktemp("localiser")
    result = run("train-localiser", *words(small_data, out))
    assert result.exit_code == 0, result.output
    assert "epoch 2/2" in result.stderr and result.stdout.strip() == str(out / "localiser.safetensors")
    return out


def test_only_the_localiser_is_left(trained):
    assert [path.name for path in trained.iterdir()] == ["localiser.safetensors"]
    card = load_localiser(trained / "localiser.safetensors", load_classifier("sample_net", device="cpu")).card
    assert card.training["settings"]["epochs"] == 2 and card.training["data"]["split"] == "test[:6]"


def test_a_finished_training_is_not_repeated(trained, small_data, monkeypatch):
    begun = []
    monkeypatch.setattr(train_localiser, "train_localiser", lambda *given, **named: begun.append(1) or 1 / 0)
    again = run("train-localiser", *words(small_data, trained))
    assert again.exit_code == 0 and again.stdout.strip() == str(trained / train_localiser.FILE) and not begun
    for other in (("--no-resume",), ("--seed", "3")):
        assert run("train-localiser", *words(small_data, trained), *other).exit_code == 1
    assert len(begun) == 2


@pytest.mark.parametrize("same", [True, False], ids=["of this training", "of another training"])
def test_what_a_training_killed_at_its_end_left_is_removed(trained, small_data, tmp_path, same):
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    card = load_localiser(trained / train_localiser.FILE, load_classifier("sample_net", device="cpu")).card
    (out / EXAMPLES).mkdir()
    (out / EXAMPLES / "image-000000.safetensors").touch()
    network = nn.Linear(1, 1)
    tensors = Tensors(network, torch.optim.AdamW(network.parameters()))
    state = StateFile(out, card.training if same else {**card.training, "data": "other"}, LocaliserEpoch)
    state.save(tensors, [LocaliserEpoch(1, 0.5, 0.5, "")])
    assert run("train-localiser", *words(small_data, out)).exit_code == 0
    assert {path.name for path in out.iterdir()} - {train_localiser.FILE} == (
        set() if same else {EXAMPLES, STATE}
    )


def test_it_detects(trained, small_data, tmp_path):
    localiser = ("--localiser", trained / "localiser.safetensors")
    out = tmp_path / "found.json"
    result = run(
        "detect",
        small_data / "JPEGImages",
        *localiser,
        "--target",
        "dog",
        "--score-threshold",
        0,
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["annotations"]


@pytest.mark.parametrize(
    ("option", "value"), [("--epochs", "0"), ("--mosaics", "-1"), ("--seed", "-1"), ("--data", "nowhere")]
)
def test_faults_are_named(small_data, tmp_path, option, value):
    options = {"--data": small_data, "--split": "test", "--out": tmp_path, option: value}
    result = run("train-localiser", *(each for pair in options.items() for each in pair))
    assert_one_line(result, 1, option.strip("-") if option != "--data" else value)
