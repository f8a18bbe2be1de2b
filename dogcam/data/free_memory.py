"""The memory that this process uses and that others may still use, as Linux states them."""

from pathlib import Path
from typing import Literal

_GROUP = Path("/sys/fs/cgroup")
"""Where Linux states the memory of a container."""


def used_memory(field: Literal["VmRSS", "VmHWM"]) -> int | None:
    """Return the memory of this process in KiB: VmRSS now, VmHWM at its peak; None on other systems."""
    return _number_in(Path("/proc/self/status"), f"{field}:")


def free_memory() -> int | None:
    """Return the free memory of the machine in KiB, or of the container if that is less.

    None if the system is not Linux.
    """
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
