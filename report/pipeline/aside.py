"""Work of a stage that runs in a thread while the stage does other work."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from report.pipeline.context import Context, Silent

Result = TypeVar("Result")


@contextmanager
def aside(function: Callable[..., Result], context: Context, *arguments: Any) -> Iterator[Future[Result]]:
    """Call a function in a thread for the duration of the context, and wait for its end.

    This helps if one of both works outside of Python's lock, as Pillow does when it encodes.

    Args:
        function: called with the context and the arguments; it shows no progress, because a terminal shows
            one bar at a time.
        context, arguments: its arguments.

    Yields:
        The future of its result.
    """
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(function, replace(context, progress=Silent()), *arguments)
