"""Progress of a command: a bar on a terminal, regular lines in a log file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from dogcam.cli.heartbeat import SECONDS, Heartbeat

Item = TypeVar("Item")


def tracked(items: Iterable[Item], description: str, total: int, console: Console) -> Iterator[Item]:
    """Yield items, and show how many were yielded.

    Args:
        items: the items.
        description: name of the step.
        total: number of items.
        console: the output.
    """
    with counting(description, console) as count:
        for number, item in enumerate(items, start=1):
            yield item
            count(number, total)


@contextmanager
def counting(
    description: str, console: Console, seconds: float = SECONDS
) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of a step until the context ends.

    Args:
        description: name of the step.
        console: the output.
        seconds: longest time without a line in a log file.

    Yields:
        A function of (done, total).
    """
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    heartbeat = Heartbeat(lambda line: console.print(line, markup=False, soft_wrap=True), seconds)
    heartbeat.begin(description)
    with heartbeat:
        yield heartbeat.count
