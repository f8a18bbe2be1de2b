"""`dogcam train`: what it writes and prints, how options override a recipe, and how it ends early."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dogcam.cli.main import main
from dogcam.data.reading import read_split
from dogcam.models.checkpoints import load_checkpoint
from dogcam.models.classifier import load_classifier
from dogcam.train.history import HISTORY
from dogcam.train.state import STATE
from tests.support.processes import forked, status_of, wait_until
from tests.support.voc_folders import write_patches

KINDS = [["red"], ["blue"], [], ["red", "blue"]] * 2
SCREEN = 40
"""Lines that a help text may have."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("data"), {"train": KINDS, "val": KINDS})


def words(data, out, *more, training="", input_size=32):
    """Return the command's arguments; the recipe is next to the folder of the results."""
    recipe = Path(f"{out}.toml")
    recipe.write_text(f'arch = "sample_net"\ninput_size = {input_size}\n[training]\nepochs = 2\n{training}')
    return [str(word) for word in ("train", "--data", data, "--recipe", recipe, "--device", "cpu",
                                   "--out", out, *more)]  # fmt: skip


def train(data, out, *more, **recipe):
    return CliRunner().invoke(main, words(data, out, *more, **recipe))


def test_the_help_fits_on_a_screen():
    result = CliRunner().invoke(main, ["train", "--help"], terminal_width=80)
    assert result.exit_code == 0 and len(result.output.splitlines()) <= SCREEN


@pytest.mark.slow
def test_every_epoch_is_printed_with_its_classes_and_the_curves_are_drawn(data, tmp_path):
    result = train(data, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("AP on val  blue ") == 2 and result.stderr.count("  red ") == 2
    row = list(csv.DictReader((tmp_path / "out" / HISTORY).open()))[-1]
    drawn = (tmp_path / "out" / "history.svg").read_text()
    assert f"to {float(row['map']):.4f}, in 2 epochs" in drawn and "mAP on val" in drawn


@pytest.mark.slow
def test_the_weights_have_a_card_that_describes_them(data, tmp_path):
    out = tmp_path / "out"
    result = train(data, out, "--classes", "blue,red", "--epochs", 1, "--seed", 7)
    assert result.exit_code == 0, result.output
    assert str(out / "sample_net.safetensors") in result.output
    card = json.loads((out / "sample_net.json").read_text())
    assert card["classes"] == ["blue", "red"] and card["input_size"] == [32, 32]
    assert (card["training"]["seed"], card["training"]["epochs"]) == (7, 1)
    assert card["data"]["train"]["manifest"] == read_split(data, "train").manifest
    assert set(card["metrics"]["val"]["ap"]) == {"blue", "red"}
    assert str(data) not in json.dumps(card)
    classifier = load_classifier(None, out / "sample_net.safetensors", "cpu")
    assert classifier.classes == ("blue", "red")
    assert load_checkpoint(out / "sample_net.safetensors").meta == card


@pytest.mark.slow
def test_the_command_gives_the_same_file_again(data, tmp_path):
    files = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert train(data, out, "--epochs", 1).exit_code == 0
        files.append((out / "sample_net.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.slow
def test_options_override_the_recipe(data, tmp_path):
    given = ("--epochs", 1, "--batch-size", 4, "--learning-rate", 0.25, "--seed", 3)
    assert train(data, tmp_path / "out", *given, training="weight_decay = 0.125\n").exit_code == 0
    training = json.loads((tmp_path / "out" / "sample_net.json").read_text())["training"]
    expected = {"epochs": 1, "batch_size": 4, "learning_rate": 0.25, "seed": 3, "weight_decay": 0.125}
    assert {name: training[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("more", "training", "key"),
    [
        (["--eval-split", "test"], "", "train, val"),
        (["--classes", "red,green"], "", "green"),
        (["--classes", "Red"], "", "blue, red"),
        (["--classes", ","], "", "[]"),
        (["--epochs", "0"], "", "epochs is 0"),
        (["--recipe", "nowhere.toml"], "", "nowhere.toml"),
        ([], 'frozen_layers = ["features", "pool", "head"]', "features, pool, head"),
        ([], 'frozen_layers = ["head"]\nlinear_probe_penalty = 1e-3', "linear probe"),
        ([], 'spread = "cutmix"', "spread"),
        pytest.param(
            ["--arch", "timm:vit_tiny_patch16_224", "--init", "none"],
            "training_size = 192",
            "32 x 32",
            marks=pytest.mark.slow,
        ),
        (["--arch", "timm:resnet18.a1_in1K"], "", "resnet18.a1_in1K"),
        (["--arch", "resnet5O"], "", "resnet50"),
        (["--init", "imagenet"], "", "sample_net"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(data, tmp_path, more, training, key):
    result = train(data, tmp_path / "out", *more, training=training)
    assert result.exit_code == 1 and key in " ".join(result.stderr.split()), result.stderr
    assert isinstance(result.exception, SystemExit)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(data, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = words(data, tmp_path / "out")
    arguments[arguments.index("--out") + 1] = str(tmp_path / "file" / "out")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and str(tmp_path / "file") in result.stderr
    assert "epoch" not in result.stderr


def test_a_file_that_is_no_image_is_named(tmp_path):
    data = write_patches(tmp_path / "data", {"train": KINDS, "val": KINDS})
    (data / "JPEGImages" / "train002.jpg").write_bytes(b"\xff\xd8 no image")
    result = train(data, tmp_path / "out")
    assert result.exit_code == 1 and "train002.jpg" in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks processes")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_its_status_and_states_what_is_kept(data, tmp_path, number, status):
    out = tmp_path / "out"
    log = tmp_path / "log"

    def work() -> None:
        # A test run in the background of a shell ignores SIGINT, and so would its processes.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stderr = log.open("w", buffering=1)
        main(words(data, out, "--epochs", 10_000, "--threads", 1))

    child = forked(work)
    try:
        wait_until((out / STATE).exists)
    except AssertionError:
        number = signal.SIGKILL
    os.kill(child, number)
    ended, said = status_of(child), log.read_text()
    assert ended == status, said
    assert "Traceback" not in said
    n_kept = len(load_checkpoint(out / STATE).meta["records"])
    # The signal may arrive between the writing of the state and the report of its epoch.
    kept = [f"{n} of 10000 epochs are kept in {out}" for n in (n_kept, n_kept - 1)]
    assert n_kept and (any(each in said.splitlines()[-1] for each in kept) or n_kept == 1), said
