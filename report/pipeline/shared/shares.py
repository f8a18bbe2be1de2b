"""Shares of counts, with an interval that also holds for none and for all."""

from dogcam.evaluate.metrics import Estimate, Interval, Proportion, estimate

TOO_FEW = 5
"""Of fewer cases no interval is stated."""


def share(count: int, total: int, bootstrap: Interval) -> Estimate:
    """Return a share with its interval over images.

    If no case or every case is a hit, so it is in every resample, and a bootstrap interval has no width; the
    Wilson interval takes its place.

    Args:
        count: of the hits.
        total: of the cases; with fewer than `TOO_FEW` the share has no interval.
        bootstrap: the interval over images.
    """
    proportion = Proportion(count, total)
    if total < TOO_FEW:
        return estimate(proportion.value)
    if count in (0, total):
        return estimate(proportion.value, proportion.wilson_interval(bootstrap.level))
    return estimate(proportion.value, bootstrap)


def wilson(count: int, total: int, level: float) -> Estimate:
    """Return a share of independent cases with its Wilson interval."""
    proportion = Proportion(count, total)
    return estimate(proportion.value, proportion.wilson_interval(level))
