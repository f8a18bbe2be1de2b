"""Full disks, odd names, too little memory and signals end every command in one line."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from dogcam.cli.common import ErrorGroup
from dogcam.cli.main import main
from dogcam.cli.signals import keeping
from dogcam.cli.start import start
from dogcam.data.formats import format_named
from dogcam.errors import ConfigError, DogcamError
from report.config import make_config
from tests.support.data_sets import make_split, photograph
from tests.support.processes import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
DOGCAM = "dogcam.cli.start"
NOT_UTF8 = os.fsdecode(b"caf\xe9")


def run(*words: str, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | options.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True, timeout=120, env=environment,
        errors="surrogateescape", **options,
    )  # fmt: skip


def assert_one_line(done, *parts: str) -> None:
    text = done.stderr
    assert "Traceback" not in text and text.count("Error: ") == 1, text
    for part in parts:
        assert part in text


@pytest.fixture
def data(tmp_path):
    format_named("voc").write(tmp_path / "voc", [make_split(tmp_path / "photographs")])
    return tmp_path / "voc"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [[DOGCAM, "validate"], [DOGCAM, "--help"], ["report", "schema"]])
def test_a_full_standard_output_is_one_line(data, words):
    more = [str(data)] if "validate" in words else []
    with Path("/dev/full").open("w") as full:
        done = run(*words, *more, stdout=full)
    assert done.returncode == 1
    assert_one_line(done, "No space left")


def group(fault: BaseException) -> click.Group:
    @click.group(cls=ErrorGroup)
    def commands() -> None:
        """Fail in a certain way."""

    @commands.command()
    def fail() -> None:
        raise fault

    return commands


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (MemoryError(), "--batch-size"),
        (PermissionError(13, "Permission denied", "lists"), "lists: Permission denied"),
        (OSError(36, "File name too long", "x" * 5000), "File name too long"),
        (UnicodeEncodeError("utf-8", NOT_UTF8, 3, 4, "surrogates"), "utf-8"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "UTF-8"),
    ],
)
def test_an_error_of_the_system_is_one_line(fault, word):
    result = CliRunner().invoke(group(fault), ["fail"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert_one_line(result, word)
    assert len(result.stderr) < 1000


def test_names_cannot_steer_the_terminal(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    name = "dog\x1b[2J\x9b31m\u202etac"
    (tmp_path / "boxes.csv").write_text(
        f"image,class,x0,y0,x1,y1\na.png,{name},1,1,20,20\n", encoding="utf-8"
    )
    found = CliRunner().invoke(main, ["validate", str(tmp_path / "boxes.csv")])
    assert r"dog\x1b[2J\x9b31m\u202etac" in found.output
    rows = f"a.png,{name},1,1,20,20\na.png,[red]cat,2,2,9,9\n"
    (tmp_path / "boxes.csv").write_text("image,class,x0,y0,x1,y1\n" + rows, encoding="utf-8")
    scored = rows.replace("20,20", "20,20,0.5").replace("9,9", "9,9,0.5")
    (tmp_path / "found.csv").write_text("image,class,x0,y0,x1,y1,score\n" + scored, encoding="utf-8")
    words = ["evaluate-boxes", str(tmp_path / "boxes.csv"), str(tmp_path / "found.csv")]
    measured = CliRunner().invoke(main, words)
    assert r"dog\x1b[2J\x9b31m" in measured.output and "[red]cat" in measured.output
    refused = CliRunner().invoke(group(ConfigError(f"no {name!s}\tis known\nat all")), ["fail"])
    assert refused.output.strip() == r"Error: no dog\x1b[2J\x9b31m\u202etac" + "\tis known\nat all"


def test_a_reader_that_went_away_ends_the_command_without_a_word():
    result = CliRunner().invoke(group(BrokenPipeError(32, "Broken pipe")), ["fail"])
    assert (result.exit_code, result.stderr) == (1, "")


def test_another_error_is_a_defect_and_keeps_its_traceback():
    result = CliRunner().invoke(group(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
@pytest.mark.parametrize("name", ["café", NOT_UTF8])
def test_a_folder_of_any_name_is_read(data, locale, name):
    odd = data.rename(data.with_name(name))
    done = run(DOGCAM, "validate", str(odd), env=locale, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_photograph_whose_name_is_not_utf8_is_a_fault(tmp_path):
    photograph(tmp_path / "photographs" / f"{NOT_UTF8}.png", (8, 8))
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "photographs")])
    assert result.exit_code == 1 and r"caf\udce9" in result.stdout, result.stdout


def test_names_that_are_not_utf8_stand_in_the_record_with_escapes(tmp_path):
    config = make_config(data=str(tmp_path / NOT_UTF8), checkpoint=f"{NOT_UTF8}.pt").without_paths()
    written = json.loads(config.model_dump_json())
    assert (written["data"], written["checkpoint"]) == ("caf\\udce9", "caf\\udce9.pt")


@pytest.mark.slow
def test_a_run_whose_name_is_not_utf8_is_rendered_and_compared(finished, tmp_path):
    odd = Path(shutil.copytree(finished, tmp_path / NOT_UTF8))
    for words in (["render", str(odd)], ["check", str(odd)], ["diff", str(odd), str(finished)]):
        done = run("report", *words, stdout=subprocess.PIPE, env={"LC_ALL": "C"})
        assert done.returncode == 0, done.stderr


def test_ctrl_c_while_a_command_is_imported_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "slow_to_import.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as ended:
        start("slow_to_import")
    assert ended.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_little_is_imported_before_an_interruption_is_caught():
    """Python prints a traceback if Ctrl-C arrives earlier."""
    code = "import sys; there = {*sys.modules}; import report.__main__; print(*{*sys.modules} - there)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert "dogcam.cli.start" in done.stdout, done.stderr
    assert all(name.split(".")[0] in {"dogcam", "report", "__future__"} for name in done.stdout.split())


WAITING = """
import sys
import time
import click
from rich.console import Console
from dogcam.cli.common import ErrorGroup
from dogcam.cli.signals import keeping

@click.group(cls=ErrorGroup)
def main():
    pass

def items():
    try:
        yield 1
    finally:
        print("closed in time" if sys.meta_path else "closed at the end of the interpreter")

@main.command()
def wait():
    with keeping(lambda: "all is kept in out"), Console().status("waiting"):
        open("began", "w").close()
        kept_by_its_frame = items()
        for _ in kept_by_its_frame:
            time.sleep(60)

main()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_says_what_is_kept_and_shows_the_cursor(tmp_path, number, status):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "wait"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    os.close(theirs)
    wait_until((tmp_path / "began").exists)
    process.send_signal(number)
    said = read_all(ours)
    assert process.wait() == status
    assert "all is kept in out" in said and "Traceback" not in said
    assert "closed in time" in said, said
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("error", [ValueError, DogcamError])
def test_a_signal_that_a_library_turns_into_its_own_error_is_one(number, status, error, request):
    """Code that is no Python may lose the exception of a signal, and report a failure of its own."""
    # A test run in the background of a shell ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    @click.group(cls=ErrorGroup)
    def group():
        pass

    @group.command()
    def load():
        with keeping(lambda: "all is kept in out"):
            try:
                signal.raise_signal(number)
            except BaseException:
                raise error("could not determine the shape") from None

    result = CliRunner().invoke(group, ["load"])
    assert result.exit_code == status, result.output
    assert result.stderr.splitlines()[-1].endswith("; all is kept in out")
    again = CliRunner().invoke(group, ["unknown"])
    assert again.exit_code == 2, "an earlier signal is not remembered"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_arrives_in_a_destructor_is_not_lost(number, status, request, capfd):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    class Destroyed:
        def __del__(self):
            signal.raise_signal(number)

    @click.group(cls=ErrorGroup)
    def group():
        pass

    @group.command()
    def load():
        Destroyed()
        with keeping(lambda: "all is kept in out"):
            time.sleep(60)

    began, hook = time.monotonic(), sys.unraisablehook
    result = CliRunner().invoke(group, ["load"])
    assert time.monotonic() - began < 30
    assert result.exit_code == status, result.output
    assert result.stderr.splitlines()[-1].endswith("; all is kept in out")
    assert "Traceback" not in result.stderr + capfd.readouterr().err
    assert sys.unraisablehook is hook


def read_all(descriptor: int) -> str:
    said = b""
    try:
        while block := os.read(descriptor, 4096):
            said += block
    except OSError:  # how Linux reports that the other end of a terminal was closed
        pass
    return said.decode()


@pytest.mark.slow
def test_too_little_memory_is_one_line(data):
    code = (
        "import resource, sys; from dogcam.cli.main import main; import dogcam.data.validation; "
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30,) * 2); main(['validate', sys.argv[1]])"
    )
    photograph(data / "JPEGImages" / "a.jpg", (16, 16))
    from PIL import Image

    Image.new("RGB", (10_900, 10_900)).save(data / "JPEGImages" / "a.jpg")
    done = subprocess.run(
        [sys.executable, "-c", code, str(data)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
