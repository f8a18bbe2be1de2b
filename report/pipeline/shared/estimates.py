"""The resampler of a run, and intervals of samples that are too small."""

from dogcam.evaluate.metrics import Interval, Resampler, undefined
from report.pipeline.context import Context


def resampler_of(context: Context) -> Resampler:
    """Return the resamples of the reported images, the same for every number of the run."""
    config = context.config
    settings = len(context.reported), config.n_resamples, config.confidence_level, config.seed
    return context.once(("resampler", *settings), lambda: Resampler(*settings))


def over_images(n_images: int, found: Interval) -> Interval:
    """Return an interval over images, or an undefined one if only one image counts.

    Every resample then repeats the same image: its spread is 0, whatever the uncertainty.
    """
    return found if n_images > 1 else undefined(found.level)
