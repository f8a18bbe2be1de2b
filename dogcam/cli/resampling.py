"""Options of the bootstrap, which commands with and without a network share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from dogcam.cli.common import FRACTION
from dogcam.evaluate.metrics import Resampler
from dogcam.structures import defaults


@dataclass(frozen=True)
class Resampling:
    """The resamples that a command line asks for.

    Attributes:
        n_resamples, level, seed: as for `dogcam.evaluate.metrics.Resampler`.
    """

    n_resamples: int
    level: float
    seed: int

    def of(self, n_images: int) -> Resampler:
        """Return the resampler of a set of images."""
        return Resampler(n_images, self.n_resamples, self.level, self.seed)


def resampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the bootstrap to a command, which receives them as `resampling`."""

    @click.option(
        "--resamples", type=click.IntRange(min=100), default=defaults.N_RESAMPLES, show_default=True,
        help="Number of bootstrap resamples.",
    )  # fmt: skip
    @click.option(
        "--confidence-level", type=FRACTION, default=defaults.CONFIDENCE_LEVEL, show_default=True,
        help="Level of the intervals.",
    )  # fmt: skip
    @click.option(
        "--seed", default=defaults.RESAMPLE_SEED, show_default=True, help="Random seed of the resamples."
    )
    @wraps(command)
    def with_resampling(
        *args: Any, resamples: int, confidence_level: float, seed: int, **options: Any
    ) -> None:
        return command(*args, resampling=Resampling(resamples, confidence_level, seed), **options)

    return with_resampling
