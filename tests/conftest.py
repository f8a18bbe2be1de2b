"""Fixtures that several test modules share."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.support import runs as report_fixtures

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny models are fastest, and sums come out in one order, on one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("DOGCAM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "voc2007").is_dir():
        pytest.skip(f"no real photographs at {folder} (set DOGCAM_DATA to the folder that holds voc2007/)")
    return folder


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """A VOC-layout folder of small scenes: tests that change files copy it first."""
    return report_fixtures.write_data(tmp_path_factory.mktemp("experiment") / "scenes")


@pytest.fixture(scope="session")
def small_checkpoint(small_data) -> Path:
    return report_fixtures.write_checkpoint(small_data.parent / "tiny.safetensors", small_data)


@pytest.fixture(scope="session")
def first_run(small_data, small_checkpoint):
    """The result of the command and the folder of a whole run; tests that change files copy it first."""
    out = small_data.parent / "run"
    return report_fixtures.invoke(report_fixtures.options(small_data, small_checkpoint, out)), out


@pytest.fixture(scope="session")
def finished(first_run) -> Path:
    result, out = first_run
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
