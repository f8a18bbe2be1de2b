"""Pools of outputs: ImageNet's classes as VOC's, a user's own, and the activation of a head."""

import re

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from dogcam.data.formats.voc import CLASSES
from dogcam.errors import ConfigError, ModelError
from dogcam.models.imagenet import VOC_POOLS, imagenet_categories
from dogcam.models.pools import parse_pools, pool_outputs
from dogcam.network.heads import LogOddsHead
from tests.support.tiny_networks import pooled

NAMES = ("ant", "bee", "cat", "dog")

MEMBERS = {
    "aeroplane": "airliner, warplane",
    "bicycle": "bicycle-built-for-two, mountain bike",
    "bottle": "beer bottle, pill bottle, pop bottle, water bottle, water jug, whiskey jug, wine bottle",
    "bus": "minibus, school bus, trolleybus",
    "car": "ambulance, beach wagon, cab, convertible, jeep, limousine, minivan, Model T, racer, sports car",
    "cat": "tabby, tiger cat, Persian cat, Siamese cat, Egyptian cat",
    "chair": "barber chair, folding chair, rocking chair, throne",
    "cow": "ox",
    "diningtable": "dining table",
    "horse": "sorrel",
    "motorbike": "moped, motor scooter",
    "person": "ballplayer, groom, scuba diver",
    "sheep": "ram, bighorn",
    "sofa": "studio couch",
    "train": "bullet train, electric locomotive, freight car, passenger car, steam locomotive",
    "tvmonitor": "monitor, screen, television",
}


def test_imagenets_classes_are_pooled_into_vocs_by_their_names():
    categories = imagenet_categories()
    for name, members in MEMBERS.items():
        assert [categories[index] for index in VOC_POOLS[name]] == members.split(", ")
    assert [len(VOC_POOLS[name]) for name in ("bird", "boat", "dog")] == [59, 15, 118]
    assert {categories[index] for index in VOC_POOLS["bird"]} >= {"cock", "ostrich", "drake", "albatross"}
    assert set(CLASSES) - set(VOC_POOLS) == {"pottedplant"}
    pooled_once = [index for members in VOC_POOLS.values() for index in members]
    assert len(set(pooled_once)) == len(pooled_once)


def test_pools_are_written_as_names_indices_ranges_or_a_file(tmp_path):
    (tmp_path / "cats.txt").write_text("cat\n\n0\n")
    texts = ["pet=cat,dog", "low=0-2", f"file={tmp_path / 'cats.txt'}", "one=3"]
    assert parse_pools(texts, NAMES) == {"pet": (2, 3), "low": (0, 1, 2), "file": (2, 0), "one": (3,)}
    assert parse_pools(["none"], NAMES) == {} and parse_pools(["voc"], NAMES) is VOC_POOLS


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["pet"], "pet"), (["=cat"], "=cat"), (["pet="], "pet="), (["pet=cat", "pet=dog"], "twice"),
        (["pet=kat"], "similar: cat"), (["pet=4"], "'4'"), (["pet=2-9"], "'2-9'"), (["pet=2-1"], "'2-1'"),
    ],
)  # fmt: skip
def test_a_pool_that_cannot_be_read_is_refused(texts, value):
    with pytest.raises(ConfigError, match=re.escape(value)):
        parse_pools(texts, NAMES)


def pooled_probabilities(logits: torch.Tensor) -> np.ndarray:
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    return np.stack([p[:, [2, 3]].sum(axis=1), p[:, [0]].sum(axis=1)], axis=1)


@torch.no_grad()
@pytest.mark.parametrize("behind", [nn.Identity(), nn.Tanh()])
def test_a_pool_has_the_sum_of_its_members_probabilities(behind):
    inner = pooled(dtype=torch.float32)
    network = nn.Sequential(inner, behind).eval()
    images = torch.randn(3, 3, 20, 28)
    n_outputs = network(images).shape[1]
    expected = pooled_probabilities(network(images))
    found = pool_outputs(network, {"pet": (2, 3), "insect": (0,)}, n_outputs, (20, 28))
    assert found(images).double().sigmoid().numpy() == pytest.approx(expected, rel=1e-5)
    # Only a head whose outputs are the logits themselves is replaced.
    assert (found is network) == isinstance(behind, nn.Identity)
    assert any(isinstance(each, LogOddsHead) for each in found.modules()) == (found is network)


def test_a_network_whose_head_is_a_convolution_is_pooled_behind_it():
    network = torchvision.models.squeezenet1_1(num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = pooled_probabilities(network(images))
        found = pool_outputs(network, {"pet": (2, 3), "insect": (0,)}, 5, (64, 64)).eval()
        assert found(images).double().sigmoid().numpy() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ModelError, match="5 classes"):
        pool_outputs(network, {"all": (0, 1, 2, 3, 4)}, 5, (64, 64))
