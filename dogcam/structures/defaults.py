"""Defaults that the public functions, the commands and the report share; they import without torch."""

TARGET = "dog"
"""The class that is detected if none is named."""

CAM_THRESHOLD = 0.3
"""Fraction of the peak of a map; a pixel is foreground if it is at least as high."""

IOU_THRESHOLDS = (0.3, 0.4, 0.5)
"""IoU thresholds of AP and recall."""

BATCH_SIZE = 16
"""Number of images in a forward pass."""

N_RESAMPLES = 2000
"""Number of bootstrap resamples."""

CONFIDENCE_LEVEL = 0.95
"""Confidence level of the intervals."""

RESAMPLE_SEED = 2007
"""Random seed of the bootstrap, and of the random choices of the gallery."""
