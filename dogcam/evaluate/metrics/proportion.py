"""A proportion of independent trials, with the interval that the counts alone give."""

from dataclasses import dataclass
from statistics import NormalDist

from dogcam.evaluate.metrics.estimates import Interval, undefined
from dogcam.evaluate.metrics.precision_recall import ratio
from dogcam.structures.defaults import CONFIDENCE_LEVEL


@dataclass(frozen=True)
class Proportion:
    """A count out of a total."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The proportion; nan if the total is 0."""
        return float(ratio(self.count, self.total))

    def wilson_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the score interval for independent trials (Wilson 1927).

        With z the normal quantile of the level, its centre is `(p + z^2 / 2n) / (1 + z^2 / n)` and its half
        width `z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)`. Both ends are None without a trial.
        """
        if self.total == 0:
            return undefined(level)
        z = NormalDist().inv_cdf((1 + level) / 2)
        spread = z * z / self.total
        centre = (self.value + spread / 2) / (1 + spread)
        variance = self.value * (1 - self.value) / self.total + spread / (4 * self.total)
        half = z * variance**0.5 / (1 + spread)
        # Rounding must not move the ends of 0 and 1 out of [0, 1].
        return Interval(max(0.0, centre - half), min(1.0, centre + half), level)
