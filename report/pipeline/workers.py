"""Use every core: functions of single items, in threads or processes; results in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray

from dogcam.data.workers import n_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST = 128
"""Items that are worth the start of processes, which import what the function needs."""

CHUNK = 32
"""Items that a process is given at once."""


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
    try:
        yield from in_turn(threads, function, items, 2 * n_threads)
    finally:
        threads.shutdown(cancel_futures=True)


def in_turn(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], most_waiting: int
) -> Iterator[Result]:
    """Apply a function to items by an executor, and yield the results in their order.

    Args:
        executor: of threads, processes or other machines.
        function: depends on its item only.
        items: taken as they are needed.
        most_waiting: how many items are in work, or wait to be taken, before one more is submitted.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > most_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


def in_processes(
    pool: Executor | None, function: Callable[..., Result], *columns: Sequence[Any] | NDArray[Any]
) -> Iterator[Result]:
    """Apply a function to items in the processes of a pool; in this one without a pool or for few items.

    Args:
        pool: starts its processes with the first work.
        function: picklable; its module should import little, because each process imports it.
        columns: for each argument of the function, its values for all items.

    Returns:
        The results in the order of the items.
    """
    if pool is None or len(columns[0]) < FEWEST:
        return map(function, *columns)
    return pool.map(function, *columns, chunksize=CHUNK)


def in_processes_as_made(
    pool: Executor | None, function: Callable[[Item], Result], items: Iterable[Item], n_items: int
) -> Iterator[Result]:
    """Apply a function to items in the processes of a pool while the items are made in this process.

    Args:
        pool, function: as for `in_processes`.
        items: taken as they are needed.
        n_items: how many there are; a few are processed in this process.

    Returns:
        The results in the order of the items.
    """
    if pool is None or n_items < FEWEST:
        return map(function, items)
    return in_turn(pool, function, items, 2 * n_cores())
