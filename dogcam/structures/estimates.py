"""A measured number and its confidence interval; without numpy, so that reading a record does not load it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low, high: the two ends; None if the number is not defined.
        level: the confidence level, in (0, 1).
    """

    low: float | None
    high: float | None
    level: float

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends have the same sign; False if the interval is not defined."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample of images, with its interval; both None if it is not defined."""

    value: float | None
    interval: Interval | None = None
