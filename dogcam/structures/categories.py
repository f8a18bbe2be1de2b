"""Names by which objects and failures are grouped."""

from typing import Literal

FailureType = Literal[
    "missed",
    "background",
    "other_object",
    "too_small",
    "too_large",
    "merged",
    "split",
    "duplicate",
    "poor_overlap",
]
Subject = Literal["detection", "ground_truth"]

Size = Literal["small", "medium", "large"]
"""Size of an object, by its share of the image."""
