"""Processes that compute side by side, and end with the process that started them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

from dogcam.data.allocator import keep_freed_memory
from dogcam.data.free_memory import free_memory, used_memory
from dogcam.errors import OutputError


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_fitting() -> int:
    """Return the number of worker processes that fit into free memory, at most one for each core.

    A worker is assumed to need as much memory as this process did at its peak. If the system states neither,
    the number is that of the cores.
    """
    need, free = used_memory("VmHWM"), free_memory()
    return n_cores() if not need or free is None else min(n_cores(), free // need)


@contextmanager
def worker_processes(number: int, begin: Callable[[], None] | None = None) -> Iterator[Executor]:
    """Start processes for the duration of the context.

    They end with the parent, whatever ends it. Ctrl-C reaches the parent alone, which waits until each
    process has ended its current task.

    Args:
        number: how many.
        begin: runs first in each process; picklable.

    Raises:
        OutputError: if a process was killed, by the system for lack of memory, for example.
    """
    # Forking a process in which torch has started threads can deadlock; spawning is safe everywhere.
    pool = ProcessPoolExecutor(number, mp_context=get_context("spawn"), initializer=_begin, initargs=(begin,))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise OutputError(
            "a worker process was killed, perhaps because memory is too small; make room, and run again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[[], None] | None) -> None:
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker holds both ends of the queue of tasks, and would wait for a dead parent forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)
