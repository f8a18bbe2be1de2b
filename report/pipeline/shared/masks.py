"""The annotated masks of a run."""

from report.pipeline.context import Context


def mask_index(context: Context) -> int | None:
    """Return the target's value in the masks, which count classes from 1; None if they do not contain it."""
    classes = context.reported.mask_classes or ()
    target = context.config.target
    return 1 + classes.index(target) if target in classes else None
