"""The same runner on real photographs: a part of VOC2007 val with a network that was never trained on it."""

import json

import pytest
from click.testing import CliRunner

from report.cli import main
from tests.support.runs import quick_runs

N_IMAGES = 24


@pytest.fixture(scope="module")
def run(real_data, tmp_path_factory):
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra efficientnet-lite0 is not installed")
    folder = tmp_path_factory.mktemp("real")
    options = {
        "--data": real_data / "voc2007", "--split": "val", "--model": "efficientnet_lite0",
        "--limit": N_IMAGES, "--tuning-limit": N_IMAGES, "--out": folder,
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    with quick_runs():
        outcome = CliRunner().invoke(main, ["run", *words], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return folder


@pytest.fixture(scope="module")
def record(run):
    return json.loads((run / "results.json").read_text())


def test_thresholds_are_chosen_on_train_and_reported_on_val(record):
    assert record["data"]["reported"]["name"] == "val"
    assert record["data"]["tuning"]["name"] == "train"
    assert record["data"]["reported"]["n_images"] == N_IMAGES
    assert all(each["chosen"] for each in record["tuning"])


def test_the_network_knows_dogs_and_roughly_where_they_are(record):
    """Not a figure to quote, a floor: a broken preprocessing or a shifted map falls through it."""
    assert record["classification"]["target"]["value"] > 0.6
    ap = {method["name"]: method["rows"][0]["ap"] for method in record["detection"]["methods"]}
    assert ap["grad_cam"] > 2 * ap["centerbox"]


def test_cam_and_grad_cam_are_one_map(record):
    pair = next(pair for pair in record["map_comparisons"] if pair["b"] == "cam")
    assert pair["same"]
    assert pair["largest_difference"] < pair["tolerance"]


def test_no_photograph_of_the_tuning_split_is_in_the_report(run, record, real_data):
    listed = (real_data / "voc2007" / "ImageSets" / "Main" / "val.txt").read_text().split()[:N_IMAGES]
    items = [item for row in record["failures"]["types"] for item in row["items"]]
    shown = {item["image_id"] for item in items + record["failures"]["successes"]}
    assert shown
    assert shown <= set(listed)
