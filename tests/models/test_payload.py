"""Checkpoints as training programs write them: wrappers, prefixes and what else lies in the file."""

import argparse
import json
import os
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from dogcam.errors import ModelError
from dogcam.models.checkpoints import load_checkpoint, load_into
from dogcam.models.classifier import load_classifier


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [
        ("body", nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))),
        ("pool", nn.AdaptiveAvgPool2d(1)),
    ]
    return nn.Sequential(OrderedDict([*layers, ("flatten", nn.Flatten()), ("fc", nn.Linear(4, 3))]))


STATE = network(1).state_dict()


def with_prefix(prefix: str, state=STATE) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


def assert_loads(payload: object, path: Path) -> None:
    torch.save(payload, path)
    model = network()
    load_into(model, load_checkpoint(path), path)
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in model.state_dict().items())


OPTIMIZER = torch.optim.SGD(network().parameters(), 0.1, momentum=0.9).state_dict()

PAYLOADS = {
    "bare": STATE,
    "state_dict": {"epoch": 3, "state_dict": STATE, "optimizer": OPTIMIZER},
    "model_state_dict": {"model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER, "loss": 0.3},
    "torchvision": {"model": STATE, "optimizer": OPTIMIZER, "args": argparse.Namespace(out=Path("a"))},
    "model_ema": {
        "model": network(2).state_dict(),
        "model_ema": with_prefix("module.") | {"n_averaged": torch.tensor(7)},
    },
    "timm": {"arch": "x", "state_dict": network(2).state_dict(), "state_dict_ema": STATE, "metric": 0.5},
    "swa": with_prefix("module.") | {"n_averaged": torch.tensor(3)},
    "lightning": {
        "pytorch-lightning_version": "2.4.0", "hyper_parameters": {"lr": 0.1}, "loops": {},
        "state_dict": with_prefix("model.") | {"criterion.weight": torch.ones(3), "metric.n": torch.ones(1)},
    },
    "nested": {"model": {"state_dict": STATE}},
    "the only key with tensors": {"student": STATE, "epoch": 1, "optimizer": OPTIMIZER},
    "an unknown key around a known one": {"checkpoint": {"state_dict": STATE}},
    "epoch among the tensors": STATE | {"epoch": 12},
    "safe plain entries": STATE | {"note": "best", "history": [1.0, 2.0]},
    **{
        prefix: with_prefix(prefix)
        for prefix in (
            "module.", "_orig_mod.", "model.", "net.", "backbone.", "module.module.", "module._orig_mod.",
            "_orig_mod.module.", "model.net.", "model._orig_mod.",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_the_weights_are_found(payload, tmp_path):
    assert_loads(payload, tmp_path / "w.pth")


def test_a_network_that_itself_has_the_prefix_keeps_it(tmp_path):
    path = tmp_path / "w.pt"
    outer = nn.Sequential(OrderedDict(backbone=network()))
    torch.save(with_prefix("model.backbone."), path)
    load_into(outer, load_checkpoint(path), path)
    assert torch.equal(outer.backbone.fc.weight, STATE["fc.weight"])


def test_auxiliary_heads_that_the_model_lacks_are_left_out(tmp_path):
    assert_loads(
        STATE | {"AuxLogits.fc.weight": torch.ones(2, 2), "aux1.fc.bias": torch.ones(2)}, tmp_path / "w"
    )


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ({"student": STATE, "teacher": STATE}, "'student', 'teacher'"),
        ({"epoch": 1, "lr": 0.1}, "'epoch'"),
        (STATE | {"extra.weight": torch.ones(2)}, "extra.weight"),
        (with_prefix("teacher.") | with_prefix("student."), "teacher."),
        ({name: STATE[name] for name in list(STATE)[1:]}, next(iter(STATE))),
        ([1, 2], "list"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(payload, value, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(payload, path)
    with pytest.raises(ModelError, match=re.escape(value)):
        load_into(network(), load_checkpoint(path), path)


def test_class_names_come_with_the_weights_of_any_wrapper(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"state_dict": STATE, "class_to_idx": {"cat": 1, "ant": 0, "dog": 2}}, path)
    assert load_checkpoint(path).meta["classes"] == ["ant", "cat", "dog"]


def test_a_torchscript_program_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "w.pt"
    torch.jit.trace(network().eval(), torch.zeros(1, 3, 8, 8)).save(str(path))
    with pytest.raises(ModelError, match=r"TorchScript.*state_dict\(\)"):
        load_checkpoint(path)


def test_what_is_no_plain_file_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "empty.pt").touch()
    for name, value in (("pipe.pt", "FIFO"), ("empty.pt", "0 bytes"), ("", "folder"), ("none.pt", "none.pt")):
        with pytest.raises(ModelError, match=value):
            load_checkpoint(tmp_path / name)
    with pytest.raises(ModelError, match="device"):
        load_checkpoint(Path("/dev/zero"))
    with (tmp_path / "huge.pt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match="1,099,511,627,776"):
        load_checkpoint(tmp_path / "huge.pt")


NETS = """
from collections import OrderedDict
from torch import nn

def build():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    layers = [("body", body), ("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return nn.Sequential(OrderedDict([*layers, ("fc", nn.Linear(4, 3))]))

def nothing():
    return 3
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    torch.save(STATE, tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_a_network_of_the_users_own_function(nets):
    names = {"classes": ["a", "b", "c"], "activation": "softmax", "input_size": 32}
    found = load_classifier("own_nets:build", nets, "cpu", **names)
    assert (found.classes, found.head, found.preprocessing.size) == (("a", "b", "c"), "fc", (32, 32))
    assert torch.equal(found.network.fc.weight, STATE["fc.weight"])
    # Case 1 of the field: logits 6, 4, 0 of a softmax.
    expected = [0.8789, 0.1189, 0.0022]
    assert found.probabilities(torch.tensor([[6.0, 4.0, 0.0]]))[0] == pytest.approx(expected, abs=5e-5)
    assert load_classifier("own_nets:build", None, "cpu", **names).source == "the function own_nets:build"


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("own_nets:build", {"classes": ["a", "b", "c"]}, "--activation"),
        ("own_nets:build", {"activation": "softmax"}, "--classes"),
        ("own_nets:build", {"classes": ["a", "b"], "activation": "softmax"}, "3 logits"),
        ("own_nets:build", {"classes": ["a", "b", "a"], "activation": "softmax"}, " a "),
        ("own_nets:nothing", {"classes": ["a"], "activation": "softmax"}, "int"),
        ("own_nets:none", {"classes": ["a"], "activation": "softmax"}, "none"),
        ("no_nets:build", {"classes": ["a"], "activation": "softmax"}, "no_nets"),
    ],
)
def test_what_is_not_stated_of_an_own_network_is_refused(nets, name, options, value):
    with pytest.raises(ModelError, match=re.escape(value)):
        load_classifier(name, nets, "cpu", **options)


def test_a_function_that_only_a_card_names_is_not_run(nets):
    card = {
        "architecture": "own_nets:build",
        "classes": ["a", "b", "c"],
        "activation": "softmax",
        "input_size": [32, 32],
    }
    torch.save({"model_sdict": STATE, "card": json.dumps(card)}, nets)
    with pytest.raises(ModelError, match="--model own_nets:build"):
        load_classifier(None, nets, "cpu")
    assert load_classifier("own_nets:build", nets, "cpu").activation == "softmax"
