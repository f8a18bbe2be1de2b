"""The trainer: it learns, it resumes bit for bit, and it refuses what cannot be trained."""

import csv
import re
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dogcam.errors import ConfigError, DataError
from dogcam.models.networks import pooled_network
from dogcam.train.config import Cosine, TrainingConfig
from dogcam.train.history import HISTORY, EpochRecord, describe_environment
from dogcam.train.loop import TrainingObserver
from dogcam.train.state import STATE
from tests.support.training import (
    FAST,
    KINDS,
    StopsAt,
    changed,
    make_network,
    read_data,
    run,
    same_weights,
)
from tests.support.voc_folders import write_patches


@pytest.mark.slow
def test_the_loss_falls_and_the_separable_is_separated(data, tmp_path):
    config = TrainingConfig(epochs=25, batch_size=6, learning_rate=0.03, schedule=Cosine(warm_up=1))
    network, history = run(data, tmp_path, config)
    assert not network.training
    assert [record.epoch for record in history.records] == list(range(1, 26))
    assert history.last.loss < history.records[0].loss / 2
    assert history.last.mean_ap > 0.95 > history.records[0].mean_ap


def test_history_is_written_as_csv(data, tmp_path):
    _, history = run(data, tmp_path)
    rows = list(csv.DictReader((tmp_path / HISTORY).open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, record in zip(rows, history.records, strict=True):
        assert float(row["loss"]) == pytest.approx(record.loss, rel=1e-5)
        assert float(row["ap_red"]) == pytest.approx(record.ap["red"], abs=1e-6)
        assert float(row["map"]) == pytest.approx(np.mean(list(record.ap.values())), rel=1e-5)


@pytest.mark.parametrize("stopped_in", [0, 1, 3])
def test_an_interrupted_training_ends_with_the_same_weights(data, tmp_path, stopped_in):
    whole, expected = run(data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "parts", observer=StopsAt(stopped_in))
    torch.manual_seed(1234)
    resumed, history = run(data, tmp_path / "parts")
    assert same_weights(resumed, whole)
    assert [record.loss for record in history.records] == [record.loss for record in expected.records]
    assert [record.ap for record in history.records] == [record.ap for record in expected.records]


def test_a_finished_training_is_not_done_again(data, tmp_path):
    whole, history = run(data, tmp_path)
    again, same = run(data, tmp_path, observer=StopsAt(0))
    assert same == history
    assert same_weights(again, whole)


class Elsewhere(TrainingObserver):
    """Notes where the epochs of an interrupted training ran."""

    def __init__(self) -> None:
        self.changes = []

    def environment_changed(self, before: str, now: str) -> None:
        self.changes.append((before, now))


def test_a_training_that_goes_on_elsewhere_says_so(data, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, observer=StopsAt(2))
    same, other = Elsewhere(), Elsewhere()
    monkeypatch.setattr(
        "dogcam.train.trainer.describe_environment", lambda device: f"another torch on {device.type}"
    )
    _, history = run(data, tmp_path, observer=other)
    here = describe_environment(torch.device("cpu"))
    assert f"torch {torch.__version__}" in here and f"{torch.get_num_threads()} thread" in here
    assert other.changes == [(here, "another torch on cpu")]
    assert history.environments == (here, "another torch on cpu")
    run(data, tmp_path, observer=same)
    assert same.changes == []


def test_training_leaves_the_callers_random_numbers_alone(data, tmp_path):
    network = make_network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(data, tmp_path, network=network)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_decides(data, tmp_path):
    first, _ = run(data, tmp_path / "a")
    second, _ = run(data, tmp_path / "b", changed(FAST, seed=43))
    assert not same_weights(first, second)


def test_boxes_are_not_used(tmp_path):
    """The same labels with other boxes give the same weights: only the label is learned from."""
    images = {"train": KINDS * 2, "val": KINDS}
    weights, boxes = [], []
    for moved in (False, True):
        root = write_patches(tmp_path / f"{moved}", images)
        if moved:
            for path in (root / "Annotations").glob("*.xml"):
                path.write_text(re.sub(r"<(xmin|ymin)>\d+", r"<\1>1", path.read_text()))
        data = read_data(root)
        boxes.append([image.boxes_of("red").tolist() for image in data.train.images])
        weights.append(run(data, tmp_path / f"out{moved}")[0])
    assert boxes[0] != boxes[1]
    assert same_weights(*weights)


def test_a_class_that_the_evaluation_split_lacks_is_left_out_and_named(tmp_path):
    root = write_patches(tmp_path / "data", {"train": KINDS, "val": [["red"], [], []]})
    _, history = run(read_data(root), tmp_path / "out")
    assert history.last.absent == ("blue",)
    assert set(history.last.ap) == {"red"}
    assert history.last.mean_ap == history.last.ap["red"]
    assert history.to_csv().splitlines()[1].split(",")[-2] == ""


def test_a_loss_that_is_no_number_is_reported(data, tmp_path):
    config = TrainingConfig(epochs=3, batch_size=6, learning_rate=1e30)
    with pytest.raises(ConfigError, match=r"1e\+30"):
        run(data, tmp_path, config)


def test_weights_that_the_last_update_broke_are_reported(data, tmp_path, monkeypatch):
    config, step = TrainingConfig(epochs=1, batch_size=16), torch.optim.AdamW.step

    def breaks(optimizer, *arguments):
        step(optimizer, *arguments)
        optimizer.param_groups[0]["params"][0].data[0] = float("inf")

    monkeypatch.setattr(torch.optim.AdamW, "step", breaks)
    with pytest.raises(ConfigError, match="epoch 1"):
        run(data, tmp_path, config)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize("given", [{"batch_size": 15}, {"batch_size": 1}])
def test_a_last_batch_that_a_network_cannot_learn_of_is_refused_beforehand(data, tmp_path, given):
    torch.manual_seed(0)
    pooled = OrderedDict(convolution=nn.Conv2d(3, 6, 16), norm=nn.BatchNorm2d(6))
    network = pooled_network(nn.Sequential(pooled), nn.Linear(6, 2))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ConfigError, match=f"batch_size than {given['batch_size']}"):
        run(data, tmp_path, changed(FAST, **given), network)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    # One image is enough if every channel has several spatial positions.
    run(data, tmp_path, changed(FAST, batch_size=15, epochs=1))


def test_a_photograph_that_cannot_be_read_is_named(tmp_path):
    root = write_patches(tmp_path / "data", {"train": KINDS, "val": KINDS})
    (root / "JPEGImages" / "train002.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train002\.jpg"):
        run(read_data(root), tmp_path / "out")


def test_a_mean_over_no_class_is_nan():
    record = EpochRecord(1, 0.5, 0.1, 4, 2.0, 0.5, {}, ("red",), "here")
    assert np.isnan(record.mean_ap)
    assert (record.images_per_second, record.waiting) == (2, 0.25)


@pytest.mark.parametrize(
    ("classes", "key"), [(("red", "green"), "green"), (("red", "red"), "'red', 'red'"), ((), "[]")]
)
def test_classes_that_cannot_be_trained_are_refused(data, classes, key):
    with pytest.raises(ConfigError, match=re.escape(key)):
        replace(data, classes=classes)


def test_splits_with_common_images_are_refused(data):
    with pytest.raises(ConfigError, match="16 images"):
        replace(data, evaluation=data.train)


def test_an_evaluation_split_without_any_class_is_refused(tmp_path):
    root = write_patches(tmp_path, {"train": KINDS, "val": [[], []]})
    with pytest.raises(ConfigError, match="'val'"):
        read_data(root)
