"""Tell a person at a terminal how far a run is; say the same in plain lines where nobody watches."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from report.record import StageRun

Item = TypeVar("Item")


class ConsoleProgress:
    """A progress bar for each step of a stage, and a line for each stage that ended.

    Args:
        console: where to write; standard error, so that standard output stays free for results.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def track(self, items: Iterable[Item], total: int, description: str, step: int = 1) -> Iterable[Item]:
        """Pass the items on, counting `step` units of `total` for each."""
        with self._bar() as bar:
            task = bar.add_task(description, total=total)
            for item in items:
                yield item
                bar.update(task, advance=step)

    @contextmanager
    def counter(self, description: str) -> Iterator:
        """Yield a function that is told (done, total)."""
        with self._bar() as bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: self._count(bar, task, done, total)

    def _count(self, bar: Progress, task: TaskID, done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if done == total and not self.console.is_terminal:
            self.console.print(f"{bar.tasks[0].description}: {total}", markup=False)

    def say(self, message: str) -> None:
        """Write a line that the user has to know of."""
        self.console.print(message, markup=False, soft_wrap=True)

    def stage_ended(self, run: StageRun) -> None:
        """Write one line about a stage: what was done, why, and how long it took."""
        line = f"{run.name:<10} {run.status:<7} {run.seconds:6.1f} s  {run.reason}"
        self.console.print(line, markup=False, soft_wrap=True)

    def _bar(self) -> Progress:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        # A finished bar goes away: the line about its stage says it all. A log file gets no bars.
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
