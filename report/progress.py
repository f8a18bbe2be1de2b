"""Progress of a run: bars on a terminal, lines in a log file."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dogcam.cli.heartbeat import SECONDS, Heartbeat
from report.record import StageRun

Item = TypeVar("Item")


class ConsoleProgress:
    """A progress bar for each step of a stage, and a line for each stage that ended.

    Args:
        console: the output; by default standard error, because standard output is for results.
        seconds: longest time without a line in a log file.
    """

    def __init__(self, console: Console | None = None, seconds: float = SECONDS) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._heartbeat = Heartbeat(self._print, seconds)

    def __enter__(self) -> "ConsoleProgress":
        """Start the regular lines, unless the output is a terminal."""
        if not self.console.is_terminal:
            self._heartbeat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End the regular lines."""
        if not self.console.is_terminal:
            self._heartbeat.__exit__(None, None, None)

    def stage_began(self, title: str) -> None:
        """Begin a stage."""
        self._heartbeat.begin(title)

    def track(self, items: Iterable[Item], total: int, description: str, step: int = 1) -> Iterable[Item]:
        """Yield the items, and count `step` units of `total` for each."""
        self._heartbeat.begin(description, total)
        with self._bar() as bar:
            task = bar.add_task(description, total=total)
            for number, item in enumerate(items, start=1):
                yield item
                bar.update(task, advance=step)
                self._heartbeat.count(min(number * step, total), total)

    @contextmanager
    def counter(self, description: str) -> Iterator:
        """Yield a function of (done, total)."""
        self._heartbeat.begin(description)
        with self._bar() as bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: self._count(bar, task, done, total)

    def _count(self, bar: Progress, task: TaskID, done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        self._heartbeat.count(done, total)
        if done == total and not self.console.is_terminal:
            self.console.print(f"{bar.tasks[0].description}: {total}", markup=False)

    def say(self, message: str) -> None:
        """Print a message for the user."""
        self._print(message)

    def stage_ended(self, run: StageRun) -> None:
        """Print the line of a stage: its status, the reason, and its time."""
        line = f"{run.name:<12} {run.status:<7} {run.seconds:6.1f} s  {run.reason}"
        self._print(line)

    def _print(self, line: str) -> None:
        self._heartbeat.spoken()
        self.console.print(line, markup=False, soft_wrap=True)

    def _bar(self) -> Progress:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        # A finished bar is removed; the line of the stage replaces it. A log file has no bars.
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
