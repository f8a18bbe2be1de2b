"""Locate the boxes of one image by several methods, after its forward passes; a process imports little."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dogcam.detection.ablation import DenseThreshold
from dogcam.detection.boxes_from_maps import Located
from dogcam.detection.evidence import Evidence
from dogcam.detection.proposal_method import ProposalMethod


@dataclass(frozen=True)
class Task:
    """The boxes of one class by one method.

    Attributes:
        name: of the method.
        target: the class.
        method: what locates boxes.
        evidence: from its `observe`.
        seconds: processor time of the views; None for a class whose time is not stated.
    """

    name: str
    target: str
    method: ProposalMethod | DenseThreshold
    evidence: Sequence[Evidence]
    seconds: float | None


@dataclass(frozen=True)
class RemainingWork:
    """What is left to do for one image.

    Attributes:
        size: (height, width) of the image in pixels.
        side: longer side of the classifier's own input in pixels.
        tasks: in the order of their results.
        found, seconds: the results that need no further work, by method and class, and by method.
    """

    size: tuple[int, int]
    side: int
    tasks: Sequence[Task]
    found: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def finish(work: RemainingWork) -> dict[str, Any]:
    """Return the boxes by method and class, and the processor time of each method in seconds."""
    found, seconds = {name: dict(each) for name, each in work.found.items()}, dict(work.seconds)
    for task in work.tasks:
        started = time.process_time()
        located = task.method.locate(task.evidence, work.size, work.side)
        found.setdefault(task.name, {})[task.target] = rows_of_boxes(located)
        if task.seconds is not None:
            seconds[task.name] = task.seconds + time.process_time() - started
    return {"found": found, "seconds": seconds}


def rows_of_boxes(located: Located) -> list[list[float]]:
    """Return boxes and scores as rows of [x0, y0, x1, y1, score]."""
    return np.column_stack(located).tolist()
