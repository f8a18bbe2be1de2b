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

TITLES: dict[FailureType, str] = {
    "missed": "Missed",
    "background": "Background",
    "other_object": "Other object",
    "too_small": "Too small",
    "too_large": "Too large",
    "merged": "Merged",
    "split": "Split",
    "duplicate": "Duplicate",
    "poor_overlap": "Shifted",
}
"""The title of each failure type."""

MEANINGS: dict[FailureType, str] = {
    "missed": "no box on the object",
    "background": "box on no annotated object",
    "other_object": "box on an object of another class",
    "too_small": "box covers part of the object",
    "too_large": "box includes much background",
    "merged": "one box around several objects",
    "split": "several boxes on one object",
    "duplicate": "second box on an object already matched",
    "poor_overlap": "box partly on, partly off the object",
}
"""The meaning of each failure type in words."""

Subject = Literal["detection", "ground_truth"]

Size = Literal["small", "medium", "large"]
"""Size of an object, by its share of the image."""
