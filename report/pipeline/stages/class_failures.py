"""The failures of all classes but the main one: at their operating points, with pictures by rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dogcam.evaluate import errors as taxonomy
from dogcam.evaluate.metrics import Matches
from report import record as results
from report.pipeline.context import Context
from report.pipeline.shared.cases import CaseInputs, all_cases, case_inputs
from report.pipeline.shared.gallery import Gallery
from report.pipeline.stages.draw import draw_gallery
from report.pipeline.stages.picture import draw_failing

MOST_PICTURES = 40
"""Limit of the pictures of all these classes: with those of the main class they keep a page below 4 MB."""

MOST_OF_A_CLASS = 16
"""Limit of the pictures of one class."""


@dataclass(frozen=True)
class AtPoint:
    """The boxes of a class at its operating point.

    Attributes:
        name: the class.
        matches: of all its boxes.
        iou, score_threshold: of the operating point.
    """

    name: str
    matches: Matches
    iou: float
    score_threshold: float


def failures_of(context: Context, points: Sequence[AtPoint]) -> tuple[list[results.ClassFailures], list[str]]:
    """Type the failures of each class and draw their pictures.

    Args:
        context: after the stage `predict`.
        points: for each class but the main one its boxes and its operating point; the first classes have
            pictures if there are too many.

    Returns:
        The failures of each class, and the names of the files of their pictures.
    """
    found, files = [], []
    for number, (point, n_pictures) in enumerate(zip(points, pictures_by_class(len(points)), strict=True)):
        inputs = case_inputs(context, point.matches, point.iou, point.name, prefix=f"class-{number}-")
        failures = _failures(context, inputs, point, n_pictures)
        files += draw_gallery(context, failures.items)
        wanted = {case.picture for case in failures.cases if case.picture}
        kept = point.matches.detections.above(point.score_threshold)
        files += draw_failing(context, point.name, kept, wanted, inputs.prefix)
        found.append(failures)
    return found, files


def pictures_by_class(n_classes: int) -> list[int]:
    """Return how many pictures each class may have: as many each, at most `MOST_PICTURES` together."""
    each = min(MOST_OF_A_CLASS, max(1, MOST_PICTURES // max(1, n_classes)))
    return [each if number < MOST_PICTURES else 0 for number in range(n_classes)]


def _failures(context: Context, inputs: CaseInputs, point: AtPoint, n_pictures: int) -> results.ClassFailures:
    at_point = {"iou_threshold": point.iou, "score_threshold": point.score_threshold}
    failures = taxonomy.classify_failures(point.matches, **at_point, others=inputs.others)
    successes = taxonomy.find_successes(point.matches, **at_point)
    counts = taxonomy.count_types(failures)
    gallery = Gallery(context, inputs, point.score_threshold)
    by_type = sorted(counts, key=lambda count: -(count.n_detections + count.n_missed))
    lists = [gallery.failures([each for each in failures if each.type == count.type]) for count in by_type]
    items = list(_in_turn([*lists, gallery.successes(successes)]))[:n_pictures]
    return results.ClassFailures(
        name=point.name,
        score_threshold=point.score_threshold,
        n_success=len(successes),
        types=[
            results.ClassTypeCount(type=count.type, n_detections=count.n_detections, n_missed=count.n_missed)
            for count in counts
        ],
        items=items,
        cases=all_cases(inputs, [point.score_threshold], point.score_threshold),
    )


def _in_turn(lists: Sequence[Sequence[results.GalleryItem]]) -> Iterator[results.GalleryItem]:
    """Yield the first of each list, then the second of each, and so on."""
    longest = max(map(len, lists))
    return chain.from_iterable(each[place : place + 1] for place in range(longest) for each in lists)
