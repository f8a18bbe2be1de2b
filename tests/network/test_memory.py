"""A batch that does not fit into memory is halved."""

import pytest
import torch

from dogcam.errors import ModelError
from dogcam.network.memory import in_parts


def summing(most: int, error: Exception):
    """Return a function that adds numbers, and has no memory for more than `most`."""

    def run(items):
        if len(items) > most:
            raise error
        return sum(items), len(items)

    return run


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_batch_is_halved_until_its_parts_fit(error):
    parts = in_parts(summing(2, error), [1, 2, 3, 4, 5, 6, 7])
    assert parts == [(1, 1), (5, 2), (9, 2), (13, 2)]
    assert in_parts(summing(7, error), [1, 2, 3]) == [(6, 3)]
    with pytest.raises(ModelError, match="single image"):
        in_parts(summing(0, error), [1, 2])


def test_another_error_stays():
    with pytest.raises(RuntimeError, match="shapes"):
        in_parts(summing(0, RuntimeError("shapes do not fit")), [1, 2])
