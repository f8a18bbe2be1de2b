"""The data and the weights of a run: what is rendered, and which files weights come from."""

from pathlib import Path

import pytest

from report.config import make_config
from report.pipeline import locate, prepare


@pytest.mark.parametrize(
    ("settings", "has_train"),
    [
        ({}, False),
        ({"split": "test[:10]"}, False),
        ({"split": "train"}, True),
        ({"tuning_split": "train[5:]"}, True),
        # Thresholds are then chosen on `train`.
        ({"split": "val"}, True),
        ({"split": "val", "tuning_split": "test"}, False),
    ],
)
def test_the_training_images_of_the_sample_are_rendered_if_they_are_used(
    monkeypatch, tmp_path, settings, has_train
):
    asked = {}
    monkeypatch.setattr(locate, "write_sample", lambda root, **settings: asked.update(settings) or root)
    assert locate.locate_data(make_config(**settings), tmp_path, print) == tmp_path / "sample"
    assert (asked.get("n_train") != 0) == has_train


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"model": "sample_net"}, ()),
        ({"checkpoint": "net.pth"}, ("net.pth", "net.json")),
        ({"model": "efficientnet_lite0"}, None),
        ({"model": "timm:resnet18"}, None),
        ({"model": "module:function", "checkpoint": "net.pth"}, None),
    ],
)
def test_the_files_of_the_weights(tmp_path, settings, files):
    found = prepare.weight_files(make_config(**settings), tmp_path)
    assert found == (None if files is None else tuple(Path(name) for name in files))


def test_the_published_checkpoint_comes_from_the_cache(tmp_path):
    found = prepare.weight_files(make_config(model="resnet50", data="voc2007", limit=500), tmp_path)
    assert {path.parent for path in found} == {tmp_path}
    assert "model_at_epoch_019.pth.tar" in {path.name for path in found}
