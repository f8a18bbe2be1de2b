"""Progress of one step after another: bars on a terminal, regular lines in a log file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dogcam.cli.heartbeat import SECONDS, Heartbeat

Item = TypeVar("Item")


class StepProgress:
    """A progress bar for each step; use it as a context manager.

    Args:
        console: the output; by default standard error, because standard output is for results.
        seconds: longest time without a line in a log file.
    """

    def __init__(self, console: Console | None = None, seconds: float = SECONDS) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._heartbeat = Heartbeat(self.say, seconds)

    def __enter__(self) -> Self:
        """Start the regular lines, unless the output is a terminal."""
        if not self.console.is_terminal:
            self._heartbeat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End the regular lines."""
        if not self.console.is_terminal:
            self._heartbeat.__exit__(None, None, None)

    def begin(self, description: str) -> None:
        """Begin a step that does not count."""
        self._heartbeat.begin(description)

    def track(self, items: Iterable[Item], total: int, description: str, step: int = 1) -> Iterator[Item]:
        """Yield the items, and count `step` units of `total` for each."""
        self._heartbeat.begin(description, total)
        with self._bar() as bar:
            task = bar.add_task(description, total=total)
            for number, item in enumerate(items, start=1):
                yield item
                bar.update(task, advance=step)
                self._heartbeat.count(min(number * step, total), total)

    @contextmanager
    def counter(self, description: str) -> Iterator[Callable[[int, int], None]]:
        """Yield a function of (done, total)."""
        self._heartbeat.begin(description)
        with self._bar() as bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: self._count(bar, task, done, total)

    def say(self, message: str) -> None:
        """Print a message for the user."""
        self._heartbeat.spoken()
        self.console.print(message, markup=False, soft_wrap=True)

    def _count(self, bar: Progress, task: TaskID, done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        self._heartbeat.count(done, total)
        if done == total and not self.console.is_terminal:
            self.console.print(f"{bar.tasks[0].description}: {total}", markup=False)

    def _bar(self) -> Progress:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        # A finished bar is removed. A log file has no bars.
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
