"""Settings of a training: the schedules, what is refused, and how recipes are read."""

import re
import tomllib
from pathlib import Path

import pytest

from dogcam.errors import ConfigError
from dogcam.models.registry import find_architecture
from dogcam.models.two_scale import HighResolutionPass
from dogcam.train.augment import Augmentation
from dogcam.train.config import Cosine, Steps, TrainingConfig
from dogcam.train.fine_tuning import frozen_layers
from dogcam.train.recipe import Recipe, read_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))


def test_the_steps_of_the_published_experiment():
    config = TrainingConfig()
    rates = [config.rate(epoch) for epoch in (0, 4.99, 5, 14.99, 15, 19.99)]
    assert rates == pytest.approx([5e-5, 5e-5, 5e-6, 5e-6, 5e-7, 5e-7])


def test_the_cosine_rises_and_falls():
    config = TrainingConfig(epochs=12, learning_rate=1.0, schedule=Cosine(warm_up=2.0))
    assert [config.rate(epoch) for epoch in (0, 1, 2, 7, 12)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert TrainingConfig(epochs=10, learning_rate=1.0, schedule=Cosine(warm_up=0)).rate(0) == 1


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: TrainingConfig(epochs=0), "epochs is 0"),
        (lambda: TrainingConfig(epochs=True), "epochs is True"),
        (lambda: TrainingConfig(batch_size=0), "batch_size is 0"),
        (lambda: TrainingConfig(learning_rate=float("nan")), "learning_rate is nan"),
        (lambda: TrainingConfig(learning_rate=float("inf")), "learning_rate is inf"),
        (lambda: TrainingConfig(weight_decay=-1), "weight_decay is -1"),
        (lambda: TrainingConfig(seed=-1), "seed is -1"),
        (lambda: TrainingConfig(epochs=2, schedule=Cosine(warm_up=2)), "warm_up is 2 of 2"),
        (lambda: TrainingConfig(schedule={"kind": "linear"}), "linear"),
        (lambda: TrainingConfig(ema_decay=1.0), "ema_decay is 1"),
        (lambda: TrainingConfig(wise_ft_weight=1.0), "wise_ft_weight is 1"),
        (lambda: TrainingConfig(distillation=-1), "distillation is -1"),
        (lambda: TrainingConfig(head_lr_multiplier=0), "head_lr_multiplier is 0"),
        (lambda: TrainingConfig(linear_probe_penalty=-1.0), "linear_probe_penalty is -1"),
        (lambda: TrainingConfig(training_size=0), "training_size is 0"),
        (lambda: TrainingConfig(freeze_batch_norm="no"), "freeze_batch_norm is 'no'"),
        (lambda: TrainingConfig(high_resolution={"width": 3}), "width"),
        (lambda: TrainingConfig(momentum=0.9), "momentum"),
        (lambda: Augmentation(mix="some"), "mix is 'some'"),
        (lambda: Cosine(warm_up=-1), "warm_up is -1"),
        (lambda: Steps(boundaries=(15, 5)), "boundaries is (15, 5)"),
        (lambda: Steps(boundaries=(0, 5)), "boundaries.0 is 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, key):
    with pytest.raises(ConfigError, match=re.escape(key)):
        make()


def test_a_description_is_json_of_all_that_affects_the_weights():
    settings = TrainingConfig(
        schedule=Cosine(warm_up=1), frozen_layers=("a.b",), high_resolution=HighResolutionPass((48, 40), 0.2)
    )
    described = settings.describe()
    assert described["schedule"] == {"kind": "cosine", "warm_up": 1}
    assert described["frozen_layers"] == ["a.b"]
    assert described["high_resolution"] == {"size": [48, 40], "share": 0.2}
    assert described.keys() == set(TrainingConfig.model_fields) - {"memory_limit"}


def test_a_recipe_is_read_with_all_its_tables(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'arch = "resnet18"\ninput_size = 96\n[training]\nepochs = 3\nfrozen_layers = ["conv1"]\n'
        "[training.schedule]\nkind = 'steps'\nboundaries = [1, 2]\n"
        "[training.augmentation]\nmin_area = 0.5\n[training.high_resolution]\nsize = [48, 40]\n"
    )
    training = TrainingConfig(
        epochs=3, frozen_layers=("conv1",), schedule=Steps(boundaries=(1, 2)),
        augmentation=Augmentation(min_area=0.5), high_resolution=HighResolutionPass((48, 40)),
    )  # fmt: skip
    assert read_recipe(path) == Recipe(arch="resnet18", input_size=96, training=training)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("epochs = 3", "epochs"),
        ("[training]\nepochs = 2.5", "2.5"),
        ("[training]\naugmentation = 3", "augmentation"),
        ("[training.augmentation]\nmin_aera = 0.4", "min_aera"),
        ("[training.high_resolution]\nsize = [0, 9]", "0 x 9"),
        ("training = 7", "training"),
        ("[training", "recipe.toml"),
        ("a = " + "[" * 100_000, "recipe.toml"),
        ("# " + "a" * (1 << 20), "recipe.toml"),
    ],
)
def test_a_faulty_recipe_is_refused_with_its_file_and_setting(tmp_path, text, key):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(key)) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_recipe_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "recipe.toml"
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.toml"):
        read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recorded_recipes_fit_their_network(path):
    recipe = read_recipe(path)
    # Every setting of the file reaches the training.
    written = tomllib.loads(path.read_text())["training"]
    described = recipe.training.describe()
    assert all(described[name] == value or isinstance(value, dict) for name, value in written.items())
    network = find_architecture(recipe.arch).build(["cat", "dog"], True)
    with frozen_layers(network, recipe.training.frozen_layers):
        assert any(each.requires_grad for each in network.parameters())


def test_there_are_recipes():
    assert {"sample", "voc2007"} <= {path.stem for path in RECIPES}
