"""Time of the evaluation of many boxes by dogcam, pycocotools and faster-coco-eval.

The benchmark times matching at three IoU thresholds, the precision-recall curves and their AP. Loading the
boxes into the form of a library is not timed; it costs the others far more. Each round runs in a new process.

The VOC and COCO protocols agree if an image has at most one object, scores are distinct, and no IoU equals a
threshold. The generated boxes satisfy this. The APs are compared, and a difference ends the benchmark.
"""

import contextlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
import faster_coco_eval
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.table import Table

from dogcam.evaluate.metrics import Resampler, match, precision_recall
from dogcam.structures.boxes import area
from dogcam.structures.defaults import IOU_THRESHOLDS
from dogcam.structures.detections import Detections, GroundTruth

from .measure import Cost, Spread, cost_of, in_fresh_process

PACKAGES = ("dogcam", "numpy", "scipy", "pycocotools", "faster-coco-eval")

DETECTIONS_PER_IMAGE = 10
SEED = 7


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurement.

    Args:
        n_detections: the numbers of detections, in growing order.
        rounds: how often each of them is evaluated.
        bootstrap_images: images that are drawn again.
        n_resamples: how often.
    """

    n_detections: tuple[int, ...]
    rounds: int
    bootstrap_images: int
    n_resamples: int


FULL = Sizes((100_000, 1_000_000), rounds=5, bootstrap_images=5_000, n_resamples=2_000)
QUICK = Sizes((1_000,), rounds=2, bootstrap_images=50, n_resamples=100)


@dataclass(frozen=True)
class Outcome:
    """One round: its cost, and the AP at each threshold."""

    cost: Cost
    ap: tuple[float, ...]


@dataclass(frozen=True)
class Contender:
    """A library, and the function that loads a number of detections into it and evaluates them."""

    name: str
    evaluate: Callable[[int], Outcome]


def boxes_in_images(n_detections: int) -> tuple[GroundTruth, Detections]:
    """Generate boxes: 80 % of the images have an object, 40 % of whose detections are near it."""
    rng = np.random.default_rng(SEED)
    n_images = n_detections // DETECTIONS_PER_IMAGE
    holders = np.flatnonzero(rng.random(n_images) < 0.8)
    corners, sides = _random_boxes(rng, len(holders))
    truth = GroundTruth(holders, np.hstack([corners, corners + sides]), None, n_images)

    image = rng.integers(n_images, size=n_detections)
    box_of_image = np.full(n_images, -1)
    box_of_image[holders] = np.arange(len(holders))
    there = box_of_image[image]
    near = (there >= 0) & (rng.random(n_detections) < 0.4)
    found_corners, found_sides = _random_boxes(rng, n_detections)
    shift, stretch = rng.normal(scale=0.15, size=(2, near.sum(), 2))
    found_corners[near] = corners[there[near]] + shift * sides[there[near]]
    found_sides[near] = np.exp(stretch) * sides[there[near]]
    scores = rng.normal(size=n_detections) + near
    return truth, Detections(image, np.hstack([found_corners, found_corners + found_sides]), scores)


def _random_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0, 300, (count, 2)), rng.uniform(20, 200, (count, 2))


def evaluate_with_dogcam(n_detections: int) -> Outcome:
    """Measure dogcam."""
    truth, found = boxes_in_images(n_detections)

    def work() -> tuple[float, ...]:
        matches = match(truth, found, IOU_THRESHOLDS)
        curves = [precision_recall(matches, threshold) for threshold in IOU_THRESHOLDS]
        return tuple(curve.average_precision("coco_101point") for curve in curves)

    ap, cost = cost_of(work)
    return Outcome(cost, ap)


def evaluate_with_pycocotools(n_detections: int) -> Outcome:
    """Measure pycocotools."""
    return _evaluate_as_coco(n_detections, COCO, COCOeval)


def evaluate_with_faster_coco_eval(n_detections: int) -> Outcome:
    """Measure faster-coco-eval, which has the interface of pycocotools and is written in C++."""
    return _evaluate_as_coco(n_detections, faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)


def _evaluate_as_coco(n_detections: int, dataset: type, evaluator: type) -> Outcome:
    truth, found = boxes_in_images(n_detections)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = coco_evaluation(truth, found, dataset, evaluator)

        def work() -> None:
            evaluation.evaluate()
            evaluation.accumulate()

        _, cost = cost_of(work)
    ap = evaluation.eval["precision"][:, :, 0, 0, 0].mean(axis=1)
    return Outcome(cost, tuple(ap.tolist()))


def coco_evaluation(truth: GroundTruth, found: Detections, dataset: type, evaluator: type) -> COCOeval:
    """Load boxes into the classes of pycocotools or faster-coco-eval, as their reader of JSON does.

    There is one range of areas, and the limit of detections has no effect.
    """
    coco = dataset()
    coco.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(truth.n_images)],
        "categories": [{"id": 1}],
        # Ids begin at 1: pycocotools takes a match with the annotation 0 for none.
        "annotations": [
            entry | {"id": number, "iscrowd": 0} for number, entry in enumerate(_coco_entries(truth), start=1)
        ],
    }
    coco.createIndex()
    scores = found.scores.tolist()
    results = [entry | {"score": score} for entry, score in zip(_coco_entries(found), scores, strict=True)]
    evaluation = evaluator(coco, coco.loadRes(results), "bbox")
    evaluation.params.iouThrs = np.array(IOU_THRESHOLDS)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e9]], ["all"]
    evaluation.params.maxDets = [1000]
    return evaluation


def _coco_entries(boxes: GroundTruth | Detections) -> list[dict[str, object]]:
    corner_and_size = np.hstack([boxes.boxes[:, :2], boxes.boxes[:, 2:] - boxes.boxes[:, :2]])
    columns = (boxes.image.tolist(), corner_and_size.tolist(), area(boxes.boxes).tolist())
    return [
        {"image_id": image, "category_id": 1, "bbox": box, "area": size}
        for image, box, size in zip(*columns, strict=True)
    ]


CONTENDERS = (
    Contender("dogcam", evaluate_with_dogcam),
    Contender("pycocotools", evaluate_with_pycocotools),
    Contender("faster_coco_eval", evaluate_with_faster_coco_eval),
)
"""The measured libraries; the first is the reference."""


def bootstrap_with_dogcam(n_images: int, n_resamples: int) -> Outcome:
    """Measure the resampling of the images from existing matches."""
    matches = match(*boxes_in_images(n_images * DETECTIONS_PER_IMAGE), IOU_THRESHOLDS)
    samples, cost = cost_of(lambda: Resampler(n_images, n_resamples).ap_samples(matches))
    return Outcome(cost, tuple(samples.mean(axis=1).tolist()))


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each contender and number of detections, and one for the bootstrap."""
    sizes = QUICK if quick else FULL
    rows = [row for count in sizes.n_detections for row in _evaluation_rows(count, sizes)]
    return [*rows, _bootstrap_row(sizes)]


def _evaluation_rows(n_detections: int, sizes: Sizes) -> list[dict[str, object]]:
    outcomes: dict[str, list[Outcome]] = {contender.name: [] for contender in CONTENDERS}
    for number in range(sizes.rounds):
        for contender in CONTENDERS:
            outcome = in_fresh_process(contender.evaluate, n_detections)
            outcomes[contender.name].append(outcome)
            _say(number, contender.name, n_detections, outcome.cost)
    check_agreement(outcomes)
    ours = outcomes[CONTENDERS[0].name]
    return [
        {"name": name, "n_detections": n_detections, "n_images": n_detections // DETECTIONS_PER_IMAGE}
        | _costs(rounds)
        | _ratios(rounds, ours)
        | {"coco_101point_ap": list(rounds[0].ap)}
        for name, rounds in outcomes.items()
    ]


def check_agreement(outcomes: dict[str, list[Outcome]]) -> None:
    """Compare the APs of all contenders and rounds.

    Raises:
        RuntimeError: if they differ, or are too close to 0 or 1 to show a difference.
    """
    reference = outcomes[CONTENDERS[0].name][0].ap
    if not all(0.05 < value < 0.95 for value in reference):
        raise RuntimeError(f"the APs are {reference}; expected values from 0.05 to 0.95")
    for name, rounds in outcomes.items():
        for outcome in rounds:
            if not np.allclose(outcome.ap, reference, rtol=0, atol=1e-9):
                raise RuntimeError(f"{name} finds AP {outcome.ap}, {CONTENDERS[0].name} {reference}")


def _bootstrap_row(sizes: Sizes) -> dict[str, object]:
    n_detections = sizes.bootstrap_images * DETECTIONS_PER_IMAGE
    rounds = []
    for number in range(sizes.rounds):
        rounds.append(in_fresh_process(bootstrap_with_dogcam, sizes.bootstrap_images, sizes.n_resamples))
        _say(number, "dogcam_bootstrap", n_detections, rounds[-1].cost)
    return (
        {"name": "dogcam_bootstrap", "n_detections": n_detections, "n_images": sizes.bootstrap_images}
        | _costs(rounds)
        | {"n_resamples": sizes.n_resamples, "mean_all_point_ap": list(rounds[0].ap)}
    )


def _costs(rounds: Sequence[Outcome]) -> dict[str, object]:
    growth = [outcome.cost.memory_growth_mib for outcome in rounds]
    known = None not in growth
    return {
        "rounds": len(rounds),
        **Spread.of([outcome.cost.seconds for outcome in rounds]).fields("seconds"),
        "memory_growth_mib": Spread.of(growth).median if known else None,
    }


def _ratios(rounds: Sequence[Outcome], ours: Sequence[Outcome]) -> dict[str, float]:
    """Return the time as a multiple of ours, by round."""
    ratios = [one.cost.seconds / other.cost.seconds for one, other in zip(rounds, ours, strict=True)]
    return Spread.of(ratios).fields("ratio_to_dogcam")


def _say(number: int, name: str, n_detections: int, cost: Cost) -> None:
    click.echo(f"round {number + 1}: {name}, {n_detections:,} detections: {cost.seconds:.3g} s", err=True)


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    thresholds = ", ".join(f"{value:g}" for value in IOU_THRESHOLDS)
    printed = Table(title=f"AP at IoU {thresholds}; median (least - most)", title_justify="left")
    printed.add_column("name")
    for heading in ("detections", "images", "rounds", "seconds", "times dogcam", "memory growth, MiB"):
        printed.add_column(heading, justify="right")
    for row in rows:
        growth = row["memory_growth_mib"]
        ratio = row.get("ratio_to_dogcam", math.nan)
        printed.add_row(
            row["name"],
            *(f"{row[key]:,}" for key in ("n_detections", "n_images", "rounds")),
            f"{row['seconds']:.3g} ({row['seconds_min']:.3g} - {row['seconds_max']:.3g})",
            "" if math.isnan(ratio) else f"{ratio:.3g}",
            "unknown" if growth is None else f"{growth:,.0f}",
        )
    return printed
