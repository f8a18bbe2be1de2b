"""What happens to the faults of a data set: types without a file format."""

from dataclasses import dataclass
from typing import Literal

BadBoxes = Literal["refuse", "clip", "skip"]
OnError = Literal["fail", "skip"]


@dataclass(frozen=True)
class ReadRules:
    """What happens to faults of a data set.

    Attributes:
        on_bad_box: `refuse` an image with a box that is empty or leaves it, `clip` the box to the image, or
            `skip` the box. An empty box is skipped by `clip` too.
        on_error: `fail` with a list of all faults, or `skip` the images that have one.
    """

    on_bad_box: BadBoxes = "refuse"
    on_error: OnError = "fail"
