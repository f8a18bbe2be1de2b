"""The training state: written atomically, sealed as a whole, refused if it is another training's."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from dogcam.errors import ConfigError, DataError, ModelError, OutputError
from dogcam.files.locks import dir_lock
from dogcam.models.checkpoints import save_checkpoint, weights_sha256
from dogcam.train.loop import TrainingObserver
from dogcam.train.state import STATE
from tests.support.training import FAST, StopsAt, changed, make_network, run, same_weights


@pytest.fixture
def folder(data, tmp_path):
    """The folder of a training that was interrupted after two epochs."""
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, observer=StopsAt(2))
    return tmp_path


def read(path):
    """Return the tensors of a state, and what is noted in its header."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return load(content), json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["card"])


def write(path, tensors, notes):
    """Write a state as it is, without a seal of its own."""
    path.write_bytes(save(tensors, {"card": json.dumps(notes)}))


def test_the_state_is_one_file(folder):
    assert [path.name for path in folder.glob("training_state*")] == [STATE]


def test_the_state_survives_an_interruption_while_it_is_written(data, folder, monkeypatch):
    before = (folder / STATE).read_bytes()

    def power_cut(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", power_cut)
    with pytest.raises(OutputError, match="No space left"):
        run(data, folder)
    monkeypatch.undo()
    assert (folder / STATE).read_bytes() == before
    whole, _ = run(data, folder.with_name("whole"))
    assert same_weights(run(data, folder)[0], whole)


def change_tensor(tensors, notes):
    tensors["network.head.weight"][0, 0] += 1


def remove_tensor(tensors, notes):
    del tensors["optimizer.0.exp_avg"]


class Rewrites(TrainingObserver):
    """Changes a photograph in the second epoch, and puts its content back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        if epoch == 1:
            content = self.path.read_bytes()
            self.path.write_bytes(b"other")
            self.path.write_bytes(content)


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_an_epoch_in_which_an_image_changed_is_not_kept(data, tmp_path, split):
    path = getattr(data, split).images[3].path
    with pytest.raises(DataError, match=re.escape(str(path))):
        run(data, tmp_path, observer=Rewrites(path))
    assert len(read(tmp_path / STATE)[1]["records"]) == 1


DAMAGES = {
    "a record is removed": lambda tensors, notes: notes["records"].pop(),
    "a record is changed": lambda tensors, notes: notes["records"][0].update(loss=0.25),
    "a setting is changed": lambda tensors, notes: notes["identity"].update(seed=7),
    "the records are missing": lambda tensors, notes: notes.pop("records"),
    "the records are null": lambda tensors, notes: notes.update(records=None),
    "the identity is a list": lambda tensors, notes: notes.update(identity=[]),
    "the seal is missing": lambda tensors, notes: notes.pop("seal"),
    "a number is changed": change_tensor,
    "a tensor is missing": remove_tensor,
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("fixed", [False, True], ids=["", "tensors_fit_their_sum"])
def test_damage_of_any_part_is_noticed(data, folder, damage, fixed):
    tensors, notes = read(folder / STATE)
    damage(tensors, notes)
    if fixed:
        notes["weights_sha256"] = weights_sha256(tensors)
    write(folder / STATE, tensors, notes)
    with pytest.raises(ModelError, match=re.escape(str(folder / STATE))):
        run(data, folder)
    _, history = run(data, folder, resume=False)
    assert len(history.records) == FAST.epochs


FORGERIES = {
    "no records": lambda tensors, notes: notes.update(records=[]),
    "records of other epochs": lambda tensors, notes: notes["records"].pop(0),
    "a record without a loss": lambda tensors, notes: notes["records"][0].pop("loss"),
    "an epoch that is no number": lambda tensors, notes: notes["records"][0].update(epoch="1"),
    "records that are a number": lambda tensors, notes: notes.update(records=3),
    "an identity that is no object": lambda tensors, notes: notes.update(identity="training"),
    "a parameter too many": lambda tensors, notes: tensors.update({"optimizer.99.step": torch.tensor(1.0)}),
    "a parameter without a number": lambda tensors, notes: tensors.update({"optimizer.x": torch.ones(1)}),
    "a moment of another shape": lambda tensors, notes: tensors.update({"optimizer.0.step": torch.ones(3)}),
    "an average": lambda tensors, notes: tensors.update({"average.average.x": torch.ones(3)}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_state_with_a_right_seal_is_validated_too(data, folder, forge):
    tensors, notes = read(folder / STATE)
    forge(tensors, notes)
    kept = {name: notes[name] for name in ("identity", "records")}
    save_checkpoint(folder / STATE, tensors, kept, card_file=False)
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match=re.escape(str(folder / STATE))):
        run(data, folder, network=network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"nothing", "half"])
def test_a_state_that_is_not_whole_is_refused(data, folder, content):
    whole = (folder / STATE).read_bytes()
    (folder / STATE).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ModelError, match="--no-resume"):
        run(data, folder)


def test_the_state_of_another_training_is_refused_unless_it_may_be_replaced(data, folder):
    other = changed(FAST, batch_size=5)
    with pytest.raises(ConfigError, match=r"batch_size is 6, expected 5"):
        run(data, folder, other)
    with pytest.raises(ConfigError, match="initial weights"):
        run(data, folder, network=make_network(seed=1))
    padded = make_network()
    padded.features.convolution.padding = (1, 1)
    with pytest.raises(ConfigError, match=r"network is Sequential \w{16}, expected Sequential"):
        run(data, folder, network=padded)
    _, history = run(data, folder, other, resume=False)
    assert len(history.records) == other.epochs


def test_a_folder_is_used_by_one_training_at_a_time(data, tmp_path):
    part = tmp_path / ".history.csv.1.part"
    part.write_text("half")
    with dir_lock(tmp_path), pytest.raises(OutputError, match=re.escape(str(tmp_path))):
        run(data, tmp_path)
    assert part.exists(), "it may belong to the other program"
    run(data, tmp_path)
    assert not part.exists()
