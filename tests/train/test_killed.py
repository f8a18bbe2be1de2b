"""A training that is killed at any moment is resumed and ends with the same bytes."""

import csv
import os
import signal
from pathlib import Path

import pytest

from dogcam.cli.main import main
from dogcam.models.checkpoints import load_checkpoint
from dogcam.train.history import HISTORY
from dogcam.train.loop import TrainingLoop
from dogcam.train.state import STATE
from tests.support.processes import forked, status_of
from tests.support.voc_folders import write_patches

KINDS = [["red"], ["blue"], [], ["red", "blue"]]
RESULT = "sample_net.safetensors"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks processes"),
]


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def after(number: int, then):
    """Return a function that does nothing until it is called for the nth time."""
    calls = iter(range(1, number))
    return lambda: next(calls, None) or then()


def kill_in_step(number: int):
    step, reached = TrainingLoop.step, after(number, kill_self)
    TrainingLoop.step = lambda *arguments: (reached(), step(*arguments))[1]


def kill_in_write(number: int):
    """Half of the state is on the disk when the process dies."""
    write, dying = Path.write_bytes, []
    reached = after(number, lambda: dying.append(True))

    def half(path, content):
        if STATE not in path.name:
            return write(path, content)
        reached()
        if dying:
            write(path, content[: len(content) // 2])
            kill_self()
        return write(path, content)

    Path.write_bytes = half


def kill_after_move(number: int):
    """The state stands in its place, its card and the history do not yet."""
    move, reached = Path.replace, after(number, kill_self)

    def moved(path, target):
        found = move(path, target)
        if target.name == STATE:
            reached()
        return found

    Path.replace = moved


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the command in a process, which is prepared to kill itself; return how it ended."""
    root = write_patches(tmp_path_factory.mktemp("data"), {"train": KINDS * 3, "val": KINDS})
    recipe = root / "recipe.toml"
    recipe.write_text('arch = "sample_net"\ninput_size = 32\n')

    def start(out: Path, prepare=lambda number: None, number: int = 0) -> int:
        words = ["train", "--data", root, "--recipe", recipe, "--epochs", 3, "--batch-size", 4]
        words += ["--learning-rate", 0.01, "--device", "cpu", "--threads", 1, "--out", out]

        def work():
            prepare(number)
            main([str(word) for word in words], standalone_mode=False)

        return status_of(forked(work))

    return start


def losses_and_aps(out: Path) -> list[dict]:
    """What the history holds, but for what the clock decided."""
    rows = list(csv.DictReader((out / HISTORY).open()))
    return [{name: row[name] for name in ("epoch", "loss", "ap_red", "ap_blue")} for row in rows]


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory) -> Path:
    """The folder of a training that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert run(out) == 0
    return out


@pytest.mark.parametrize(
    ("prepare", "number", "n_epochs_kept"),
    [
        (kill_in_step, 2, 0),
        (kill_in_step, 5, 1),
        (kill_in_write, 1, 0),
        (kill_in_write, 2, 1),
        (kill_after_move, 2, 2),
        (kill_after_move, 3, 3),
    ],
)
def test_a_killed_training_ends_as_if_nothing_had_happened(
    run, whole, tmp_path, prepare, number, n_epochs_kept
):
    assert run(tmp_path, prepare, number) == -signal.SIGKILL
    state = tmp_path / STATE
    assert (len(load_checkpoint(state).meta["records"]) if state.exists() else 0) == n_epochs_kept
    assert not (tmp_path / RESULT).exists()
    assert bool(list(tmp_path.glob(".*.part"))) == (prepare is kill_in_write)
    assert run(tmp_path) == 0
    assert (tmp_path / RESULT).read_bytes() == (whole / RESULT).read_bytes()
    assert losses_and_aps(tmp_path) == losses_and_aps(whole)
    # The half-written file of the killed process is removed, and no other file is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in whole.iterdir())
