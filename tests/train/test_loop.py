"""Training: it learns, it resumes bit for bit, it refuses what cannot be; and the command around it."""

import csv
import json
import re
from collections import OrderedDict
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from dogcam.cli.train import command, make_config
from dogcam.data.image_cache import ImageCache, label_matrix
from dogcam.data.images import read_photo
from dogcam.data.reading import read_split
from dogcam.errors import ConfigError, DataError, ModelError, OutputError
from dogcam.evaluate.classification import class_ap, predict
from dogcam.files import dir_lock
from dogcam.models.checkpoints import load_checkpoint
from dogcam.models.classifier import load_classifier
from dogcam.models.networks import pooled_network
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass
from dogcam.structures.images import LabelledImage
from dogcam.train.augment import Augmentation
from dogcam.train.config import Cosine, Steps, TrainingConfig
from dogcam.train.history import EpochRecord, ran_on
from dogcam.train.loop import HISTORY, Observer, train
from dogcam.train.state import STATE
from tests.support.voc_folders import write_patches

CLASSES = ("red", "blue")
KINDS = [["red"], ["blue"], [], ["red", "blue"]]
PREPROCESSING = Preprocessing((16, 16))
VARIED = Augmentation(min_area=0.6, colour=0.1)
FAST = TrainingConfig(epochs=4, batch_size=6, learning_rate=0.02, schedule=Cosine(0.5), augmentation=VARIED)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """16 images to train on, so that batches of 6 leave a rest of 4, and 12 others."""
    kinds = {"train": list(islice(cycle(KINDS), 16)), "val": list(islice(cycle(KINDS), 12))}
    root = write_patches(tmp_path_factory.mktemp("data"), kinds)
    return read_split(root, "train"), read_split(root, "val")


def make_network(outputs: int = 2, seed: int = 0) -> nn.Sequential:
    """Build a network with all that is hard to resume: batch statistics, and dropout, which is random."""
    torch.manual_seed(seed)
    layers = OrderedDict(
        convolution=nn.Conv2d(3, 6, 3, stride=2), norm=nn.BatchNorm2d(6), relu=nn.ReLU(), drop=nn.Dropout(0.2)
    )
    return pooled_network(nn.Sequential(layers), nn.Linear(6, outputs))


def run(splits, folder, config=FAST, network=None, **options):
    network = network or make_network()
    history = train(network, CLASSES, *splits, PREPROCESSING, config, folder, **options)
    return network, history


def same_weights(network: nn.Module, other: nn.Module) -> bool:
    state, others = network.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in others)


class StopsAt(Observer):
    """Interrupts the training like a person at the keyboard, in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_the_loss_falls_and_the_separable_is_separated(splits, tmp_path):
    config = TrainingConfig(epochs=25, batch_size=6, learning_rate=0.03, schedule=Cosine(1))
    network, history = run(splits, tmp_path, config)
    assert not network.training
    assert [record.epoch for record in history.records] == list(range(1, 26))
    assert history.last.loss < history.records[0].loss / 2
    assert history.last.mean_ap > 0.95 > history.records[0].mean_ap


def test_history_is_written_as_csv(splits, tmp_path):
    _, history = run(splits, tmp_path)
    rows = list(csv.DictReader((tmp_path / HISTORY).open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, record in zip(rows, history.records, strict=True):
        assert float(row["loss"]) == pytest.approx(record.loss, rel=1e-5)
        assert float(row["ap_red"]) == pytest.approx(record.ap["red"], abs=1e-6)
        assert float(row["map"]) == pytest.approx(np.mean(list(record.ap.values())), rel=1e-5)


@pytest.mark.parametrize("stopped_in", [0, 1, 3])
def test_an_interrupted_training_ends_with_the_same_weights(splits, tmp_path, stopped_in):
    whole, expected = run(splits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(splits, tmp_path / "parts", observer=StopsAt(stopped_in))
    torch.manual_seed(1234)
    resumed, history = run(splits, tmp_path / "parts")
    assert same_weights(resumed, whole)
    assert [record.loss for record in history.records] == [record.loss for record in expected.records]
    assert [record.ap for record in history.records] == [record.ap for record in expected.records]


def test_the_state_survives_an_interruption_while_it_is_written(splits, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(splits, tmp_path, observer=StopsAt(2))
    before = (tmp_path / STATE).read_bytes()

    def power_cut(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", power_cut)
    with pytest.raises(OutputError, match="No space left"):
        run(splits, tmp_path)
    monkeypatch.undo()
    assert (tmp_path / STATE).read_bytes() == before
    whole, _ = run(splits, tmp_path.with_name("whole"))
    assert same_weights(run(splits, tmp_path)[0], whole)


def test_a_finished_training_is_not_done_again(splits, tmp_path):
    whole, history = run(splits, tmp_path)
    again, same = run(splits, tmp_path, observer=StopsAt(0))
    assert same == history
    assert same_weights(again, whole)


class Elsewhere(Observer):
    """Notes where the epochs of an interrupted training ran."""

    def __init__(self) -> None:
        self.heard = []

    def went_on_elsewhere(self, before: str, now: str) -> None:
        self.heard.append((before, now))


def test_a_training_that_goes_on_elsewhere_says_so(splits, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(splits, tmp_path, observer=StopsAt(2))
    same, other = Elsewhere(), Elsewhere()
    monkeypatch.setattr("dogcam.train.loop.ran_on", lambda device: f"another torch on {device.type}")
    _, history = run(splits, tmp_path, observer=other)
    here = ran_on(torch.device("cpu"))
    assert f"torch {torch.__version__}" in here and f"{torch.get_num_threads()} thread" in here
    assert other.heard == [(here, "another torch on cpu")]
    assert history.ran_on == (here, "another torch on cpu")
    run(splits, tmp_path, observer=same)
    assert same.heard == []


def test_a_folder_is_not_trained_into_twice_at_once(splits, tmp_path):
    part = tmp_path / ".history.csv.1.part"
    part.write_text("half")
    with (
        dir_lock(tmp_path),
        pytest.raises(OutputError, match=re.escape(str(tmp_path))),
    ):
        run(splits, tmp_path)
    assert part.exists(), "it may be that other program's"
    run(splits, tmp_path)
    assert not part.exists()


def test_a_damaged_state_says_how_to_begin_anew(splits, tmp_path):
    run(splits, tmp_path)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:100])
    with pytest.raises(ModelError, match=r"training_state.*--no-resume"):
        run(splits, tmp_path)
    run(splits, tmp_path, resume=False)


def test_the_state_of_another_training_is_refused_unless_it_may_be_replaced(splits, tmp_path):
    run(splits, tmp_path)
    other = TrainingConfig(epochs=1, batch_size=5)
    with pytest.raises(ConfigError, match=r"batch_size.* 6\b.* 5\b|epochs.* 4\b.* 1\b"):
        run(splits, tmp_path, other)
    with pytest.raises(ConfigError, match="starting weights"):
        run(splits, tmp_path, network=make_network(seed=1))
    padded = make_network()
    padded.features.convolution.padding = (1, 1)
    with pytest.raises(ConfigError, match=r"Sequential \w{16}.*Sequential \w{16}"):
        run(splits, tmp_path, network=padded)
    _, history = run(splits, tmp_path, other, resume=False)
    assert len(history.records) == 1


def test_training_leaves_the_callers_random_numbers_alone(splits, tmp_path):
    network = make_network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(splits, tmp_path, network=network)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_decides(splits, tmp_path):
    first, _ = run(splits, tmp_path / "a")
    second, _ = run(splits, tmp_path / "b", TrainingConfig(**{**vars(FAST), "seed": 43}))
    assert not same_weights(first, second)


def test_half_precision_learns_and_leaves_full_precision_weights(splits, tmp_path):
    config = TrainingConfig(**{**vars(FAST), "precision": "bfloat16"})
    network, history = run(splits, tmp_path, config)
    assert history.last.loss < history.records[0].loss
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_boxes_are_never_looked_at(tmp_path):
    """The same labels with other boxes give the same weights: only the label is learned from."""
    images = {"train": KINDS * 2, "val": KINDS}
    weights, boxes = [], []
    for moved in (False, True):
        root = write_patches(tmp_path / f"{moved}", images)
        if moved:
            for path in (root / "Annotations").glob("*.xml"):
                path.write_text(re.sub(r"<(xmin|ymin)>\d+", r"<\1>1", path.read_text()))
        splits = read_split(root, "train"), read_split(root, "val")
        boxes.append([image.boxes_of("red").tolist() for image in splits[0].images])
        weights.append(run(splits, tmp_path / f"out{moved}")[0])
    assert boxes[0] != boxes[1]
    assert same_weights(*weights)


def test_a_class_that_the_evaluation_split_lacks_is_left_out_and_named(tmp_path):
    root = write_patches(tmp_path / "data", {"train": KINDS, "val": [["red"], [], []]})
    _, history = run((read_split(root, "train"), read_split(root, "val")), tmp_path / "out")
    assert history.last.absent == ("blue",)
    assert set(history.last.ap) == {"red"}
    assert history.last.mean_ap == history.last.ap["red"]
    assert history.to_csv().splitlines()[1].split(",")[-2] == ""


def test_a_mean_over_no_class_is_nan():
    record = EpochRecord(1, 0.5, 0.1, 4, 2.0, 0.5, {}, ("red",), "here")
    assert np.isnan(record.mean_ap)
    assert (record.images_per_second, record.waiting) == (2, 0.25)


def test_average_precision_of_a_hand_computed_ranking():
    labels = torch.tensor([[1, 0], [0, 0], [1, 0], [0, 0]])
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert class_ap(labels, scores, CLASSES) == {"red": pytest.approx((1 + 2 / 3) / 2)}


def test_predictions_are_those_of_single_images(splits):
    _, images = splits
    network = make_network().train()
    logits = predict(network, images.images, PREPROCESSING, batch_size=5)
    assert network.training
    network.eval()
    singly = torch.cat([network(PREPROCESSING([read_photo(image)])) for image in images.images])
    assert torch.allclose(logits, singly, atol=1e-5)


def test_classes_that_cannot_be_learned_are_refused(splits, tmp_path):
    for classes, fault in ((("red", "green"), "green"), (("red", "red"), "'red', 'red'"), ((), r"\[\]")):
        with pytest.raises(ConfigError, match=fault):
            train(make_network(), classes, *splits, PREPROCESSING, FAST, tmp_path)


def test_measuring_on_training_images_is_refused(splits, tmp_path):
    with pytest.raises(ConfigError, match=r"'train'.* 16 "):
        run((splits[0], splits[0]), tmp_path)


def test_a_loss_that_is_no_number_is_reported(splits, tmp_path):
    config = TrainingConfig(epochs=3, batch_size=6, learning_rate=1e30, schedule=Steps())
    with pytest.raises(ConfigError, match=r"nan.* 1e\+30"):
        run(splits, tmp_path, config)


def test_weights_that_the_last_update_broke_are_reported(splits, tmp_path, monkeypatch):
    config, step = TrainingConfig(epochs=1, batch_size=16), torch.optim.AdamW.step

    def breaks(optimizer, *arguments):
        step(optimizer, *arguments)
        optimizer.param_groups[0]["params"][0].data[0] = float("inf")

    monkeypatch.setattr(torch.optim.AdamW, "step", breaks)
    with pytest.raises(ConfigError, match=r"epoch 1\b.* 5e-05"):
        run(splits, tmp_path, config)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize("given", [{"batch_size": 15}, {"batch_size": 1}])
def test_a_last_batch_that_a_network_cannot_learn_of_is_refused_beforehand(splits, tmp_path, given):
    torch.manual_seed(0)
    pooled = OrderedDict(convolution=nn.Conv2d(3, 6, 16), norm=nn.BatchNorm2d(6))
    network = pooled_network(nn.Sequential(pooled), nn.Linear(6, 2))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ConfigError, match=f"batch_size.* {given['batch_size']} .*16"):
        run(splits, tmp_path, TrainingConfig(**{**vars(FAST), **given}), network)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    # One image is no harm where every channel has several places.
    run(splits, tmp_path, TrainingConfig(**{**vars(FAST), "batch_size": 15, "epochs": 1}))


def test_labels_stand_in_the_order_of_the_classes(splits):
    images = splits[0].images[:4]
    assert label_matrix(images, ("blue", "red")).tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]
    assert label_matrix((), CLASSES).shape == (0, 2)


@pytest.mark.parametrize("room", [0, 2, 100])
def test_photographs_are_decoded_once_as_far_as_there_is_room(splits, monkeypatch, room):
    photographs = ImageCache(splits[0].images[:4], (8, 10), memory_limit=room * 3 * 8 * 10)
    first = photographs.select([3, 0, 3, 1])
    assert first.shape == (4, 3, 8, 10) and first.dtype == torch.uint8
    assert torch.equal(first[0], first[2])
    assert photographs.n_kept == min(room, 3)
    decoded, read = [], LabelledImage.read
    monkeypatch.setattr(LabelledImage, "read", lambda image: decoded.append(image.id) or read(image))
    assert torch.equal(photographs.select([3, 0, 3, 1]), first)
    assert len(decoded) == 3 - min(room, 3)


def test_a_photograph_that_cannot_be_read_is_named(tmp_path):
    root = write_patches(tmp_path / "data", {"train": KINDS, "val": KINDS})
    (root / "JPEGImages" / "train002.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train002\.jpg"):
        run((read_split(root, "train"), read_split(root, "val")), tmp_path / "out")


def test_the_experiments_steps():
    config = TrainingConfig()
    rates = [config.rate(epoch) for epoch in (0, 4.99, 5, 14.99, 15, 19.99)]
    assert rates == pytest.approx([5e-5, 5e-5, 5e-6, 5e-6, 5e-7, 5e-7])


def test_the_cosine_rises_and_falls():
    config = TrainingConfig(epochs=12, learning_rate=1.0, schedule=Cosine(2.0))
    assert [config.rate(epoch) for epoch in (0, 1, 2, 7, 12)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert TrainingConfig(epochs=10, learning_rate=1.0, schedule=Cosine(0)).rate(0) == 1


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: TrainingConfig(epochs=0), "epochs.* 0"),
        (lambda: TrainingConfig(batch_size=0), "batch_size.* 0"),
        (lambda: TrainingConfig(learning_rate=float("nan")), "learning_rate.* nan"),
        (lambda: TrainingConfig(weight_decay=-1), "weight_decay.* -1"),
        (lambda: TrainingConfig(precision="float8"), "'float8'"),
        (lambda: TrainingConfig(epochs=2, schedule=Cosine(2)), "warm_up.* 2 of 2"),
        (lambda: Cosine(-1), "warm_up.* -1"),
        (lambda: Steps((15, 5)), r"\[15, 5\]"),
        (lambda: Steps((0, 5)), r"\[0, 5\]"),
        (lambda: Steps(factor=0), "step.?factor.* 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, fault):
    with pytest.raises(ConfigError, match=fault):
        make()


def options(root, out, *more):
    fixed = ["--data", root, "--arch", "sample_net", "--input-size", 16, "--epochs", 1, "--device", "cpu"]
    chosen = [*fixed, "--out", out, *more]
    return [str(option) for option in chosen]


def test_the_command_writes_weights_whose_card_says_what_they_are(splits, tmp_path):
    root = splits[0].root
    result = CliRunner().invoke(command, options(root, tmp_path, "--classes", "blue,red", "--limit", 8))
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "sample_net.safetensors") in result.output
    assert "epoch   1/1  loss 0." in result.output
    card = json.loads((tmp_path / "sample_net.json").read_text())
    assert card["classes"] == ["blue", "red"]
    assert card["input_size"] == [16, 16]
    assert card["training"]["seed"] == 42
    assert card["data"]["train"]["manifest"] == read_split(root, "train", 8).manifest
    assert set(card["metrics"]["val"]["ap"]) == {"blue", "red"}
    assert str(root) not in json.dumps(card)
    classifier = load_classifier(None, tmp_path / "sample_net.safetensors", "cpu")
    assert classifier.classes == ("blue", "red")
    assert load_checkpoint(tmp_path / "sample_net.safetensors").meta == card


def test_the_command_gives_the_same_file_again(splits, tmp_path):
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert CliRunner().invoke(command, options(splits[0].root, folder, "--limit", 8)).exit_code == 0
        files.append((folder / "sample_net.safetensors").read_bytes())
    assert files[0] == files[1]


UNSET = dict.fromkeys(("steps", "step_factor", "warm_up", "closer_size", "closer_share"))


def settings(**given):
    fixed = {"min_area": 0.5, "flip": False, "colour": 0.2, "memory": 3, "spread": "hide"}
    fixed |= {"schedule": "steps", "frozen": "features.stem, features.stage1"}
    return make_config(**UNSET | fixed | given)


def test_options_become_settings():
    config = settings(steps="2, 4", step_factor=0.5, epochs=6, closer_size=48, closer_share=0.2)
    assert config.schedule == Steps((2, 4), 0.5)
    assert config.augmentation == Augmentation(0.5, False, 0.2, "hide")
    assert config.frozen == ("features.stem", "features.stage1")
    assert config.high_resolution == HighResolutionPass((48, 48), 0.2)
    assert (config.epochs, config.memory_limit) == (6, 3 * 1024**2)
    assert settings(schedule="cosine", warm_up=1.0).schedule == Cosine(1.0)
    with pytest.raises(ConfigError, match=r"--steps.*'often'"):
        settings(steps="often")


def test_options_that_are_not_given_are_the_experiments():
    config = settings()
    assert config.schedule == Steps() and config.high_resolution is None
    assert settings(schedule="cosine").schedule == Cosine()
    assert settings(closer_size=48).high_resolution == HighResolutionPass((48, 48))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"closer_share": 0.2}, "--high-resolution-share.* --high-resolution-size"),
        ({"warm_up": 2.0}, "--warm-up.* --schedule"),
        ({"schedule": "cosine", "steps": "2", "step_factor": 0.5}, "--steps.* --step-factor"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        settings(**given)
