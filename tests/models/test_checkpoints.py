"""Checkpoints in every published form load; everything else is refused, and nothing in a file is run."""

import hashlib
import json
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dogcam import files
from dogcam.errors import ModelError, OutputError
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into, save_checkpoint, weights_sha256


def make_model(outputs: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    return nn.Sequential(OrderedDict(body=body, fc=nn.Linear(5, outputs)))


def make_published(model: nn.Module) -> dict:
    """What a training loop with AdamW saves: with a step taken, so that the optimizer holds tensors."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    return {"i_epoch": 19, "model_sdict": model.state_dict(), "optimizer_sdict": optimizer.state_dict()}


def same_state(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_published_form_loads_without_the_optimizer(tmp_path, zipped):
    model, path = make_model(), tmp_path / "model_at_epoch_019.pth.tar"
    torch.save(make_published(model), path, _use_new_zipfile_serialization=zipped)
    checkpoint = load_checkpoint(path)
    assert checkpoint.meta == {"i_epoch": 19}
    assert same_state(checkpoint.state, model.state_dict())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("parallel", [True, False])
def test_bare_state_dict_loads_and_loses_the_data_parallel_prefix(tmp_path, zipped, parallel):
    model, path = make_model(), tmp_path / "weights.pt"
    saved = nn.DataParallel(model) if parallel else model
    torch.save(saved.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert same_state(load_checkpoint(path).state, model.state_dict())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_numpy_scalars_of_an_optimizer_are_read(tmp_path, zipped):
    payload = make_published(make_model())
    payload["optimizer_sdict"]["param_groups"][0]["lr"] = np.float64(5e-5)
    payload |= {"i_epoch": np.int64(19), "best": np.float32(0.25), "done": np.bool_(True), "low": np.int8(-7)}
    path = tmp_path / "old.pth.tar"
    torch.save(payload, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):  # torch alone refuses it, so our stand-ins do the work
        torch.load(path, weights_only=True)
    meta = load_checkpoint(path).meta
    assert meta == {"i_epoch": 19, "best": 0.25, "done": True, "low": -7}
    assert [type(value) for value in meta.values()] == [int, float, bool, int]


def test_scalars_from_numpy_1_and_from_big_endian_machines(tmp_path):
    path = tmp_path / "old.pth"
    payload = {"model_sdict": make_model().state_dict(), "lr": np.float64(0.5)}
    torch.save(payload, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(content)
    assert load_checkpoint(path).meta == {"lr": 0.5}
    path.write_bytes(content.replace(b"X\x01\0\0\0<", b"X\x01\0\0\0>"))  # the byte order, as a pickled string
    assert load_checkpoint(path).meta == {"lr": struct.unpack(">d", struct.pack("<d", 0.5))[0]}


class Trap:
    """Makes a file, `witness`, when it is unpickled."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


class Touch(Trap):
    """The same by way of a module that is not blocked by name."""

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("trap", [Trap, Touch])
def test_code_in_a_checkpoint_does_not_run(tmp_path, monkeypatch, zipped, trap):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # even where the shell lowers the guard
    path, witness = tmp_path / "evil.pth.tar", tmp_path / "witness"
    payload = make_published(make_model()) | {"note": trap(witness)}
    torch.save(payload, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"evil\.pth\.tar.* (posix\.\w+|getattr)"):
        load_checkpoint(path)
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists(), "the trap does not work, so this test shows nothing"


NOT_STORED = {
    "repeated": lambda tensor: torch.zeros(1).expand(10**10),
    "sparse": lambda tensor: tensor.to_sparse(),
    "of no device": lambda tensor: tensor.to("meta"),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "8-bit floats": lambda tensor: tensor.to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore:.*[Ss]parse")
@pytest.mark.parametrize("kind", NOT_STORED)
def test_a_tensor_that_is_not_stored_value_by_value_is_refused(tmp_path, kind):
    """Such as one of 40 GB in a file of a few KiB, or one whose values cannot be checked."""
    state = make_model().state_dict()
    name = next(name for name, tensor in state.items() if tensor.dim() > 1)
    path = tmp_path / "odd.pt"
    torch.save(
        make_published(make_model()) | {"model_sdict": {**state, name: NOT_STORED[kind](state[name])}}, path
    )
    with pytest.raises(ModelError, match=rf"odd\.pt: the tensor {re.escape(name)}"):
        load_checkpoint(path)


def test_a_compressed_checkpoint_is_refused(tmp_path, monkeypatch):
    """It could unfold to a thousand times its size."""
    monkeypatch.setattr(files, "MAX_UNFOLDED", 1000)
    path, small = tmp_path / "whole.pt", tmp_path / "small.pt"
    torch.save({"model_sdict": {"w": torch.zeros(100_000)}}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as made:
        for each in whole.infolist():
            made.writestr(each.filename, whole.read(each))
    assert small.stat().st_size < path.stat().st_size / 10
    assert load_checkpoint(path).state["w"].numel() == 100_000
    with pytest.raises(ModelError, match=r"small\.pt is a compressed archive"):
        load_checkpoint(small)


@pytest.mark.parametrize("endless", [True, False])
def test_mappings_nested_without_end_are_refused(tmp_path, endless):
    payload: dict = {}
    inner = payload
    for _ in range(200):
        inner["state_dict"] = inner = {}
    if endless:
        inner["state_dict"] = payload
    torch.save(payload, tmp_path / "deep.pt")
    with pytest.raises(ModelError, match=r"deep\.pt"):
        load_checkpoint(tmp_path / "deep.pt")


@pytest.mark.parametrize(
    ("thing", "asked_for"),
    [
        (nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (np.arange(3.0), r"numpy\.\S*_reconstruct"),
        (np.str_("abc"), r"numpy\.dtype"),
        (defaultdict(dict), r"collections\.defaultdict"),
    ],
    ids=["module", "array", "text", "defaultdict"],
)
def test_what_needs_more_than_tensors_is_refused_by_name(tmp_path, thing, asked_for):
    path = tmp_path / "more.pt"
    torch.save({"model_sdict": make_model().state_dict(), "thing": thing}, path)
    with pytest.raises(ModelError, match=rf"more\.pt.* {asked_for}") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value), "torch's advice to load unsafely must not reach the user"
    assert "state_dict()" in str(caught.value)


def test_stand_ins_are_gone_after_the_load(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save(make_model().state_dict(), tmp_path / "good.pt")
    load_checkpoint(tmp_path / "good.pt")
    (tmp_path / "bad.pt").write_bytes(b"<html>")
    with pytest.raises(ModelError):
        load_checkpoint(tmp_path / "bad.pt")
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.6, 0.9, 0.995])
def test_truncated_file(tmp_path, zipped, kept):
    path = tmp_path / "short.pth.tar"
    torch.save(make_published(make_model()), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ModelError, match=r"short\.pth\.tar.*checkpoint") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html>Not found", b"hello", bytes(200), pickle.dumps({"a": 1}), pickle.dumps([1], 2)],
    ids=["html", "text", "zeros", "pickle4", "pickle2"],
)
def test_file_that_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.pt.*\(\w+Error: ") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file")
def test_torchscript_is_named(tmp_path):
    path = tmp_path / "script.pt"
    torch.save(make_model().state_dict(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("script/constants.pkl", b"")  # what tells a program from weights
    with pytest.raises(ModelError, match=r"script\.pt.*TorchScript"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_empty_missing_and_folder(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ModelError, match=rf"{name}.*No such file"):
        load_checkpoint(path)
    path.touch()
    with pytest.raises(ModelError, match=rf"{name}.* 0 bytes"):
        load_checkpoint(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError, match=rf"{name}.* folder"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ([torch.ones(1)], "contains a list"),
        ({}, "found an empty dict"),
        ({"model_sdict": {}}, "found 'model_sdict'"),
        ({"model_sdict": 3}, "found 'model_sdict'"),
        ({"mine": {"a": torch.ones(1)}, "yours": {"a": torch.ones(1)}}, "found tensors under 'mine'"),
        ({1: torch.ones(1)}, "found 1"),
    ],
)
def test_payload_without_a_state(tmp_path, payload, found):
    torch.save(payload, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=rf"odd\.pt .*{found}"):
        load_checkpoint(tmp_path / "odd.pt")


def test_load_into_copies_every_value():
    source, target = make_model(seed=1), make_model(seed=2)
    load_into(target, Checkpoint(source.state_dict()), Path("any"))
    assert same_state(target.state_dict(), source.state_dict())


def test_load_into_names_what_does_not_fit_and_leaves_the_model_alone():
    model = make_model(outputs=9)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = make_model(outputs=20, seed=1).state_dict()
    for index in range(5):
        state[f"head.{index}"] = torch.ones(1)
    del state["body.0.weight"]
    with pytest.raises(ModelError) as caught:
        load_into(model, Checkpoint(state), Path("voc.pt"))
    message = str(caught.value)
    assert message.startswith("voc.pt does not fit this Sequential: ")
    assert "the file lacks body.0.weight;" in message
    assert "the model has no head.0, head.1, head.2 and 2 more;" in message
    assert "fc.weight is (20, 5), the model has (9, 5)" in message
    assert same_state(model.state_dict(), before)


def test_counts_of_batches_may_be_missing_as_in_files_of_old():
    model, other = (nn.Sequential(nn.BatchNorm1d(2)) for _ in range(2))
    other[0].running_mean += 1
    state = {name: tensor for name, tensor in other.state_dict().items() if "num_batches" not in name}
    load_into(model, Checkpoint(state), Path("old.pt"))
    assert model[0].running_mean.tolist() == [1, 1]
    with pytest.raises(ModelError, match=r"old\.pt.* 0\.running_mean"):
        rest = {name: tensor for name, tensor in state.items() if "mean" not in name}
        load_into(model, Checkpoint(rest), Path("old.pt"))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_by_the_name_of_their_tensor(number):
    model, broken = make_model(), make_model(seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name, tensor = next(iter(broken.state_dict().items()))
    tensor.view(-1)[0] = number
    with pytest.raises(ModelError, match=rf"w\.pt.*{re.escape(name)}"):
        load_into(model, Checkpoint(broken.state_dict()), Path("w.pt"))
    assert same_state(model.state_dict(), before)


def test_saved_checkpoint_comes_back(tmp_path):
    model, path = make_model(), tmp_path / "sample.safetensors"
    meta = {"classes": ["dog", "cat"], "seed": 42, "map": 0.5}
    save_checkpoint(path, model.state_dict(), meta)
    checkpoint = load_checkpoint(path)
    assert same_state(checkpoint.state, model.state_dict())
    assert checkpoint.meta == meta | {"weights_sha256": weights_sha256(model)}
    assert json.loads((tmp_path / "sample.json").read_text()) == checkpoint.meta
    assert sorted(file.name for file in tmp_path.iterdir()) == ["sample.json", "sample.safetensors"]
    (tmp_path / "sample.json").unlink()
    assert load_checkpoint(path).meta == checkpoint.meta, "the notes must travel inside the file"


def test_a_name_that_is_not_utf8_makes_no_difference(tmp_path):
    plain, odd = tmp_path / "w.safetensors", tmp_path / f"{os.fsdecode(b'caf' + bytes([233]))}.safetensors"
    for path in (plain, odd):
        save_checkpoint(path, make_model().state_dict(), {"classes": ["dog"]}, card_file=False)
    found, expected = load_checkpoint(odd), load_checkpoint(plain)
    assert (found.meta, found.sealed) == (expected.meta, True) and same_state(found.state, expected.state)
    for damaged in (b"\xff" * 40, odd.read_bytes()[:-9]):
        odd.write_bytes(damaged)
        with pytest.raises(ModelError, match="not a complete safetensors file"):
            load_checkpoint(odd)


def test_equal_states_make_equal_files(tmp_path):
    state = make_model().state_dict()
    turned = dict(reversed(state.items()))
    save_checkpoint(tmp_path / "a.safetensors", state, {"x": 1, "y": 2})
    save_checkpoint(tmp_path / "b.safetensors", turned, {"y": 2, "x": 1})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_tied_and_sliced_tensors_can_be_saved(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "b": base, "column": base[:, 1], "turned": base.T}
    state |= {"scalar": torch.tensor(3), "none": base[:0]}
    save_checkpoint(tmp_path / "tied.safetensors", state, {})
    assert same_state(load_checkpoint(tmp_path / "tied.safetensors").state, state)


def test_safetensors_of_others(tmp_path):
    path, state = tmp_path / "w.safetensors", {"module.a": torch.ones(2), "module.b": torch.zeros(3)}
    save_file(state, path, {"format": "pt"})
    assert load_checkpoint(path).meta == {"format": "pt"}
    assert load_checkpoint(path).state.keys() == {"a", "b"}
    card = tmp_path / "w.json"
    card.write_text(json.dumps({"classes": ["dog"], "weights_sha256": weights_sha256(state)}))
    assert load_checkpoint(path).meta["classes"] == ["dog"]
    card.write_text(json.dumps({"weights_sha256": "0" * 64}))
    with pytest.raises(ModelError, match=r"w\.safetensors.*weights_sha256"):
        load_checkpoint(path)
    card.write_text("{")
    with pytest.raises(ModelError, match=r"w\.json.*JSON: .*line 1"):
        load_checkpoint(path)
    card.write_text("[]")
    with pytest.raises(ModelError, match=r"w\.json.*JSON object"):
        load_checkpoint(path)


def test_damaged_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, make_model().state_dict(), {})
    content = path.read_bytes()
    for broken in (content[:4], content[:-1], b"<html>" * 20):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match=r"w\.safetensors.*(header|metadata)"):
            load_checkpoint(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of full length, one bit turned
    with pytest.raises(ModelError, match=r"w\.safetensors.*weights_sha256"):
        load_checkpoint(path)


def test_a_card_that_was_changed_is_refused(tmp_path):
    """The checksum of the weights does not cover the card."""
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, make_model().state_dict(), {"mean": (0.485, 1), "by": {1: "ö"}})
    checkpoint = load_checkpoint(path)
    assert checkpoint.sealed and checkpoint.meta["mean"] == [0.485, 1] and checkpoint.meta["by"] == {"1": "ö"}
    path.write_bytes(path.read_bytes().replace(b"0.485", b"0.415"))
    with pytest.raises(ModelError, match=r"w\.safetensors.*seal"):
        load_checkpoint(path)


def test_save_refuses_other_endings_and_unwritable_folders(tmp_path):
    with pytest.raises(ModelError, match=r"w\.pt.* \.safetensors"):
        save_checkpoint(tmp_path / "w.pt", make_model().state_dict(), {})
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"file/w\.safetensors.*(File exists|Not a directory)"):
        save_checkpoint(tmp_path / "file" / "w.safetensors", make_model().state_dict(), {})
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(OutputError, match=r"w\.safetensors.*Is a directory"):
        save_checkpoint(tmp_path / "w.safetensors", make_model().state_dict(), {})
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"file", "w.safetensors"}, "an unfinished file was left"


def test_weights_sha256_depends_on_names_dtypes_shapes_and_bytes_alone():
    state = {"a": torch.arange(6, dtype=torch.int32).reshape(2, 3), "b": torch.ones(2)}
    reference = weights_sha256(state)
    assert reference == weights_sha256(dict(reversed(state.items())))
    by_column = {"a": state["a"].T.contiguous().T}
    assert reference == weights_sha256(state | by_column)
    different = [
        {"c": state["a"], "b": state["b"]},
        state | {"a": state["a"].reshape(3, 2)},
        state | {"b": state["b"].view(torch.int32)},
        state | {"b": torch.tensor([1.0, 1.0000001])},
        {"a": state["a"]},
    ]
    assert len({reference, *map(weights_sha256, different)}) == 6


def test_weights_sha256_of_a_model_is_that_of_its_state():
    model = make_model().to(torch.bfloat16)
    assert weights_sha256(model) == weights_sha256(model.state_dict())


def test_weights_sha256_against_a_sum_put_together_by_hand():
    known = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    text = b"('n', 'torch.int64', ())" + struct.pack("<q", 3)
    text += b"('w', 'torch.float32', (2,))" + struct.pack("<2f", 1.0, 2.0)
    assert weights_sha256(known) == hashlib.sha256(text).hexdigest()
