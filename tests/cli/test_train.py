"""`dogcam train`: what it shows and draws, and how it ends where it cannot begin."""

import csv

import pytest
from click.testing import CliRunner

from dogcam.cli.main import main
from tests.support.voc_folders import write_patches

KINDS = [["red"], ["blue"], [], ["red", "blue"]] * 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("data"), {"train": KINDS, "val": KINDS})


def train(data, out, *more):
    words = ["train", "--data", data, "--arch", "sample_net", "--input-size", 32, "--epochs", 2]
    words += ["--device", "cpu", "--out", out, *more]
    return CliRunner().invoke(main, [str(word) for word in words])


def test_every_epoch_says_what_each_class_came_to_and_the_curves_are_drawn(data, tmp_path):
    result = train(data, tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("AP on val  blue ") == 2 and result.stderr.count("  red ") == 2
    row = list(csv.DictReader((tmp_path / "history.csv").open()))[-1]
    drawn = (tmp_path / "history.svg").read_text()
    assert f"to {float(row['map']):.4f}, in 2 epochs" in drawn and "mAP on val" in drawn


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--eval-split", "test"], "test.txt does not exist; the splits of this data set are: train, val"),
        (["--classes", "red,green"], "no image of 'train' shows green; leave the class out"),
        (["--classes", "Red"], "no image of 'train' shows Red; leave the class out, or train on more images. "
         "These show blue, red"),
        (["--classes", ","], "the classes are []; expected one or more"),
        (["--freeze", "features,pool,head"], "with features, pool, head frozen nothing is left to learn"),
        (["--freeze", "head", "--probe", "1e-3"], "probe fits the head, which is frozen"),
        (["--arch", "timm:vit_tiny_patch16_224", "--start", "none", "--input-size", "224",
          "--training-size", "192"], "vit_tiny_patch16_224 cannot be given images of 192 x 192 pixels"),
        (["--arch", "timm:resnet18.a1_in1K"], "timm has no weights 'resnet18.a1_in1K'; of resnet18 there"),
        (["--arch", "resnet5O"], "near it are resnet50"),
        (["--start", "imagenet"], "sample_net has no ImageNet weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_in_one_line(data, tmp_path, more, said):
    result = train(data, tmp_path / "out", *more)
    assert result.exit_code == 1 and said in " ".join(result.stderr.split()), result.stderr
    assert isinstance(result.exception, SystemExit)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_trained(data, tmp_path):
    (tmp_path / "file").write_text("")
    result = train(data, tmp_path / "file" / "out")
    assert result.exit_code == 1 and "cannot be written" in result.stderr
    assert "epoch" not in result.stderr


def test_a_photograph_that_is_none_is_named(tmp_path):
    data = write_patches(tmp_path / "data", {"train": KINDS, "val": KINDS})
    (data / "JPEGImages" / "train002.jpg").write_bytes(b"\xff\xd8 no picture")
    result = train(data, tmp_path / "out")
    assert result.exit_code == 1 and "train002.jpg" in result.stderr
    assert isinstance(result.exception, SystemExit)
