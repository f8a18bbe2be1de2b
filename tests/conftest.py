"""Fixtures that several test modules share.

Torch is imported by fixtures only: the process that distributes the tests to the workers starts without it.
"""

import gc
import json
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import hypothesis
import pytest
from filelock import FileLock

MARKED_BY_FIXTURE = {
    "browser": "browser",
    "real_data": "photographs",
    # Fixtures that render scenes, draw all figures, start a server, or run whole experiments or trainings.
    "drawings": "slow",
    "endpoint": "slow",
    "predicted": "slow",
    "scenes": "slow",
    "small_data": "slow",
    "voc_tar": "slow",
    "whole": "slow",
    "written": "slow",
    "quick_benches": "gate",
    "site": "gate",
}
"""A test that uses one of these fixtures, directly or not, gets the marker."""

SLOW = ("slow", "browser", "peers", "photographs", "gate")
"""Markers of the tests that `make test-fast` leaves out."""

# `make test-fast` asks for fewer generated cases, `make test ALL=1` and `make oracles` for more. A busy
# machine must not turn a right answer into a failure, so there is no deadline.
hypothesis.settings.register_profile(
    "dogcam", deadline=None, max_examples=int(os.environ.get("DOGCAM_EXAMPLES", "50"))
)
hypothesis.settings.load_profile("dogcam")

# Two workers on two cores: further threads of the processes that tests start would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect garbage seldom, and none of what tests import: a collection looks at every object of torch."""
    gc.disable()
    found = yield
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in MARKED_BY_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKED_BY_FIXTURE[fixture])
    # With `--no-loadscope-reorder` files start in this order: no worker ends alone on a slow one.
    slow = {item.path for item in items if any(map(item.get_closest_marker, SLOW))}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny models are fastest, and sums come out in one order, on one thread."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("DOGCAM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "voc2007").is_dir():
        pytest.skip(f"no real photographs at {folder} (set DOGCAM_DATA to the folder that holds voc2007/)")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that makes a folder once for all workers: `made_once(name, make)` -> the folder."""
    root = (
        tmp_path_factory.mktemp("shared") if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    )

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def run_support() -> ModuleType:
    """The module `tests.support.runs`, imported when a test first needs it."""
    from tests.support import runs

    return runs


@pytest.fixture(scope="session")
def small_data(made_once, run_support) -> Path:
    """A VOC-layout folder of small scenes: tests that change files copy it first."""
    return made_once("scenes", run_support.write_data)


@pytest.fixture(scope="session")
def small_checkpoint(made_once, small_data, run_support) -> Path:
    return made_once("tiny.safetensors", lambda path: run_support.write_checkpoint(path, small_data))


@pytest.fixture(scope="session")
def first_run(made_once, small_data, small_checkpoint, run_support):
    """How the command of a whole run ended, and its folder; tests that change files copy it first."""

    def run(out: Path) -> None:
        result = run_support.invoke(run_support.options(small_data, small_checkpoint, out))
        ending = {name: getattr(result, name) for name in ("exit_code", "output", "stdout", "stderr")}
        out.with_name("run.json").write_text(json.dumps(ending), encoding="utf-8")

    out = made_once("run", run)
    return SimpleNamespace(**json.loads(out.with_name("run.json").read_text(encoding="utf-8"))), out


@pytest.fixture(scope="session")
def finished(first_run) -> Path:
    result, out = first_run
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def several(made_once, small_data, small_checkpoint, run_support) -> Path:
    """The small experiment for all classes, with the dog as the main one."""

    def run(out: Path) -> None:
        more = ("--target", "all", "--main-target", "dog")
        with run_support.quick_sanity():
            result = run_support.invoke(run_support.options(small_data, small_checkpoint, out, *more))
        assert result.exit_code == 0, result.output

    return made_once("several", run)


@pytest.fixture
def quick_drawings(run_support):
    """Leave out what takes a run's time and changes nothing but the figures' looks."""
    with run_support.quick_drawings():
        yield


@pytest.fixture
def quick_runs(run_support):
    """Leave out most of a run's time; the figures' looks and the numbers of the sanity checks differ."""
    with run_support.quick_runs():
        yield


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copyfile))
