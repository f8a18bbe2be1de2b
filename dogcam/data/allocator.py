"""The memory allocator of the C library."""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt`, from glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Keep the memory that this process frees, for its next allocations.

    Every layer of a network allocates its activations. By default glibc returns each large block to the
    system, which then clears the pages of the next one: on some virtual machines this takes longer than the
    arithmetic (docs/speed.md). The peak of memory grows by what no later block fits into. Nothing is done for
    other C libraries, or if the environment configures the allocator.
    """
    configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if os.name == "posix" and not configured and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, 2**30)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
