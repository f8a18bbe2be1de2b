"""One case of the soak: a fresh copy of the inputs, faults or kills, a command, and how it ended."""

import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from dogcam.data.conversion import convert
from dogcam.data.formats import format_named
from dogcam.data.reading import read_split
from dogcam.models.classifier import load_classifier
from dogcam.structures.rules import ReadRules
from tests.soak.commands import COMMANDS, Command
from tests.soak.faults import MARKER, faults_of, odd_option
from tests.support import runs
from tests.support.localisers import localiser_for
from tests.support.processes import group_lives

MOST_MEMORY = 2 * 1024**3
"""Bytes that a command may take beyond what the soak itself holds."""

MOST_SECONDS = 10
"""Processor seconds that a faulty input may cost beyond what the sound one does."""

GOOD = ("accepted", "refused", "resumed, same bytes")
"""The outcomes that a case may have; every other one is a finding."""

RESULTS = {
    "run": ("run", ("*.csv", "figures/*", "gallery/*")),
    "train": ("trained", ("sample_net.safetensors",)),
}
"""For each command that is killed its folder, and the files that must be equal afterwards."""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        status: exit status; negative for a signal, None if the time was over.
        output: both streams.
        memory: bytes beyond those of the soak.
        left: what it left running or lying: processes of its group, temporary files.
    """

    status: int | None
    output: str
    memory: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """The inputs that every case copies: data sets, weights, a finished run, box files.

    Attributes:
        folder: where they are.
        seconds: processor seconds that one whole run and one training took.
    """

    folder: Path
    seconds: dict[str, float]


def prepare(folder: Path, finished: Path | None = None) -> Material:
    """Write the inputs, and finish one run and one training.

    Args:
        folder: where to write.
        finished: the folder of a finished run, which is then not made; `run` itself cannot be called with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voc = runs.write_data(folder / "voc", n_train=4, n_tuning=8, n_test=8)
    for name in ("coco", "yolo", "csv"):
        convert(voc, folder / name, format_named(name), ReadRules(), allow_loss=True)
    runs.write_checkpoint(folder / "tiny.safetensors", voc)
    classifier = load_classifier("sample_net", folder / "tiny.safetensors", device="cpu")
    localiser_for(classifier).save(folder / "localiser.safetensors")
    _write_boxes(folder, voc)
    (folder / "recipe.toml").write_text(
        'arch = "sample_net"\ninput_size = 32\n[training]\nepochs = 3\nbatch_size = 4\nlearning_rate = 1e-3\n'
    )
    (folder / "precious.txt").write_text(MARKER)
    whole = folder.with_name(f"{folder.name}-whole")
    shutil.copytree(folder, whole)
    seconds = {}
    for name in RESULTS if finished is None else ("train",):
        start = time.monotonic()
        ending = call(COMMANDS[name], whole, None)
        assert ending.status == 0, ending.output
        seconds[name] = time.monotonic() - start
    for name in ("run", "before"):
        shutil.copytree(finished or whole / "run", folder / name)
    return Material(folder, seconds)


def _write_boxes(folder: Path, voc: Path) -> None:
    """Write a ground truth, and detections in every form."""
    (folder / "truth.json").write_text(
        '{"images": [{"id": "a", "width": 40, "height": 30, "dogs": [[1, 2, 20, 28]]},\n'
        ' {"id": "b", "width": 40, "height": 30, "dogs": []}]}\n'
    )
    (folder / "boxes.json").write_text('{"a": [[1, 2, 20, 27, 0.5]],\n "b": [[3, 4, 5, 6, 0.25]]}\n')
    found = folder / "found"
    (found / "yolo").mkdir(parents=True)
    names = [image.id for image in read_split(voc, "test").images]
    numbers = {each["name"]: each["id"] for each in _coco(folder)["categories"]}
    images = {Path(each["file_name"]).stem: each["id"] for each in _coco(folder)["images"]}
    rows = [
        {"image_id": images[name], "category_id": numbers["dog"], "bbox": [3, 4, 20, 10 + n], "score": 0.5}
        for n, name in enumerate(names)
    ]  # fmt: skip
    (found / "coco.json").write_text(json.dumps(rows))
    (found / "voc_dog.txt").write_text("".join(f"{name} 0.5 3 4 20 30\n" for name in names))
    (found / "boxes.csv").write_text(
        "image,class,x0,y0,x1,y1,score\n" + "".join(f"{name},dog,3,4,20,30,0.5\n" for name in names)
    )
    for name in names:
        (found / "yolo" / f"{name}.txt").write_text("0 0.5 0.5 0.25 0.5 0.75\n")


def _coco(folder: Path) -> dict:
    return json.loads(next((folder / "coco" / "annotations").glob("*test.json")).read_text())


def chosen(random: Random, material: Material) -> str:
    """Return the name of a command that the material is for."""
    names = [name for name in COMMANDS if name not in RESULTS or name in material.seconds]
    return random.choices(names, [COMMANDS[name].weight for name in names])[0]


def faulty(material: Material, folder: Path, name: str, random: Random) -> tuple[str, str, str]:
    """Damage what a command reads, run the command; return outcome, what was done, and output."""
    shutil.copytree(material.folder, folder, symlinks=True)
    command, done = COMMANDS[name], []
    if random.random() < 0.15:
        command = replace(command, words=odd_option(command.words, random))
        done = [" ".join(command.words)[:300]]
    else:
        files = sorted({path for each in command.inputs for path in folder.glob(each) if path.is_file()})
        for path in random.sample(files, min(len(files), random.choice((1, 1, 1, 2, 4)))):
            fault = random.choice(faults_of(path))
            with suppress(ValueError, IndexError):  # nothing to change in this file: it stays as it is
                fault(path, random)
            done.append(f"{path.relative_to(folder)} {fault.__name__}")
    ending = call(command, folder, MOST_SECONDS + 2 * max(material.seconds.values()))
    left = f" left {', '.join(ending.left)}" if ending.left else ""
    return judge(ending, folder), f"{name}: {', '.join(done)}{left}", ending.output


def killed(material: Material, folder: Path, name: str, random: Random) -> tuple[str, str, str, int]:
    """Kill a command several times at random moments, then let it end; its results must be the same.

    Returns:
        Outcome, what was done, output, and how many kills there were.
    """
    shutil.copytree(material.folder, folder, symlinks=True)
    name_of_folder, patterns = RESULTS[name]
    shutil.rmtree(folder / name_of_folder, ignore_errors=True)
    whole = material.folder.with_name(f"{material.folder.name}-whole") / name_of_folder
    done: list[str] = []
    for _ in range(random.randint(3, 8)):
        number = random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        delay = random.uniform(0, material.seconds[name] / 2)
        ending = call(COMMANDS[name], folder, None, kill=(number, delay))
        done.append(f"{number.name} after {delay:.1f} s: {ending.status}")
        what = f"{name}: {', '.join(done)}"
        if ending.status not in (0, -number, 128 + number) or "Traceback" in ending.output:
            return "traceback", what, ending.output, len(done)
        if ending.left:
            return "left over", f"{what} {ending.left}", ending.output, len(done)
        if ending.status == 128 + number and "interrupted" not in ending.output + "interrupted" * (
            number == 15
        ):
            return "no message", what, ending.output, len(done)
        if ending.status == 0:
            break
    ending = call(COMMANDS[name], folder, None)
    what = f"{name}: {', '.join(done)}"
    if ending.status != 0:
        return "not resumed", what, ending.output, len(done)
    mine = folder / name_of_folder
    for pattern in patterns:
        names = sorted(path.relative_to(whole) for path in whole.glob(pattern))
        if sorted(path.relative_to(mine) for path in mine.glob(pattern)) != names:
            return "left over", f"{what} {pattern}", ending.output, len(done)
        if any((mine / each).read_bytes() != (whole / each).read_bytes() for each in names):
            return "resumed, other bytes", what, ending.output, len(done)
    extra = {path.name for path in mine.iterdir()} ^ {path.name for path in whole.iterdir()}
    if extra:
        return "left over", f"{what} {sorted(extra)}", ending.output, len(done)
    return "resumed, same bytes", what, ending.output, len(done)


def judge(ending: Ending, folder: Path) -> str:
    """Return the outcome of a command on a faulty input."""
    if ending.status is None:
        return "hang"
    if ending.memory > MOST_MEMORY:
        return "memory"
    precious = folder / "precious.txt"
    if not precious.is_file() or precious.read_text() != MARKER:
        return "changed outside"
    outputs = ("run", "maps", "trained", "converted", "found.json", "tuned.json")
    written = [path for name in outputs for path in (folder / name, *(folder / name).rglob("*"))]
    if any(
        path.is_file() and not path.is_symlink() and MARKER.encode() in path.read_bytes() for path in written
    ):
        return "leaked"
    if "Traceback" in ending.output or ending.status < 0:
        return "traceback"
    if ending.left:
        return "left over"
    if ending.status == 0:
        return "accepted"
    lines = re.findall(
        r"^(?:error: |1 fault$|[\d,]+ faults$)", ending.output, flags=re.MULTILINE | re.IGNORECASE
    )
    return "refused" if len(lines) == 1 else "no message"


def call(
    command: Command, folder: Path, limit: float | None, *, kill: tuple[int, float] | None = None
) -> Ending:
    """Run a command in a forked process, which has torch loaded already.

    Args:
        command: what to run.
        folder: where it runs.
        limit: processor seconds; then the process is killed. None: as long as it takes.
        kill: a signal, and the seconds after which it is sent.
    """
    output = folder.with_name(f"{folder.name}.out")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if child == 0:
        _become(command, output, folder, limit)
    start, used = time.monotonic(), None
    while used is None:
        done, status, found = os.wait4(child, os.WNOHANG)
        used = found if done else None
        passed = time.monotonic() - start
        if not done and kill is not None and passed > kill[1]:
            os.kill(child, kill[0])
            kill = None
        # A process that sleeps takes no processor time: six times as much is waited for it.
        if not done and limit is not None and passed > 6 * limit:
            os.killpg(child, signal.SIGKILL)
            os.wait4(child, 0)
            return Ending(None, output.read_text(errors="replace"))
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    text = output.read_text(errors="replace") if output.exists() else ""
    output.unlink(missing_ok=True)
    if code == -signal.SIGXCPU:
        return Ending(None, text)
    return Ending(code, text, max(0, used.ru_maxrss - base) * 1024, _left(child, folder, killed=code == -9))


def _left(group: int, folder: Path, killed: bool) -> tuple[str, ...]:
    """Return the processes that a command left behind, and its temporary files unless it was killed."""
    # Workers notice within a second that their parent is gone; on a busy machine they wait for their turn.
    for _ in range(1000):
        if not group_lives(group):
            break
        time.sleep(0.01)
    else:
        os.killpg(group, signal.SIGKILL)
        return (f"the process group {group}",)
    parts = () if killed else folder.rglob(".*")
    return tuple(sorted(str(path.relative_to(folder)) for path in parts))


def _become(command: Command, output: Path, folder: Path, limit: float | None) -> None:
    """Run the command and end the process; never returns."""
    status = 70
    try:
        os.setsid()
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        try:
            command.run_in(folder)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
