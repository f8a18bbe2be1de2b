"""Reuse a whole run: what keeps it, and that no change is missed."""

import os
import re
import shutil
from importlib.metadata import distributions
from pathlib import Path

import pytest

from dogcam.files.states import CLOCK_TICK, state_of, states_below
from report.config import make_config
from report.pipeline import experiment
from report.pipeline.unchanged import REUSED, Inputs, installed_packages, note_end, note_file, reuse_run
from report.record.io import read_results
from tests.support.runs import STAGE_NAMES, invoke, options, reasons, record_of, statuses


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def test_the_installed_packages_are_listed_with_their_versions():
    listed = {plain(name.rpartition(".")[0]) for name in installed_packages()}
    assert {plain(f"{each.name}-{each.version}") for each in distributions()} <= listed


class Run:
    """A finished run with inputs that a test may change, noted as ended."""

    def __init__(self, root: Path, data: Path, checkpoint: Path, finished: Path) -> None:
        self.data = shutil.copytree(data, root / "data")
        self.checkpoint = Path(shutil.copy(checkpoint, root / "network.safetensors"))
        self.card = Path(shutil.copy(checkpoint.with_suffix(".json"), self.checkpoint.with_suffix(".json")))
        self.out = shutil.copytree(finished, root / "out")
        self.settings = {"data": str(self.data), "checkpoint": str(self.checkpoint)}
        self.cache = root / "cache"
        self.begun = self.inputs()

    def inputs(self) -> Inputs:
        paths = (self.data, self.checkpoint, self.card)
        return Inputs.of(make_config(**self.settings), self.cache, paths)

    def end(self) -> None:
        note_end(self.out, self.begun, make_config(**self.settings), self.cache, read_results(self.out))

    def is_reused(self, **settings: object) -> bool:
        config = make_config(**self.settings | settings)
        return reuse_run(config, self.out, self.cache, "dogcam-report run", lambda stage: None) is not None


@pytest.fixture
def run(small_data, small_checkpoint, finished, tmp_path):
    made = Run(tmp_path, small_data, small_checkpoint, finished)
    made.end()
    return made


def test_an_unchanged_run_is_reused_more_than_once(run):
    assert run.is_reused() and run.is_reused()


def change_a_byte(path: Path) -> None:
    """Change a file without changing its size and its time of the last change."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


CHANGES = {
    "a photograph": lambda run: change_a_byte(first(run.data, "test*.jpg")),
    "a mask": lambda run: change_a_byte(first(run.data, "test*.png")),
    "an annotation": lambda run: change_a_byte(first(run.data, "test*.xml")),
    "the list": lambda run: change_a_byte(run.data / "ImageSets/Main/test.txt"),
    "a new file": lambda run: (run.data / "Annotations" / "new.xml").touch(),
    "a mask is gone": lambda run: first(run.data, "test*.png").unlink(),
    "the weights": lambda run: change_a_byte(run.checkpoint),
    "the card": lambda run: change_a_byte(run.card),
    "an output": lambda run: change_a_byte(first(run.out / "stages", "*.npz")),
    "a picture": lambda run: first(run.out / "gallery", "*.webp").unlink(),
    "a table": lambda run: change_a_byte(run.out / "detections.csv"),
    "the record": lambda run: change_a_byte(run.out / "results.json"),
    "the note": lambda run: note_file(run.out, run.cache).write_text("{}"),
    "no note": lambda run: note_file(run.out, run.cache).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_noticed(run, change):
    CHANGES[change](run)
    assert not run.is_reused()


def test_a_file_with_its_old_content_is_hashed_again(run):
    """Whether it was changed in between cannot be seen by its state."""
    path = first(run.data, "test*.jpg")
    path.write_bytes(path.read_bytes())
    assert not run.is_reused()


@pytest.mark.parametrize("setting", [{"seed": 1}, {"limit": 20}, {"tuning_split": None}, {"model": None}])
def test_another_setting_is_another_run(run, setting):
    assert not run.is_reused(**setting)
    assert run.is_reused()


def test_another_cache_and_environment_are_another_run(run, monkeypatch):
    monkeypatch.setenv("DOGCAM_MAX_MEGAPIXELS", "119")
    assert not run.is_reused()
    monkeypatch.delenv("DOGCAM_MAX_MEGAPIXELS")
    assert run.is_reused()
    run.cache = run.cache / "other"
    assert not run.is_reused()


def test_code_counts_and_compiled_code_does_not(run, monkeypatch, tmp_path):
    module = tmp_path / "code" / "module.py"
    module.parent.mkdir()
    module.write_text("VALUE = 1\n")
    monkeypatch.setattr("report.pipeline.unchanged.CODE", (module.parent,))
    assert not run.is_reused()
    run.begun = run.inputs()
    run.end()
    (module.parent / "__pycache__").mkdir()
    (module.parent / "__pycache__" / "module.pyc").write_bytes(b"compiled")
    assert run.is_reused()
    change_a_byte(module)
    assert not run.is_reused()


def test_a_run_during_which_an_input_changed_has_no_note(run):
    note_file(run.out, run.cache).unlink()
    first(run.data, "test*.xml").touch()
    run.end()
    assert not note_file(run.out, run.cache).exists()


def test_a_copied_run_is_not_reused_by_its_note(run, tmp_path):
    run.out = shutil.copytree(run.out, tmp_path / "copy")
    assert not run.is_reused()


def test_a_run_is_reused_under_a_relative_path(run, monkeypatch):
    """`make report` names the folder relative to the checkout."""
    monkeypatch.chdir(run.out.parent)
    run.out = Path(run.out.name)
    assert run.is_reused()


def test_the_command_reuses_a_run_as_a_whole(small_data, small_checkpoint, copied, monkeypatch):
    considered = []
    run_stages = experiment.run_stages
    monkeypatch.setattr(experiment, "run_stages", lambda *given: considered.append(1) or run_stages(*given))
    arguments = options(small_data, small_checkpoint, copied)
    records = []
    for _ in range(3):
        result = invoke(arguments)
        assert result.exit_code == 0, result.output
        assert statuses(copied) == dict.fromkeys(STAGE_NAMES, "reused")
        assert set(reasons(copied).values()) == {REUSED}
        told = [line.split()[:2] for line in result.stderr.splitlines() if "reused" in line]
        assert told == [[name, "reused"] for name in STAGE_NAMES]
        records.append({**record_of(copied), "run": None, "seal": None})
    assert records[0] == records[1] == records[2]
    assert len(considered) == 1
    next(copied.rglob("*.npz")).unlink()
    assert invoke(arguments).exit_code == 0
    assert statuses(copied)["predict"] == "ran"


def test_states_cover_folders_and_links(tmp_path):
    (tmp_path / "real").mkdir()
    file = tmp_path / "real" / "file"
    file.write_text("1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "data")
    missing = tmp_path / "missing"
    found = states_below([tmp_path / "data", missing])
    assert found == {str(tmp_path / "data/link/file"): state_of(file), str(missing): None}
    file.write_text("2")
    assert states_below([tmp_path / "data", missing]) != found


def test_states_of_fresh_files_are_taken_after_a_tick(tmp_path, monkeypatch):
    """A second change within one tick of the clock would leave the same times."""
    file = tmp_path / "file"
    file.write_text("1")
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        os.utime(file, (1, 1))
        monkeypatch.setattr("time.time_ns", lambda: file.stat().st_ctime_ns + int(1.01e9 * CLOCK_TICK))

    monkeypatch.setattr("time.time_ns", lambda: file.stat().st_ctime_ns + int(1e9 * CLOCK_TICK / 2))
    monkeypatch.setattr("time.sleep", sleep)
    assert states_below([tmp_path]) == {str(file): state_of(file)}
    assert slept == [pytest.approx(CLOCK_TICK / 2)]
