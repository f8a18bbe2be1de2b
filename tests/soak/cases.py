"""One case of the soak: a fresh copy of the inputs, one fault or one kill, a command, and how it ended."""

import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from dogcam.cli.main import main as dogcam_main
from report.cli import main as report_main
from tests.soak.faults import MARKER, faults_of
from tests.support import runs

MOST_MEMORY = 2 * 1024**3
"""Bytes that a command may take beyond what the soak itself holds."""

GOOD = ("accepted", "refused", "resumed, same bytes")
"""The outcomes that a case may have; every other one is a finding."""


@dataclass(frozen=True)
class Ending:
    """How a command ended: exit status (negative: a signal; None: out of time), output, memory in bytes."""

    status: int | None
    output: str
    memory: int


@dataclass(frozen=True)
class Material:
    """The inputs that every case copies: a folder with data, weights, a finished run and box files."""

    folder: Path
    seconds: float  # that one whole run took

    @property
    def limit(self) -> float:
        """Seconds until a command counts as hanging."""
        return 10 + 4 * self.seconds


def prepare(folder: Path) -> Material:
    """Write the inputs, and finish one run and one training of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    data = runs.write_data(folder / "data")
    runs.write_checkpoint(folder / "tiny.safetensors", data)
    (folder / "truth.json").write_text(
        '{"images": [{"id": "a", "width": 40, "height": 30, "dogs": [[1, 2, 20, 28]]},\n'
        ' {"id": "b", "width": 40, "height": 30, "dogs": []}]}\n'
    )
    (folder / "boxes.json").write_text('{"a": [[1, 2, 20, 27, 0.5]],\n "b": [[3, 4, 5, 6, 0.25]]}\n')
    (folder / "recipe.toml").write_text(
        'arch = "sample_net"\ninput_size = 32\n[training]\nepochs = 2\nbatch_size = 8\nlearning_rate = 1e-3\n'
    )
    (folder / "precious.txt").write_text(MARKER)
    start = time.monotonic()
    ending = call(commands(folder)["run"], None)
    assert ending.status == 0, ending.output
    shutil.copytree(folder / "run", folder / "run-before")
    return Material(folder, time.monotonic() - start)


def commands(folder: Path) -> dict[str, tuple[Callable[..., object], list[str]]]:
    """Return the commands that the soak runs on a copy of the inputs: function and words, by name."""
    run = ["run", "--data", "data", "--split", "test", "--limit", "6", "--tuning-split", "val",
           "--tuning-limit", "6", "--model", "sample_net", "--checkpoint", "tiny.safetensors",
           "--device", "cpu", "--out", "run"]  # fmt: skip
    train = ["train", "--data", "data", "--split", "val", "--eval-split", "test", "--recipe", "recipe.toml",
             "--device", "cpu", "--threads", "1", "--out", "trained"]  # fmt: skip
    photo = sorted((folder / "data" / "JPEGImages").iterdir())[0].relative_to(folder)
    weights = ["--model", "sample_net", "--checkpoint", "tiny.safetensors", "--device", "cpu"]
    words: dict[str, tuple[Callable[..., object], list[str]]] = {
        "run": (report_main, run),
        "train": (dogcam_main, train),
        "render": (report_main, ["render", "run"]),
        "check": (report_main, ["check", "run"]),
        "diff": (report_main, ["diff", "run-before", "run"]),
        "evaluate-boxes": (dogcam_main, ["evaluate-boxes", "truth.json", "boxes.json"]),
        "explain": (dogcam_main, ["explain", str(photo), *weights, "--out", "maps"]),
    }
    return {name: (partial(_in_folder, folder, function), line) for name, (function, line) in words.items()}


INPUTS = {
    "run": ("data/**/*", "tiny.safetensors", "run/stages/**/*", "run/results.json", "run/*.csv"),
    "train": ("data/**/*", "recipe.toml"),
    "render": ("run/results.json", "run/gallery/*", "run/figures/*"),
    "check": ("run/results.json", "run/report.*"),
    "diff": ("run/results.json", "run/*.csv", "run-before/*.csv"),
    "evaluate-boxes": ("truth.json", "boxes.json"),
    "explain": ("data/JPEGImages/*", "tiny.safetensors"),
}
"""For each command the files that it reads, as patterns."""


def faulty(material: Material, folder: Path, command: str, random: Random) -> tuple[str, str, str]:
    """Damage one file that a command reads, run the command; return outcome, what was done, and output."""
    shutil.copytree(material.folder, folder, symlinks=True)
    files = sorted({path for each in INPUTS[command] for path in folder.glob(each) if path.is_file()})
    if command == "explain":
        files = [files[0], folder / "tiny.safetensors"]
    path = random.choice(files)
    fault = random.choice(faults_of(path))
    with suppress(ValueError, IndexError):  # nothing to change in this file: the command gets it as it is
        fault(path, random)
    ending = call(commands(material.folder)[command], material.limit, folder)
    # The copy alone is changed; what lies outside of the run's folder must stay.
    outcome = judge(ending, folder)
    return outcome, f"{command}: {path.relative_to(folder)} {fault.__name__}", ending.output


def killed(material: Material, folder: Path, command: str, random: Random) -> tuple[str, str, str]:
    """Kill a command at a random moment, run it again; its results must be those of an undisturbed one."""
    results = {"run": ("run", ("detections.csv", "images.csv", "ground_truth.csv")),
               "train": ("trained", ("sample_net.safetensors",))}  # fmt: skip
    whole = material.folder.with_name(f"{material.folder.name}-{command}")
    if not whole.exists():
        _fresh(material, whole, command)
        ending = call(commands(whole)[command], None)
        assert ending.status == 0, ending.output
    _fresh(material, folder, command)
    number = random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    delay = random.uniform(0, material.seconds)
    first = call(commands(folder)[command], material.limit, kill=(number, delay))
    what = f"{command}: {number.name} after {delay:.1f} s"
    if first.status not in (0, -number, 128 + number) or "Traceback" in first.output:
        return "traceback", what, first.output
    again = call(commands(folder)[command], material.limit)
    if again.status != 0:
        return "not resumed", what, again.output
    name, files = results[command]
    same = all((folder / name / file).read_bytes() == (whole / name / file).read_bytes() for file in files)
    left = {path.relative_to(folder) for path in folder.rglob("*")}
    extra = {str(path) for path in left - {path.relative_to(whole) for path in whole.rglob("*")}}
    extra = {path for path in extra if "stages/" not in path}
    outcome = (
        "resumed, same bytes" if same and not extra else "resumed, other bytes" if not same else "left over"
    )
    return outcome, f"{what} {sorted(extra)[:3] if extra else ''}", again.output


def _fresh(material: Material, folder: Path, command: str) -> None:
    shutil.copytree(material.folder, folder, symlinks=True)
    shutil.rmtree(folder / ("run" if command == "run" else "trained"), ignore_errors=True)


def judge(ending: Ending, folder: Path) -> str:
    """Return the outcome of a command on a faulty input."""
    if ending.status is None:
        return "hang"
    if ending.memory > MOST_MEMORY:
        return "memory"
    precious = folder / "precious.txt"
    if not precious.is_file() or precious.read_text() != MARKER:
        return "changed outside"
    written = [path for name in ("run", "maps", "trained") for path in (folder / name).rglob("*")]
    if any(
        path.is_file() and not path.is_symlink() and MARKER.encode() in path.read_bytes() for path in written
    ):
        return "leaked"
    if "Traceback" in ending.output or ending.status < 0:
        return "traceback"
    if ending.status == 0:
        return "accepted"
    lines = re.findall(r"^error: ", ending.output, flags=re.MULTILINE | re.IGNORECASE)
    return "refused" if len(lines) == 1 else "no message"


def call(
    command: tuple[Callable[..., object], list[str]],
    limit: float | None,
    folder: Path | None = None,
    *,
    kill: tuple[int, float] | None = None,
) -> Ending:
    """Run a command in a forked process, which has torch loaded already.

    Args:
        command: function and words.
        limit: seconds; then the process is killed. None: as long as it takes.
        folder: where it runs, if not where the command says.
        kill: a signal, and the seconds after which it is sent.
    """
    function, words = command
    output = Path(f"{folder or function.args[0]}.out")  # type: ignore[attr-defined]
    output.unlink(missing_ok=True)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if child == 0:
        _become(function, words, output, folder)
    start, status, used = time.monotonic(), 0, None
    while used is None:
        done, status, found = os.wait4(child, os.WNOHANG)
        used = found if done else None
        passed = time.monotonic() - start
        if not done and kill is not None and passed > kill[1]:
            os.kill(child, kill[0])
            kill = None
        if not done and limit is not None and passed > limit:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            return Ending(None, output.read_text(errors="replace"), 0)
        time.sleep(0.01)
    memory = max(0, used.ru_maxrss - base) * 1024
    return Ending(os.waitstatus_to_exitcode(status), output.read_text(errors="replace"), memory)


def _become(function: Callable[..., object], words: list[str], output: Path, folder: Path | None) -> None:
    """Run the command and end the process; never returns."""
    status = 70
    try:
        os.setsid()
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        try:
            function(words, folder)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _in_folder(home: Path, function: Callable[..., object], words: list[str], folder: Path | None) -> None:
    os.chdir(folder or home)
    function(words)
