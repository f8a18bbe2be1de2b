"""List every failure at every score threshold, with its type and its reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import errors as taxonomy
from dogcam.evaluate.errors import Failure, OtherObjects
from dogcam.evaluate.metrics import TRUE_POSITIVE, Matches
from dogcam.structures.boxes import area, as_boxes
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.maps import heat_of
from report.pipeline.shared.predictions import predictions
from report.record.words import meaning_of

STEP = 0.05
"""Distance of the score thresholds at which failures are typed, apart from the operating point."""

Miss = Literal["empty_map", "below_threshold", "box_on_another", "box_elsewhere"]


@dataclass(frozen=True)
class CaseInputs:
    """What is needed to type and explain failures.

    Attributes:
        ids, sizes: of the images; sizes are (height, width) in pixels.
        matches: of the class, at all IoU thresholds of the settings.
        iou_threshold: of a correct detection: that of the operating point.
        others: objects of other classes.
        probabilities: (N,) float array, of the target class.
        seen_class: the class under the map's peak in a box, by the index of the detection; None for none.
        target: the class whose failures they are.
        prefix: begins the names of its pictures.
    """

    ids: list[str]
    sizes: list[tuple[int, int]]
    matches: Matches
    iou_threshold: float
    others: OtherObjects
    probabilities: NDArray[np.float64]
    seen_class: Callable[[int], str | None]
    target: str
    prefix: str = ""


def case_inputs(
    context: Context, matches: Matches, iou_threshold: float, target: str | None = None, prefix: str = ""
) -> CaseInputs:
    """Gather what the failures of the main method are explained by.

    Args:
        context: after the stage `predict`.
        matches: of the class.
        iou_threshold: of a correct detection.
        target: the class; None for the target of the run.
        prefix: begins the names of its pictures.
    """
    predicted = predictions(context, "reported")
    images = context.reported.images
    target = target or context.config.target
    others = [[thing for thing in image.objects if thing.name != target] for image in images]

    @cache
    def seen_class(index: int) -> str | None:
        place = int(matches.detections.image[index])
        heat = heat_of(context, "reported", MAIN, place, target)
        return class_under_peak(
            heat, matches.detections.boxes[index],
            as_boxes([thing.box for thing in others[place]]), [thing.name for thing in others[place]],
        )  # fmt: skip

    other_objects = OtherObjects.from_images(
        [[thing.box for thing in things] for things in others],
        [[thing.name for thing in things] for things in others],
    )
    probabilities = predicted.probabilities(context.classifier.index_of(target))
    return CaseInputs(
        [image.id for image in images], [image.size for image in images], matches, iou_threshold,
        other_objects, probabilities, seen_class, target, prefix,
    )  # fmt: skip


def class_under_peak(
    heat: NDArray[np.float32], box: NDArray[np.float64], boxes: NDArray[np.float64], names: Sequence[str]
) -> str | None:
    """Name the object on which a map has its peak inside a box.

    Args:
        heat: (H, W) float array in [0, 1].
        box: (4,) float array, xyxy in pixels.
        boxes: (K, 4) float array, the objects of other classes, xyxy in pixels.
        names: their K classes.

    Returns:
        The class of the smallest object that holds the peak; None if none does.
    """
    x0, y0, x1, y1 = (int(side) for side in np.round(box))
    inside = heat[max(y0, 0) : y1, max(x0, 0) : x1]
    if not inside.size or not len(boxes):
        return None
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    y, x = row + max(y0, 0) + 0.5, column + max(x0, 0) + 0.5
    holds = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
    return names[int(np.argmin(np.where(holds, area(boxes), np.inf)))] if holds.any() else None


def score_levels(point: float) -> list[float]:
    """Return the score thresholds from 0 to 1, the operating point's included, ascending."""
    return sorted({*(round(step * STEP, 2) for step in range(round(1 / STEP) + 1)), point})


def all_cases(inputs: CaseInputs, levels: list[float], point: float) -> list[results.Case]:
    """Return every failure at every level; one that keeps its type over adjoining levels is one case.

    Args:
        inputs: the images, what was found in them and what else is annotated.
        levels: score thresholds, ascending.
        point: the one of the operating point, whose failures have pictures.
    """
    open_cases: dict[tuple, results.Case] = {}
    done: list[results.Case] = []
    for index, level in enumerate(levels):
        failures = taxonomy.classify_failures(
            inputs.matches, iou_threshold=inputs.iou_threshold, score_threshold=level, others=inputs.others
        )
        held: dict[tuple, results.Case] = {}
        for failure in failures:
            case = _case(inputs, failure, level, index)
            key = (failure.image, failure.subject, failure.type, case.reason, failure.detection,
                   failure.ground_truth)  # fmt: skip
            before = open_cases.pop(key, None)
            held[key] = case if before is None else before.model_copy(update={"last": index})
        done += open_cases.values()
        open_cases = held
    at_point = levels.index(point)
    cases = [
        case if case.first <= at_point <= case.last else case.model_copy(update={"picture": None})
        for case in (*done, *open_cases.values())
    ]
    return sorted(
        cases,
        key=lambda case: (-(case.score if case.score is not None else -1.0), -case.area, case.image_id),
    )


def miss_reason(inputs: CaseInputs, failure: Failure, level: float) -> Miss:
    """Say why no box explains a missed object at a score threshold."""
    found = inputs.matches.detections
    here = found.image == failure.image
    kept = here & (found.scores >= level)
    if not here.any():
        return "empty_map"
    if not kept.any():
        return "below_threshold"
    right = inputs.matches.kind_at(inputs.iou_threshold) == TRUE_POSITIVE
    return "box_on_another" if (kept & right).any() else "box_elsewhere"


def top_score(inputs: CaseInputs, image: int) -> float | None:
    """Return the highest score of an image's boxes; None without a box."""
    scores = inputs.matches.detections.scores[inputs.matches.detections.image == image]
    return float(scores.max()) if len(scores) else None


def _reason(inputs: CaseInputs, failure: Failure, level: float) -> str:
    if failure.type == "other_object":
        seen = inputs.seen_class(failure.detection) if failure.detection is not None else None
        return f"box on an object of the class {seen or failure.other_class}"
    if failure.type != "missed":
        return meaning_of(failure.type, inputs.target)
    why, top = miss_reason(inputs, failure, level), top_score(inputs, failure.image) or 0.0
    return {
        "empty_map": "the map is zero everywhere: no box",
        "below_threshold": f"highest score {top:.3f} is below the threshold",
        "box_on_another": f"the boxes of the image match another {inputs.target}",
        "box_elsewhere": f"no box of the image is assigned to this {inputs.target}",
    }[why]


def _case(inputs: CaseInputs, failure: Failure, level: float, index: int) -> results.Case:
    truth, found = inputs.matches.ground_truth, inputs.matches.detections
    height, width = inputs.sizes[failure.image]
    box = None if failure.detection is None else found.boxes[failure.detection]
    matched = None if failure.ground_truth is None else truth.boxes[failure.ground_truth]
    measured = box if matched is None else matched
    share = float(np.clip(area(np.asarray(measured)[None])[0] / (height * width), 0, 1))
    return results.Case(
        image_id=inputs.ids[failure.image],
        subject=failure.subject,
        type=failure.type,
        reason=_reason(inputs, failure, level),
        score=failure.score,
        iou=None if box is None or matched is None else round(failure.iou, 4),
        area=round(share, 4),
        box=None if box is None else _rounded(box),
        matched=None if matched is None else _rounded(matched),
        picture=picture_of(failure.image, inputs.prefix),
        first=index,
        last=index,
    )


def picture_of(image: int, prefix: str = "") -> str:
    """Return where the picture of an image with a failure is, in the run's folder."""
    return f"gallery/{prefix}failing-{image:05d}.webp"


def _rounded(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(side), 1) for side in box)
    return x0, y0, x1, y1
