"""How a reader treats the faults of a data set."""

from dataclasses import dataclass
from typing import Literal

BadBoxes = Literal["refuse", "clip", "skip"]
OnError = Literal["fail", "skip"]


@dataclass(frozen=True)
class ReadRules:
    """How a reader treats the faults of a data set.

    Attributes:
        on_bad_box: for a box that is empty or extends beyond its image: `refuse` the image, `clip` the box,
            or `skip` the box. `clip` skips empty boxes.
        on_error: `fail` with a list of all faults, or `skip` the faulty images.
    """

    on_bad_box: BadBoxes = "refuse"
    on_error: OnError = "fail"
