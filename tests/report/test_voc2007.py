"""The known experiment from download to report, with a local server in place of the two real ones."""

import functools
import io
import json
import shutil
import tarfile

import pytest
import torch
import torchvision
from click.testing import CliRunner
from torch import nn

from dogcam.data import sample
from dogcam.models import card as model_card
from dogcam.models.architecture import Architecture
from report.cli import main
from report.config import RunConfig
from report.pipeline import locate, prepare
from report.pipeline.gather import is_published_experiment
from tests.support.http_server import send, serving

QUICK = {"attempts": 1, "timeout": 20.0}


@pytest.fixture(scope="module")
def voc_tar(tmp_path_factory):
    """A few rendered scenes, packed as VOC2007 test is."""
    root = tmp_path_factory.mktemp("voc")
    scenes = sample.write_sample(root / "scenes", n_train=1, n_val=1, n_test=8, workers=1)
    release = root / "VOCdevkit" / "VOC2007"
    shutil.copytree(scenes, release)
    shutil.rmtree(release / "SegmentationClass")
    for split in ("train", "val"):
        (release / "ImageSets" / "Main" / f"{split}.txt").unlink()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(release, "VOCdevkit/VOC2007")
    return buffer.getvalue()


def small_resnet(n_classes: int) -> nn.Module:
    """A network with ResNet-50's layer names at a fraction of its size."""
    network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    network.fc = nn.Linear(512, n_classes)
    return network


def published_checkpoint() -> bytes:
    torch.manual_seed(0)
    buffer = io.BytesIO()
    state = {"i_epoch": 19, "model_sdict": small_resnet(20).state_dict(), "optimizer_sdict": {}}
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    small = Architecture("resnet50", lambda classes, _pretrained: small_resnet(len(classes)))
    monkeypatch.setattr(model_card, "find_architecture", lambda _name: small)
    with serving() as server:
        for module, name in ((locate, "fetch_voc2007_test"), (prepare, "fetch_published_checkpoint")):
            options = {"urls": (server.url(name),), **QUICK}
            if name == "fetch_voc2007_test":
                options["checksum"] = None
            monkeypatch.setattr(module, name, functools.partial(getattr(module, name), **options))
        yield server


def run(tmp_path):
    words = ["run", "--data", "voc2007", "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    return CliRunner().invoke(main, [str(word) for word in words])


def test_downloads_once_detects_and_shows_the_published_figures(server, voc_tar, tmp_path, quick_runs):
    server.plan = [send(voc_tar), send(published_checkpoint())]
    outcome = run(tmp_path)
    assert outcome.exit_code == 0, outcome.output
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["model"]["classes"][4] == "dog"
    assert record["data"]["tuning"] is None
    assert not any(each["chosen"] for each in record["tuning"])
    assert [row["title"] for row in record["published"]][-1] == "a simple Grad-CAM solution"
    page = (tmp_path / "run" / "report.md").read_text()
    assert "**Published results** on the same images" in page and "in the order of its split lists" in page
    assert "4.206890" in page
    assert len(server.requests) == 2
    assert run(tmp_path).exit_code == 0
    assert len(server.requests) == 2, "a second run downloads nothing"


@pytest.mark.parametrize(
    "changes", [{"target": "cat"}, {"limit": 400}, {"split": "val"}, {"iou_thresholds": (0.5, 0.75)}], ids=str
)
def test_the_published_figures_stand_beside_the_same_experiment_only(changes):
    known = {"data": "voc2007", "split": "test", "target": "dog", "limit": 500, "model": "resnet50"}
    assert is_published_experiment(RunConfig(**known))
    assert not is_published_experiment(RunConfig(**known | changes))


def test_a_transfer_that_fails_says_what_to_do(server, voc_tar, tmp_path):
    server.plan = [send(b"not a tar archive")]
    outcome = run(tmp_path)
    assert outcome.exit_code == 1
    assert "Traceback" not in outcome.output
    assert "VOCtest_06-Nov-2007.tar" in outcome.output
    assert not (tmp_path / "run" / "results.json").exists()
