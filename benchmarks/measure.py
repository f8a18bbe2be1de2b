"""Measure the time and the memory growth of work, in a new process."""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

from dogcam.data.allocator import keep_freed_memory
from dogcam.data.free_memory import used_memory

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """The cost of work: seconds, and the peak growth of the memory of the process in MiB.

    The growth is None if the system does not report it.
    """

    seconds: float
    memory_growth_mib: float | None


@dataclass(frozen=True)
class Spread:
    """Summary of several rounds: median, minimum and maximum."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Summarise samples."""
        return cls(statistics.median(samples), min(samples), max(samples))

    def fields(self, name: str) -> dict[str, float]:
        """Return the median as the field `name`, with a field for each end."""
        return {name: self.median, f"{name}_min": self.low, f"{name}_max": self.high}


def with_ends(row: dict[str, object], key: str, form: str) -> str:
    """Format one measure of a row: median (least - most)."""
    return f"{row[key]:{form}} ({row[f'{key}_min']:{form}} - {row[f'{key}_max']:{form}})"


def in_fresh_process(
    function: Callable[..., Result], *args: object, begin: Callable[[], None] | None = keep_freed_memory
) -> Result:
    """Call a function of a module in a new interpreter, and return its result.

    Args:
        function: of a module.
        args: its arguments.
        begin: is called first; by default what a command begins with.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin) as pool:
        return pool.submit(function, *args).result()


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cost_of(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do the work once; return its result and its cost.

    The memory is that of the whole process, so what a library allocates outside of Python counts too. Only
    the first work of a fresh process is measured rightly: later work finds memory that earlier work freed.
    """
    gc.collect()
    _return_freed_memory()
    before = _start_peak()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    after = peak_mib()
    return result, Cost(seconds, None if before is None or after is None else after - before)


def peak_mib() -> float | None:
    """Return the peak of memory of this process in MiB; None if the system does not report it."""
    return _memory_mib("VmHWM")


def _return_freed_memory() -> None:
    """Make the C library return freed memory; otherwise work that fits into it seems to need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _start_peak() -> float | None:
    """Reset the peak, and return the memory in use in MiB; None if that is impossible.

    `getrusage` would not do: its peak cannot be reset, so that it hides work smaller than the loading of the
    data, and a new process begins with the peak of the one that started it.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or no access to the file
        return None
    return _memory_mib("VmRSS")


def _memory_mib(field: Literal["VmRSS", "VmHWM"]) -> float | None:
    kib = used_memory(field)
    return None if kib is None else kib / 1024
