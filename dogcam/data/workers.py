"""Processes that compute side by side, and end with the process that started them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path

from dogcam.data.allocator import keep_freed_memory
from dogcam.errors import OutputError

_GROUP = Path("/sys/fs/cgroup")
"""Where Linux states the memory of a container."""


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_fitting() -> int:
    """Return how many processes that need as much memory as this one have room beside it, one for each core.

    The need is the peak of this process so far; without /proc, one process for each core is assumed to fit.
    """
    need, free = _peak(), _available()
    return n_cores() if not need or free is None else min(n_cores(), free // need)


def _peak() -> int:
    return _number_in(Path("/proc/self/status"), "VmHWM:") or 0


def _available() -> int | None:
    """Return the memory in KiB that is left in the machine, or in the container if that is less."""
    of_machine = _number_in(Path("/proc/meminfo"), "MemAvailable:")
    try:
        limit, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or "max"
        return of_machine
    # The system gives up the cache of files that were read once.
    cached = _number_in(_GROUP / "memory.stat", "inactive_file") or 0
    left = (limit - used + cached) // 1024
    return left if of_machine is None else min(left, of_machine)


def _number_in(file: Path, name: str) -> int | None:
    """Return the number that follows a name at the start of a line."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)


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
