"""Progress lines for an output that is no terminal."""

import io
import re
import time

from rich.console import Console

from dogcam.cli.heartbeat import Heartbeat
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


def test_what_was_written_meanwhile_puts_the_line_off():
    lines: list[str] = []
    with Heartbeat(lines.append, seconds=0.4) as beat:
        for _ in range(8):
            beat.spoken()
            time.sleep(0.1)
        assert lines == []


def test_a_log_gets_lines_and_a_terminal_does_not():
    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=200)
        with ConsoleProgress(console, seconds=0.1) as progress:
            for _ in progress.track(range(3), 3, "localise reported"):
                time.sleep(0.25)
        assert ("localise reported: 1/3" in text.getvalue()) == (not terminal)
