"""`dogcam-report render` as it is started from a shell: without torch, soon done, the same bytes anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import render as bench

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND = Path(sys.executable).with_name("dogcam-report")


@pytest.fixture
def without_torch(tmp_path) -> dict[str, str]:
    """An environment in which torch cannot be imported, as where it is not installed."""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(bench.WITHOUT_TORCH)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(REPOSITORY)))}


def start(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    if not COMMAND.is_file():
        pytest.skip(f"{COMMAND} is not there: the package is not installed in this environment")
    command = [str(COMMAND), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_in_this_environment_there_is_no_torch(without_torch):
    """So that the tests below cannot pass because the blocker does not block."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], env=without_torch, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("command", ["diff", "schema"])
def test_commands_that_compute_nothing_need_no_torch(finished, without_torch, command):
    """`render` is tested below; `check` without further libraries, in `test_render.py`."""
    arguments = [str(finished), str(finished)] if command == "diff" else []
    done = start(without_torch, command, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "86400"},
        {"PYTHONHASHSEED": "2", "TZ": "UTC", "LC_ALL": "C", "SOURCE_DATE_EPOCH": ""},
    ],
)
def test_the_same_record_renders_to_the_same_bytes_anywhere(copied, without_torch, surroundings):
    """Time, time zone, language and the order of sets leave no trace in what is rendered."""
    names = ("report.html", "report.md")
    before = {name: (copied / name).read_bytes() for name in names}
    for name in names:
        (copied / name).unlink()
    done = start({**without_torch, **surroundings}, "render", str(copied))
    assert done.returncode == 0, done.stderr
    assert {name: (copied / name).read_bytes() for name in names} == before


def test_the_bench_measures_the_command(copied):
    row = bench.measure_run(copied, rounds=1)
    assert row["n_images"] == 24
    assert 0 < row["seconds_of_python_alone"] < row["seconds"]
    (copied / "report.html").write_text("an older page")
    with pytest.raises(RuntimeError, match="version"):
        bench.measure_run(copied, rounds=1)
