"""Work of a known size for a new process, which must not import more than it needs."""

import numpy as np

from benchmarks.measure import cost_of


def allocate(mib: int) -> float | None:
    """Fill memory and let it go again; return the growth in MiB."""
    _, cost = cost_of(lambda: np.ones(mib * 2**17).sum())
    return cost.memory_growth_mib


def allocate_after_more(mib: int) -> float | None:
    """Reach a higher peak before the measurement begins."""
    np.ones(4 * mib * 2**17).sum()
    return allocate(mib)
