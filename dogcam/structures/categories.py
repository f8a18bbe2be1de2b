"""Names by which objects and failures are grouped."""

from typing import Literal, NamedTuple

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

OracleFix = Literal["remove", "move", "one_each", "add"]
"""What an oracle does with a false positive: remove the box, move it onto its object, or replace it by one
box on each of its objects. A type with `add` has no false positives, only missed objects."""


class TypeText(NamedTuple):
    """The title and meaning of a failure type, and how an oracle fixes it.

    Attributes:
        title: in tables and figures.
        meaning: a phrase with the placeholders `{target}`, `{targets}` and `{a_target}`.
        fix: what the oracle does with its failures.
    """

    title: str
    meaning: str
    fix: OracleFix


TYPE_TEXTS: dict[FailureType, TypeText] = {
    "missed": TypeText("Missed", "no box is assigned to this {target}", "add"),
    "background": TypeText("Background", "box on no annotated object", "remove"),
    "other_object": TypeText("Other object", "box on an object of another class", "remove"),
    "too_small": TypeText("Too small", "box covers part of the {target}", "move"),
    "too_large": TypeText("Too large", "box includes much background", "move"),
    "merged": TypeText("Merged", "one box around several {targets}", "one_each"),
    "split": TypeText("Split", "several boxes on one {target}", "move"),
    "duplicate": TypeText("Duplicate", "second box on {a_target} already matched", "remove"),
    "poor_overlap": TypeText("Shifted", "box partly on, partly off the {target}", "move"),
}
"""The texts of each failure type, in the order of `FailureType`."""

Subject = Literal["detection", "ground_truth"]

Size = Literal["small", "medium", "large"]
"""Size of an object, by its share of the image."""
