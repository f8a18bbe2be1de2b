"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest
import torch

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
