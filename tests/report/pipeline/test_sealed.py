"""What an interrupted run left is used only if it is whole and of the same run; every stage has a type."""

import os
from typing import Any

import numpy as np
import pytest

from dogcam import files
from dogcam.errors import RecordError
from report.pipeline.experiment import STAGES
from report.pipeline.shared.predictions import _read, is_whole, write_batch

ARRAYS = {"logits": np.arange(6, dtype=np.float32).reshape(2, 3), "grad_cam": np.ones((2, 4, 4), np.float32)}


def test_every_stage_states_the_type_of_its_output():
    assert [stage.name for stage in STAGES if stage.output is Any] == []


@pytest.fixture
def batch(tmp_path):
    path = tmp_path / "reported-00000.npz"
    write_batch(path, ARRAYS, "this run")
    assert is_whole(path, "this run")
    return path


def test_a_batch_of_another_run_is_not_used(batch):
    assert not is_whole(batch, "another run")


def test_a_compressed_batch_is_not_used(batch, monkeypatch):
    """It could unfold to a thousand times its size."""
    monkeypatch.setattr(files, "MAX_UNFOLDED", 1000)
    with np.load(batch) as file:
        content = {name: file[name] for name in file.files}
    np.savez_compressed(batch, **content, more=np.zeros(100_000))
    with pytest.raises(RecordError, match="compressed"):
        _read(batch)
    assert not is_whole(batch, "this run")


@pytest.mark.parametrize("change", ["a number", "a shape", "a type", "a name", "one more", "one less"])
def test_a_changed_batch_is_not_used(batch, change):
    with np.load(batch) as file:
        content = {name: file[name] for name in file.files}
    match change:
        case "a number":
            content["logits"] = content["logits"] + np.float32(1)
        case "a shape":
            content["logits"] = content["logits"].reshape(3, 2)
        case "a type":
            content["logits"] = content["logits"].view(np.int32)
        case "a name":
            content["other"] = content.pop("logits")
        case "one more":
            content["other"] = content["logits"]
        case "one less":
            del content["grad_cam"]
    np.savez(batch, **content)
    assert not is_whole(batch, "this run")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"null", b"\x93NUMPY\x01\x00"])
def test_a_damaged_batch_is_not_used(batch, content):
    batch.write_bytes(content)
    assert not is_whole(batch, "this run")


def test_what_is_no_plain_file_is_not_used(batch):
    batch.unlink()
    os.mkfifo(batch)
    assert not is_whole(batch, "this run")
