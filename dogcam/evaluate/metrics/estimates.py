"""Estimates from numbers that may be undefined, and the percentile interval of bootstrap samples."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogcam.structures.defaults import CONFIDENCE_LEVEL
from dogcam.structures.estimates import Estimate, Interval


def defined(value: float) -> float | None:
    """Return the number, or None if it is nan or infinite: JSON has neither."""
    return float(value) if math.isfinite(value) else None


def estimate(value: float, interval: Interval | None = None) -> Estimate:
    """Return an estimate; a value of nan becomes None."""
    return Estimate(defined(value), interval)


def undefined(level: float) -> Interval:
    """Return the interval of a number that is not defined."""
    return Interval(None, None, level)


def percentile_interval(samples: ArrayLike, level: float) -> Interval:
    """Return the interval that excludes equal shares of the samples at both ends (Efron 1979).

    Args:
        samples: (B,) floats; nan (a resample without ground truth, for example) is ignored.
        level: share of the samples inside, in (0, 1).

    Raises:
        ValueError: if the level is outside (0, 1).
    """
    check_level(level)
    values: NDArray[np.float64] = np.asarray(samples, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return undefined(level)
    low, high = np.quantile(values, tails(level))
    return Interval(float(low), float(high), level)


def tails(level: float) -> list[float]:
    """Return the two quantiles between which a share of `level` lies."""
    return [(1 - level) / 2, (1 + level) / 2]


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        ValueError: if it is.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1, such as {CONFIDENCE_LEVEL}")
