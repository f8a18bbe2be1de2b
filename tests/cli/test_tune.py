"""`dogcam tune`: what it writes, what it refuses, and that the record repeats its own numbers."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dogcam.cli.main import main
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.data.sample import write_sample
from dogcam.detection.presets import find_preset, locator
from dogcam.evaluate.metrics import match, precision_recall
from dogcam.models.classifier import load_classifier
from dogcam.structures.defaults import IOU_THRESHOLDS
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.localisers import localiser_for
from tests.support.voc_folders import write_patches


@pytest.fixture(scope="module")
def data(made_once):
    return made_once("tune", lambda folder: write_sample(folder / "s", n_train=16, n_val=2, n_test=2)) / "s"


def run(*arguments: str):
    return CliRunner().invoke(main, ["tune", "--model", "sample_net", "--device", "cpu", *arguments])


@pytest.mark.slow
def test_the_first_trial_is_the_preset(data, tmp_path):
    path = tmp_path / "trials.json"
    result = run(
        "--data", str(data), "--preset", "fast", "--trials", "3", "--folds", "2", "--json", str(path)
    )
    assert result.exit_code == 0, result.output
    record = json.loads(path.read_text())
    split = read_split(data, "train")
    find = locator(find_preset("fast"), load_classifier("sample_net", device="cpu"), ["dog"])
    located = [find(read_pixels(image))[0] for image in split.images]
    found = Detections.from_images([boxes for boxes, _ in located], [scores for _, scores in located])
    truth = GroundTruth.from_images([image.boxes_of("dog") for image in split.images])
    matches = match(truth, found)
    expected = [precision_recall(matches, each).average_precision() for each in IOU_THRESHOLDS]
    np.testing.assert_allclose(record["trials"][0]["ap"], expected)
    assert len(record["trials"]) == 3 and len(record["chosen_per_fold"]) == 2
    means = [np.mean(trial["ap"]) for trial in record["trials"]]
    assert record["best"] == int(np.argmax(means))
    assert record["split"]["manifest"] == split.manifest and record["n_objects"] == len(truth)


@pytest.mark.slow
def test_the_numbers_of_a_localiser_are_searched(data, tmp_path):
    path, file = tmp_path / "trials.json", tmp_path / "localiser.safetensors"
    localiser_for(load_classifier("sample_net", device="cpu")).save(file)
    words = ("--data", data, "--limit", 4, "--preset", "localiser", "--trials", 3, "--folds", 2)
    result = run(*map(str, words), "--localiser", str(file), "--json", str(path))
    assert result.exit_code == 0, result.output
    first, *others = json.loads(path.read_text())["trials"]
    assert first["overlap_exponent"] == find_preset("localiser").overlap_exponent
    assert first.keys() == others[0].keys() and any(each != first for each in others)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--split", "val"], "val"),
        (["--split", "val[:1]"], "val[:1]"),
        (["--preset", "published"], "published"),
        (["--preset", "quick"], "quick"),
        (["--target", "unicorn"], "unicorn"),
        (["--limit", "3", "--folds", "4"], "4"),
    ],
)
def test_what_must_not_be_searched_is_refused(arguments, found, tmp_path):
    data = write_patches(tmp_path / "data", {"train": [["red"]] * 4, "val": [["red"]] * 2})
    path = tmp_path / "trials.json"
    result = run("--data", str(data), "--target", "red", "--json", str(path), *arguments)
    assert result.exit_code == 1 and found in result.output
    assert not path.exists()
