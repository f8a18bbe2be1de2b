"""Run a batch, or its halves if it does not fit into memory."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from dogcam.errors import ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch says in a RuntimeError on devices without an error class of their own."""


def in_parts(run: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Run a function on a batch; on its halves, or their halves, if memory is too small for the whole.

    Args:
        run: takes a part of the batch.
        items: the batch, at least one item.

    Returns:
        The result of each part, in the order of the items.

    Raises:
        ModelError: if memory is too small for a single item.
    """
    try:
        return [run(items)]
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(items) < 2:
            raise ModelError(
                "there is too little memory for a single image; choose a smaller --input-size or network, or "
                "another --device"
            ) from error
    # Outside of the handler: the error holds the memory of the attempt.
    middle = len(items) // 2
    return [*in_parts(run, items[:middle]), *in_parts(run, items[middle:])]


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)
