"""Comparing two classifiers: equal ones do not differ, and what finds nothing is worse."""

import json
from itertools import cycle, islice

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from voc_folders import write_patches

from dogcam.classifier import SAMPLE_WEIGHTS, Classifier, Preprocessing
from dogcam.cli import main
from dogcam.comparison import compare, detect
from dogcam.errors import DataError, ModelError
from dogcam.localise import LocalisationRule
from dogcam.metrics import Detections
from dogcam.networks import pooled_network
from dogcam.voc import read_split

RULE = LocalisationRule(0.5)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    kinds = {"val": list(islice(cycle([["red"], ["blue"], ["red"], []]), 12))}
    return read_split(write_patches(tmp_path_factory.mktemp("data"), kinds), "val")


def redness(sign: float = 1.0) -> Classifier:
    """A classifier whose one map is how much redder than blue a pixel is: it boxes red patches exactly."""
    features = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        features.weight.copy_(torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1))
        features.bias.fill_(0.0)
    network = pooled_network(nn.Sequential(features, nn.ReLU()), nn.Linear(1, 1))
    with torch.no_grad():
        network.head.weight.fill_(sign * 40)
        network.head.bias.zero_()
    preprocessing = Preprocessing((24, 36), (0.0,) * 3, (1.0,) * 3)
    layers = ("features", "features.0", "head")
    return Classifier("red", network.eval(), ("red",), preprocessing, *layers, "made by hand")


def boxes_of_truth(split) -> Detections:
    boxes = [image.boxes_of("red") for image in split.images]
    return Detections.from_images(boxes, [[1.0] * len(each) for each in boxes])


def test_a_map_of_redness_boxes_red_patches_as_well_as_the_truth(split):
    found = detect(redness(), split.images, "red", RULE, batch_size=5)
    rows = compare(split.images, "red", found, boxes_of_truth(split), (0.3, 0.5))
    assert [row.iou_threshold for row in rows] == [0.3, 0.5]
    assert [row.other_ap for row in rows] == [1.0, 1.0]
    assert all(row.ap > 0.95 for row in rows)
    assert all(row.interval.low <= row.difference <= row.interval.high for row in rows)


def test_what_finds_nothing_is_worse_by_the_whole_average_precision(split):
    nothing = detect(redness(-1.0), split.images, "red", RULE)
    assert len(nothing.boxes) == 0
    (row,) = compare(split.images, "red", nothing, boxes_of_truth(split), (0.5,))
    assert (row.ap, row.other_ap, row.difference) == (0.0, 1.0, -1.0)
    assert (row.interval.low, row.interval.high) == (-1.0, -1.0)


def test_a_class_that_nobody_knows_or_shows_is_refused(split):
    with pytest.raises(ModelError, match="no class 'dog'"):
        detect(redness(), split.images, "dog", RULE)
    with pytest.raises(DataError, match="none of the 12 images shows a dog"):
        compare(split.images, "dog", boxes_of_truth(split), boxes_of_truth(split), (0.5,))


def options(split, *more):
    models = ("--model", "sample_net", "--other-model", "sample_net")
    given = ("compare-classifiers", "--data", split.root, *models)
    return [str(each) for each in (*given, "--other-checkpoint", SAMPLE_WEIGHTS, "--device", "cpu", *more)]


def test_a_network_does_not_differ_from_itself(split):
    # The sample's network knows dogs alone; the patches are called so for once.
    for path in (split.root / "Annotations").glob("*.xml"):
        path.write_text(path.read_text().replace("<name>red<", "<name>dog<"))
    result = CliRunner().invoke(main, options(split, "--json", "--resamples", 100))
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["iou_threshold"] for row in rows] == [0.3, 0.4, 0.5]
    assert all(row["difference"] == row["interval"]["low"] == row["interval"]["high"] == 0 for row in rows)
    table = CliRunner().invoke(main, options(split, "--resamples", 100)).stdout
    assert "+0.0000 to +0.0000" in table and "12 images, 6 with the class dog" in table
    assert "first: sample_net, second: sample_net" in table


def test_a_cut_that_cannot_be_is_refused_in_one_line(split):
    result = CliRunner().invoke(main, options(split, "--cam-threshold", 1.5))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and "--cam-threshold" in result.stderr
