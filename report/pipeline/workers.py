"""Use every core: functions of single items, in threads or processes; results in the order of the items."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST = 128
"""Items that are worth the start of processes, which import what the function needs."""

CHUNK = 32
"""Items that a process is given at once."""


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int | None = None
) -> Iterator[Result]:
    """Apply a function to items in threads; at most two results for each thread wait to be taken.

    This helps if the function spends its time outside of Python's lock, as Pillow does when it decodes,
    resizes and encodes.

    Args:
        function: depends on its item only.
        items: taken as they are needed.
        n_threads: None for one on each core.

    Yields:
        The results in the order of the items.
    """
    n_threads = n_threads or n_cores()
    threads = ThreadPoolExecutor(n_threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def in_processes(
    function: Callable[..., Result], *columns: Sequence[Any], n_processes: int | None = None
) -> Iterator[Result]:
    """Apply a function to items in processes; in this one if there are few items, or one core.

    Args:
        function: picklable; its module should import little, because each process imports it.
        columns: for each argument of the function, its values for all items.
        n_processes: None for one on each core.

    Returns:
        The results in the order of the items.
    """
    n_processes = n_processes or n_cores()
    if n_processes == 1 or len(columns[0]) < FEWEST:
        return map(function, *columns)
    return _pool(n_processes).map(function, *columns, chunksize=CHUNK)


@cache
def _pool(n_processes: int) -> ProcessPoolExecutor:
    """Return the processes of this program; started once, they end with it."""
    # Forking a process in which torch has started threads can deadlock.
    return ProcessPoolExecutor(n_processes, get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process if the program is killed: nobody would tell it that no work comes."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
