"""The resamples of a run, and intervals of samples that are too small."""

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate.metrics import Interval, Matches, Resampler, undefined
from report.pipeline.context import Context


def resampler_of(context: Context) -> Resampler:
    """Return the resamples of the reported images, the same for every number of the run."""
    config = context.config
    settings = len(context.reported), config.n_resamples, config.confidence_level, config.seed
    return context.once(("resampler", *settings), lambda: Resampler(*settings))


def ap_samples(context: Context, matches: Matches) -> NDArray[np.float64]:
    """Return the AP of each resample, computed once a run: (T, B) floats for T IoU thresholds."""
    key = ("AP samples", id(matches))
    # The matches are kept with the samples: while they live, no others have their id.
    return context.once(key, lambda: (matches, resampler_of(context).ap_samples(matches)))[1]


def over_images(n_images: int, found: Interval) -> Interval:
    """Return an interval over images, or an undefined one if only one image counts.

    Every resample then repeats the same image: its spread is 0, whatever the uncertainty.
    """
    return found if n_images > 1 else undefined(found.level)
