"""Measure classifier and detections: AP, recall, curves, intervals, paired comparisons, operating point."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dogcam.data.image_cache import label_matrix
from dogcam.errors import ConfigError
from dogcam.evaluate import metrics
from dogcam.evaluate.classification import AP_VARIANT, score_classes
from dogcam.evaluate.metrics import Matches, Resampler, defined, estimate, undefined
from dogcam.structures.presets import PUBLISHED
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import AT_EARLIER, EARLIER, MAIN, METHODS, title_of
from report.pipeline.shared.boxes import compared, matches_of
from report.pipeline.shared.estimates import ap_samples, over_images, resampler_of
from report.pipeline.shared.predictions import predictions
from report.pipeline.shared.shares import share

NAME = "evaluate"

DEFAULT_SCORE_THRESHOLD = 0.5
"""The operating point where no split was there to choose it on: as likely as not."""

TIES_MATTER = 0.01
"""From which difference of AP on the report warns that equal scores were ordered arbitrarily."""

ROUND_SCORES = tuple(tenth / 10 for tenth in range(9, 0, -1))
"""The score thresholds of the table next to the curve."""


class Output(results.Model):
    """The measured detections, the operating point and the classification."""

    detection: results.Detection
    operating_point: results.ChosenThreshold
    classification: results.Classification


def run(context: Context) -> dict:
    """Evaluate every method on the reported split."""
    thresholds = context.config.iou_thresholds
    names = compared(context)
    matches = {name: matches_of(context, name) for name in names}
    resampler = resampler_of(context)
    in_turn = context.progress.track(names, len(names), "evaluate")
    resampled = {name: ap_samples(context, matches[name]) for name in in_turn}
    point = _operating_point(context, matches[MAIN], resampler)
    detection = results.Detection(
        ap_variant="all_point",
        ties="stable",
        difficult=context.config.difficult,
        crowd=context.config.crowd,
        n_resamples=context.config.n_resamples,
        bootstrap_seed=context.config.seed,
        iou_thresholds=list(thresholds),
        methods=[
            _method(name, title_of(name, context.classifier), matches[name], resampled[name], resampler)
            for name in names
        ],
        comparisons=_comparisons(matches, resampled, thresholds, resampler),
        points=_points(context, matches[MAIN], point.iou),
        thresholds=[
            results.ThresholdRow(**at_threshold(matches[MAIN], point.iou, score, resampler))
            for score in sorted({*ROUND_SCORES, point.score_threshold}, reverse=True)
        ],
    )
    return {
        "detection": detection.model_dump(mode="json"),
        "operating_point": point.model_dump(mode="json"),
        "classification": _classification(context, resampler).model_dump(mode="json"),
    }


def _method(
    name: str, title: str, matches: Matches, samples: NDArray[np.float64], resampler: Resampler
) -> results.MethodResult:
    text = METHODS[name]
    older = metrics.match(
        matches.ground_truth,
        matches.detections,
        matches.iou_thresholds,
        ties="introsort",
        difficult="ignored",
    )
    rows, curves = [], []
    for iou, drawn in zip(matches.iou_thresholds, samples, strict=True):
        curve = metrics.precision_recall(matches, iou)
        ties = metrics.ap_over_ties(matches, iou, seed=resampler.seed)
        rows.append(
            results.DetectionRow(
                iou=iou,
                ap=defined(curve.average_precision()),
                recall=defined(curve.total_recall),
                n_ground_truth=matches.n_ground_truth,
                n_detections=len(matches.detections),
                # Without a hit, every resample has an AP of 0: that is no interval.
                ap_interval=resampler.interval(drawn) if curve.n_found else undefined(resampler.level),
                recall_interval=share(
                    curve.n_found, matches.n_ground_truth, resampler.recall(matches, iou)
                ).interval,
                ap_lowest=defined(ties.low),
                ap_highest=defined(ties.high),
                depends_on_ties=ties.width > TIES_MATTER,
                ap_expected=estimate(ties.expected, ties.interval(resampler.level)),
                ap_introsort=defined(metrics.precision_recall(older, iou).average_precision()),
            )
        )
        curves.append(thinned_curve(matches, curve, resampler))
    return results.MethodResult(
        name=name, title=title, description=text.description, kind=text.kind, colour=text.colour,
        dash=text.dash, rows=rows, curves=curves,
    )  # fmt: skip


def thinned_curve(matches: Matches, curve: metrics.PrecisionRecall, resampler: Resampler) -> results.Curve:
    """Thin a curve to the points at which it turns: around each true positive, and the last."""
    rises = np.diff(curve.true_positives, prepend=0) > 0
    keep = rises | np.append(rises[1:], True)[: len(rises)]
    low, high = resampler.precision_band(matches, curve.iou_threshold, curve.recall[keep])
    return results.Curve(
        iou=curve.iou_threshold,
        recall=_rounded(curve.recall[keep]),
        precision=_rounded(curve.precision[keep]),
        score=_rounded(curve.scores[keep]),
        precision_low=_rounded(low, 4),
        precision_high=_rounded(high, 4),
    )


def _rounded(values: NDArray[np.float64], digits: int = 6) -> list[float | None]:
    return [defined(value) for value in np.round(values, digits)]


def _points(context: Context, matches: Matches, iou: float) -> list[results.ScoredDetection]:
    """Say of every detection, best rank first, whether it is right."""
    right = matches.kind_at(iou) == metrics.TRUE_POSITIVE
    return [
        results.ScoredDetection(
            image_id=context.reported.images[matches.detections.image[index]].id,
            score=float(matches.detections.scores[index]),
            correct=bool(right[index]),
        )
        for index in matches.ranked(iou)
    ]


def _comparisons(
    matches: dict[str, Matches],
    resampled: dict[str, NDArray[np.float64]],
    thresholds: Sequence[float],
    resampler: Resampler,
) -> list[results.Comparison]:
    pairs = [(MAIN, other) for other in matches if other != MAIN]
    pairs += [(EARLIER, other) for other in AT_EARLIER]
    pairs += [(name, PUBLISHED) for name in matches if METHODS[name].kind == "preset" and name != PUBLISHED]
    return [
        _comparison(matches, resampled, pair, index, iou, resampler)
        for pair in pairs
        for index, iou in enumerate(thresholds)
    ]


def _comparison(
    matches: dict, resampled: dict, pair: tuple[str, str], index: int, iou: float, resampler: Resampler
) -> results.Comparison:
    ap, other_ap = (metrics.precision_recall(matches[name], iou).average_precision() for name in pair)
    difference = ap - other_ap
    n_images = int(np.count_nonzero(metrics.ground_truth_per_image(matches[pair[0]])))
    samples = resampled[pair[0]][index] - resampled[pair[1]][index]
    found = over_images(n_images, resampler.interval(samples))
    verdict = "not distinguishable"
    if found.excludes_zero:
        verdict = "better" if difference > 0 else "worse"
    return results.Comparison(
        a=pair[0], b=pair[1], iou=iou, difference=estimate(difference, found), verdict=verdict
    )


def _operating_point(context: Context, matches: Matches, resampler: Resampler) -> results.ChosenThreshold:
    iou, asked = context.config.iou_thresholds[-1], context.config.precision
    if context.tuning is None and asked is not None:
        raise ConfigError(
            f"a precision of {asked:g} was asked for, and there is no tuning split to choose a threshold on; "
            "name one with --tuning-split, or leave --precision out"
        )
    if context.tuning is None:
        rule, score_threshold, chosen_on = "default", DEFAULT_SCORE_THRESHOLD, "no split: the default"
    else:
        rule = "best_f1" if asked is None else "precision"
        score_threshold, chosen_on = (
            choose_threshold(matches_of(context, MAIN, "tuning"), iou, asked, context.tuning.name),
            context.tuning.name,
        )
    return results.ChosenThreshold(
        method=MAIN, iou=iou, rule=rule, asked_precision=asked, chosen_on=chosen_on,
        **at_threshold(matches, iou, score_threshold, resampler),
    )  # fmt: skip


def at_threshold(matches: Matches, iou: float, score_threshold: float, resampler: Resampler) -> dict:
    """Return the counts and ratios of one score threshold, as the fields of a `ThresholdRow`."""
    point = metrics.operating_point(metrics.precision_recall(matches, iou), score_threshold)
    at = (matches, iou, score_threshold)
    return {
        "score_threshold": score_threshold,
        "true_positives": point.true_positives,
        "false_positives": point.false_positives,
        "false_negatives": point.false_negatives,
        "precision": share(
            point.true_positives, point.true_positives + point.false_positives, resampler.precision(*at)
        ),
        "recall": share(point.true_positives, matches.n_ground_truth, resampler.recall(*at)),
        "f1": estimate(point.f1, resampler.f1(*at) if point.true_positives else None),
    }


def choose_threshold(matches: Matches, iou: float, asked: float | None, split: str) -> float:
    """Choose the score threshold of the operating point on the tuning split.

    Args:
        matches: of the tuning split.
        iou: one of its IoU thresholds.
        asked: the least precision; None for the best F1.
        split: the name of the tuning split.

    Raises:
        ConfigError: if no threshold reaches the precision.
    """
    curve = metrics.precision_recall(matches, iou)
    if asked is None:
        threshold = metrics.best_f1_point(curve).score_threshold
        # Without a true positive on the tuning split no threshold is best; 1 is the highest score.
        return threshold if math.isfinite(threshold) else 1.0
    point = metrics.precision_at_least(curve, asked)
    if not math.isfinite(point.score_threshold):
        # Rounded down, so that the stated precision can be reached.
        best = math.floor(1000 * metrics.best_precision(curve)) / 1000
        raise ConfigError(
            f"no score threshold reaches the precision {asked:g} at IoU {iou:g} on {split}; "
            f"the best precision is {best:.3f}: choose a --precision of at most this"
        )
    return point.score_threshold


def _classification(context: Context, resampler: Resampler) -> results.Classification:
    predicted = predictions(context, "reported")
    annotated = set(context.reported.class_names())
    known = [name for name in context.classifier.classes if name in annotated]
    labels = label_matrix(context.reported.images, known)
    scores = torch.tensor(
        np.stack([predicted.probabilities(context.classifier.index_of(name)) for name in known], axis=1)
    )
    ranked = score_classes(labels, scores, known, resampler)
    classes = [
        results.ClassAp(name=each.name, n_images=each.n_positive, ap=estimate(each.ap, each.interval))
        for each in ranked.classes
    ]
    present = np.array([context.has_target(image) for image in context.reported.images])
    right = (predicted.probabilities(context.target) > 0.5) == present
    whole = np.ones(len(right))
    return results.Classification(
        target=next(each.ap for each in classes if each.name == context.config.target),
        chance=float(present.mean()),
        accuracy=estimate(right.mean(), resampler.ratio(right, whole)),
        mean_ap=estimate(ranked.mean_ap, ranked.interval) if len(classes) > 1 else None,
        classes=classes,
        ap_variant=AP_VARIANT,
    )
