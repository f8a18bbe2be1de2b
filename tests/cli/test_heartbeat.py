"""Progress lines for an output that is no terminal."""

import io
import re
import time

import pytest
from rich.console import Console

from dogcam.cli.heartbeat import Heartbeat
from dogcam.cli.progress import StepProgress
from dogcam.cli.train import ConsoleObserver
from report.progress import ConsoleProgress


def wait_for(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_line_says_step_done_total_rate_and_time_left():
    lines: list[str] = []
    with Heartbeat(lines.append, seconds=0.1) as beat:
        beat.begin("predict reported", 400)
        time.sleep(0.05)
        beat.count(100, 400)
        wait_for(lambda: len(lines) >= 2)
    assert re.fullmatch(r"predict reported: 100/400, [\d.e+]+/s, \d+ s left", lines[0])
    n = len(lines)
    time.sleep(0.3)
    assert len(lines) == n, "the thread ends with the context"


def test_a_step_that_does_not_count_is_alive_all_the_same():
    lines: list[str] = []
    with Heartbeat(lines.append, seconds=0.1) as beat:
        beat.begin("draw")
        wait_for(lambda: lines)
    assert re.fullmatch(r"draw: \d+ s so far", lines[0])


def test_a_counted_step_that_has_ended_gives_way_to_what_goes_on():
    """ "0 s left" would be stated for as long as the rest of the stage takes."""
    beat = Heartbeat(print)
    beat.begin("evidence")
    beat.begin("point", 60)
    beat.count(59, 60)
    assert beat.line().startswith("point: 59/60, ")
    beat.count(60, 60)
    assert re.fullmatch(r"evidence: \d+ s so far", beat.line())


@pytest.mark.slow
def test_what_was_written_meanwhile_puts_the_line_off():
    lines: list[str] = []
    with Heartbeat(lines.append, seconds=0.4) as beat:
        for _ in range(8):
            beat.spoken()
            time.sleep(0.1)
        assert lines == []


@pytest.mark.slow
def test_a_log_gets_lines_and_a_terminal_does_not():
    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=200)
        with ConsoleProgress(console, seconds=0.1) as progress:
            for _ in progress.track(range(3), 3, "localise reported"):
                time.sleep(0.25)
        assert ("localise reported: 1/3" in text.getvalue()) == (not terminal)


def written(terminal: bool = False) -> tuple[io.StringIO, Console]:
    text = io.StringIO()
    return text, Console(file=text, force_terminal=terminal, width=200)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_command_that_counts_prints_lines_to_a_log_alone(terminal):
    text, console = written(terminal)
    with StepProgress(console, seconds=0.1) as progress, progress.counter("predict") as count:
        count(30, 120)
        if terminal:
            time.sleep(0.3)
        else:
            wait_for(lambda: "\n" in text.getvalue())
    assert bool(re.search(r"^predict: 30/120, [\d.e+]+/s, \d+ s left$", text.getvalue(), re.M)) != terminal


def test_tracking_yields_every_item():
    with StepProgress(written()[1]) as progress:
        assert list(progress.track(iter("abc"), 3, "detect")) == ["a", "b", "c"]


def test_every_part_of_a_training_counts_its_own_images():
    observer = ConsoleObserver(written()[1], n_images=100, epochs=2, eval_split="val")
    steps = []
    for report in (
        lambda: observer.predicted("linear probe", 32, 100),
        lambda: observer.batch_ended(0, 16, 1.0),
        lambda: observer.batch_ended(0, 16, 0.5),
        lambda: observer.predicted("evaluation", 50, 50),
        lambda: observer.batch_ended(1, 16, 0.5),
    ):
        report()
        steps.append(observer.heartbeat.line().split(",")[0])
    expected = ["linear probe: 32/100", "epoch 1/2: 16/100", "epoch 1/2: 32/100", "evaluation: 50/50"]
    assert steps == [*expected, "epoch 2/2: 16/100"]
