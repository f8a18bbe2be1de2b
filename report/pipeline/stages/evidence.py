"""Measure what the report's verdict rests on: pointing, meaning of the score, fine IoU, every failure."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dogcam.cam.forward import forward_pass
from dogcam.detection.boxes_from_maps import normalise
from dogcam.evaluate import breakdowns, map_metrics, metrics
from dogcam.evaluate.metrics import Estimate, Matches, defined, estimate
from dogcam.network.heads import LogOddsOfGroups
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN, has_linear_head
from report.pipeline.shared.boxes import (
    HIGH_SCORE,
    best_ious,
    compared,
    correlation,
    detections,
    ground_truth,
    matches_of,
    top_boxes,
)
from report.pipeline.shared.cases import all_cases, case_inputs, score_levels
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.maps import heat_of
from report.pipeline.shared.predictions import predictions
from report.pipeline.shared.shares import share, wilson

NAME = "evidence"

FINE_IOU = tuple(round(0.1 * step, 1) for step in range(1, 10))
SCORE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DECIDES = 0.5
"""The probability from which an image is said to show the target."""

N_GRADIENT_IMAGES = 32
GRADIENT_TOLERANCE = 1e-4
"""The largest difference of maps in single precision, as fractions of their peaks, that rounding explains."""


class Output(results.Model):
    """The evidence, and [score, IoU, target present] of the top-scoring box of each image that has one."""

    evidence: results.FurtherMeasurements
    tops: list[tuple[float, float, float]]


def run(context: Context) -> dict:
    """Measure everything, and keep for the figures the top-scoring box of every image."""
    point = context.outputs["evaluate"]["operating_point"]
    matches = matches_of(context, MAIN)
    probabilities = predictions(context, "reported").probabilities(context.target)
    present = np.array([context.has_target(image) for image in context.reported.images])
    levels = score_levels(point["score_threshold"])
    inputs = case_inputs(context, matches, point["iou"])
    cases = all_cases(inputs, levels, point["score_threshold"])
    tops = top_boxes(context, MAIN)
    evidence = results.FurtherMeasurements(
        pointing=_pointing(context),
        decision=_decision(context, probabilities, present),
        score=_score_meaning(matches, point, probabilities, present, tops, context.config.confidence_level),
        overlaps=_overlaps(context),
        fine_iou_thresholds=list(FINE_IOU),
        fine_ap=_fine_ap(context),
        cells=_cells(context, matches, point),
        other_classes=_other_classes(cases, levels.index(point["score_threshold"])),
        gradient_check=_gradient_check(context),
        head=_head(context),
        levels=levels,
        cases=cases,
    )
    return {"evidence": evidence.model_dump(mode="json"), "tops": tops}


def _pointing(context: Context) -> results.Pointing:
    images, target = context.reported.images, context.config.target
    hits, centre, present = (np.zeros(len(images)) for _ in range(3))
    for place, image in enumerate(context.progress.track(images, len(images), "point")):
        if not context.has_target(image):
            continue
        boxes = image.boxes_of(target)
        present[place] = 1
        hits[place] = map_metrics.points_at(heat_of(context, "reported", MAIN, place), boxes)
        centre[place] = map_metrics.points_at(map_metrics.centre_map(image.size), boxes)
    resampler, n = resampler_of(context), present.sum()
    drawn = [resampler.ratio_samples(each, present) for each in (hits, centre)]

    def mean(values: NDArray[np.float64]) -> float:
        return float(values.sum() / n) if n else float("nan")

    return results.Pointing(
        map=share(int(hits.sum()), int(n), resampler.interval(drawn[0])),
        centre=share(int(centre.sum()), int(n), resampler.interval(drawn[1])),
        difference=estimate(mean(hits - centre), resampler.interval(drawn[0] - drawn[1])),
        n_on_target=int(hits.sum()),
        n_images=int(n),
    )


def _decision(
    context: Context, probabilities: NDArray[np.float64], present: NDArray[np.bool_]
) -> results.Decision:
    said, resampler = probabilities > DECIDES, resampler_of(context)
    rates = [resampler.ratio_samples(said & here, here) for here in (present, ~present)]
    values = [float(said[here].mean()) if here.any() else float("nan") for here in (present, ~present)]
    both = resampler.interval((rates[0] + 1 - rates[1]) / 2)
    return results.Decision(
        majority_accuracy=float(max(present.mean(), 1 - present.mean())),
        majority_answer="target" if present.mean() > DECIDES else "no target",
        balanced_accuracy=estimate((values[0] + 1 - values[1]) / 2, both),
        true_positive_rate=_rate(said, present, resampler.interval(rates[0])),
        false_positive_rate=None if present.all() else _rate(said, ~present, resampler.interval(rates[1])),
    )


def _rate(said: NDArray[np.bool_], here: NDArray[np.bool_], bootstrap: metrics.Interval) -> Estimate:
    return share(int((said & here).sum()), int(here.sum()), bootstrap)


def _score_meaning(
    matches: Matches,
    point: dict,
    probabilities: NDArray[np.float64],
    present: NDArray[np.bool_],
    tops: list[list[float]],
    level: float,
) -> results.ScoreMeaning:
    scores, image = matches.detections.scores, matches.detections.image
    correct = matches.kind_at(point["iou"]) == metrics.TRUE_POSITIVE
    kept = scores >= point["score_threshold"]
    high = kept & (scores >= HIGH_SCORE)
    bins = []
    for low, upper in itertools.pairwise(SCORE_EDGES):
        boxes, images = (_between(values, low, upper) for values in (scores, probabilities))
        n_correct, n_with = int((boxes & correct).sum()), int((images & present).sum())
        bins.append(
            results.ScoreBin(
                low=low,
                high=upper,
                n_boxes=int(boxes.sum()),
                n_correct=n_correct,
                correct=wilson(n_correct, int(boxes.sum()), level),
                n_images=int(images.sum()),
                n_target_images=n_with,
                with_target=wilson(n_with, int(images.sum()), level),
            )
        )
    return results.ScoreMeaning(
        n_boxes=int(kept.sum()),
        n_equal=int((kept & np.isclose(scores, probabilities[image], rtol=1e-6)).sum()),
        correlation=correlation(tops, point["score_threshold"]),
        n_high=int(high.sum()),
        n_high_correct=int((high & correct).sum()),
        high_score=HIGH_SCORE,
        bins=bins,
    )


def _between(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return (values >= low) & ((values < high) | (high == SCORE_EDGES[-1]))


def _overlaps(context: Context) -> results.Overlaps:
    ours, centre = (best_ious(context, method) for method in (MAIN, "centerbox"))
    edges = SCORE_EDGES
    bins = [
        results.OverlapBin(
            low=low, high=high, n_map=int(_between(ours, low, high).sum()),
            n_centre=int(_between(centre, low, high).sum()),
        )
        for low, high in itertools.pairwise(edges)
    ]  # fmt: skip
    present = np.array([context.has_target(image) for image in context.reported.images])
    higher = np.zeros(len(present))
    higher[present] = ours > centre
    share = float((ours > centre).mean()) if len(ours) else float("nan")
    return results.Overlaps(
        n_images=len(ours),
        bins=bins,
        map_higher=estimate(share, resampler_of(context).ratio(higher, present)),
    )


def _fine_ap(context: Context) -> list[results.ApByIou]:
    truth = ground_truth(context)
    found = []
    for name in compared(context):
        matches = metrics.match(truth, detections(context, "reported", name), FINE_IOU, difficult="ignored")
        ap = [metrics.precision_recall(matches, each).average_precision() for each in FINE_IOU]
        found.append(results.ApByIou(method=name, ap=[defined(value) for value in ap]))
    return found


def _cells(context: Context, matches: Matches, point: dict) -> list[results.SizeCell]:
    """Count found targets by size and by whether they share their image."""
    truth, sizes = matches.ground_truth, [image.size for image in context.reported.images]
    alone = breakdowns.by_n_instances(truth)[0].members
    cells, groups = [], []
    for group in breakdowns.by_size(truth, sizes):
        for name, part in (("one", alone), ("several", ~alone)):
            cells.append((group.name, name))
            groups.append(breakdowns.Group(name, group.members & part))
    found = breakdowns.measure_groups(
        matches, groups, iou_threshold=point["iou"], score_threshold=point["score_threshold"],
        resampler=resampler_of(context),
    )  # fmt: skip
    level = context.config.confidence_level
    return [
        results.SizeCell(
            size=size, instances=instances, n_objects=each.n_objects, n_found=each.n_found,
            recall=wilson(each.n_found, each.n_objects, level),
        )
        for (size, instances), each in zip(cells, found, strict=True)
    ]  # fmt: skip


def _other_classes(cases: Sequence[results.Case], level: int) -> list[results.OtherClass]:
    """Count the classes of the boxes on other objects at one level."""
    names = Counter(
        case.reason.rpartition(" class ")[2]
        for case in cases
        if case.type == "other_object" and case.first <= level <= case.last
    )
    return [results.OtherClass(name=name, n_boxes=count) for name, count in names.most_common()]


def _gradient_check(context: Context) -> results.GradientCheck:
    """Differentiate the logit by the activations, nothing known of the network, and compare the maps."""
    n_images = len(context.reported)
    spread = np.linspace(0, n_images - 1, min(N_GRADIENT_IMAGES, n_images)).astype(int)
    places = sorted(set(spread.tolist()))
    maps = predictions(context, "reported").maps[MAIN]
    images = [context.reported.images[place] for place in places]
    largest, both_empty, same_empty, done = 0.0, 0, True, 0
    batches = context.in_batches(images)
    for batch in context.progress.track(batches, len(images), "differentiate", context.config.batch_size):
        pictures = context.input_of(batch)
        plain = autograd_grad_cam(context, pictures)
        for map_, place in zip(plain, places[done : done + len(batch)], strict=True):
            ours = maps[place]
            same_empty &= bool(map_.max() > 0) == bool(ours.max() > 0)
            both_empty += int(map_.max() <= 0 and ours.max() <= 0)
            largest = max(largest, float(np.abs(normalise(map_) - normalise(ours)).max()))
        done += len(batch)
    return results.GradientCheck(
        n_images=len(places),
        largest_difference=largest if places else None,
        tolerance=GRADIENT_TOLERANCE,
        n_both_empty=both_empty,
        within=same_empty and largest <= GRADIENT_TOLERANCE,
    )


def autograd_grad_cam(context: Context, pictures: torch.Tensor) -> NDArray[np.float32]:
    """Return Grad-CAM of the target class by automatic differentiation alone: (N, h, w) float array."""
    classifier = context.classifier
    with forward_pass(
        classifier.network, pictures, [context.target], [classifier.target_layer], graph=True
    ) as forward:
        captured = forward.layers[classifier.target_layer]
        logits = forward.logits[:, context.target].sum()
        gradient = captured.layout.maps(torch.autograd.grad(logits, captured.output)[0]).float()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * captured.maps).sum(dim=1)).detach().cpu().numpy()


def _head(context: Context) -> results.Head:
    """Describe the head: its type, whether it is one linear layer, and the classes that it pools."""
    network, name = context.classifier.network, context.classifier.head
    head = network if name is None else network.get_submodule(name)
    pool = head if isinstance(head, LogOddsOfGroups) else getattr(network, "pool_of_outputs", None)
    members = pool.members[context.target] if isinstance(pool, LogOddsOfGroups) else None
    return results.Head(
        type=type(head).__name__,
        linear=has_linear_head(context.classifier),
        n_pooled=None if members is None else int(members.sum()),
        n_outputs=None if members is None else len(members),
    )
