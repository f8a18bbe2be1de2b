"""Memory that is freed is used again, unless the environment configures the allocator."""

import ctypes
import os
import subprocess
import sys

import pytest

CLEARED = """
import resource
import numpy
from dogcam.data.allocator import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    numpy.ones(8_000_000, dtype=numpy.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)
def test_freed_memory_is_used_again():
    """Pages that the system clears: those of one array of 8 MB, and of all 20 if a user says otherwise."""
    pages = 8_000_000 / os.sysconf("SC_PAGE_SIZE")
    for setting, n_arrays in ({}, 1), ({"MALLOC_MMAP_THRESHOLD_": "100000"}, 20):
        # numpy asks for large pages, of which one stands for 512.
        environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"} | setting
        done = subprocess.run(
            [sys.executable, "-c", CLEARED], capture_output=True, text=True, env=environment
        )
        assert int(done.stdout) == pytest.approx(n_arrays * pages, rel=0.2), done.stderr
