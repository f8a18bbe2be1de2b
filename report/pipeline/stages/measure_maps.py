"""Measure the maps with the class given, and tell the classifier's errors from theirs."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import map_metrics as map_metrics
from dogcam.evaluate.map_metrics import MapScores
from dogcam.evaluate.metrics import Estimate, Resampler, located
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import EARLIER, MAIN, METHODS, RULE_OF
from report.pipeline.shared.boxes import matches_of
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.map_scores import score_maps
from report.pipeline.shared.masks import mask_index
from report.pipeline.shared.predictions import predictions
from report.pipeline.shared.shares import share
from report.pipeline.workers import in_processes

NAME = "measure_maps"

CENTRE = "centre_bell"
"""A fixed map: the baseline."""

TITLES = {name: METHODS[name].title for name in (MAIN, EARLIER)} | {CENTRE: "Centred Gaussian"}

SCORE_THRESHOLD = 0.5
"""As likely as not: the label that a classifier gives by itself."""


def run(context: Context) -> dict:
    """Measure each CAM method on the images of the reported split that show the target."""
    scores = _scores(context)
    masks = [each for each in scores[MAIN] if each is not None and each.pixels.any()]
    return results.Localisation(
        n_images=sum(each is not None for each in scores[MAIN]),
        n_masks=len(masks),
        cam_threshold=_cam_threshold(context, MAIN),
        n_thresholds=len(map_metrics.BOX_CAM_THRESHOLDS),
        strict_iou=map_metrics.STRICT_IOU,
        iou_levels=list(map_metrics.IOU_LEVELS),
        tolerance=map_metrics.POINTING_TOLERANCE,
        score_threshold=SCORE_THRESHOLD,
        rows=[_row(name, scores[name], bool(masks), resampler_of(context)) for name in TITLES],
        classified_and_localised=_classified_and_localised(context),
    ).model_dump(mode="json")


def _row(
    name: str, scores: list[MapScores | None], with_masks: bool, resampler: Resampler
) -> results.MapMetrics:
    def measured(measure: Callable[[map_metrics.Scores, Resampler], Estimate]) -> Estimate:
        found = measure(scores, resampler)
        # A share of images that is none or all of them; the other measures are no shares.
        if found.value in (0, 1) and found.interval is not None:
            n = sum(each is not None for each in scores)
            return share(round(found.value * n), n, found.interval)
        return found

    return results.MapMetrics(
        name=name,
        title=TITLES[name],
        box_accuracy=measured(map_metrics.box_accuracy),
        max_box_accuracy=measured(map_metrics.max_box_accuracy),
        max_box_accuracy_v2=measured(map_metrics.max_box_accuracy_v2),
        pointing=measured(map_metrics.pointing_game),
        energy=measured(map_metrics.energy_pointing_game),
        pixel_ap=measured(map_metrics.pixel_average_precision) if with_masks else None,
    )


def _scores(context: Context) -> dict[str, list[MapScores | None]]:
    """Return the measurements of each kind of map by image; None for an image without the target."""
    places = [place for place, image in enumerate(context.reported.images) if context.has_target(image)]
    images = [context.reported.images[place] for place in places]
    predicted = predictions(context, "reported").maps
    maps = [tuple(None if name == CENTRE else predicted[name][place] for name in TITLES) for place in places]
    score = partial(
        score_maps,
        target=context.config.target,
        mask_index=mask_index(context),
        cam_thresholds={name: _cam_threshold(context, name) for name in TITLES},
    )
    measured = in_processes(context.pool, score, images, maps)
    scores: dict[str, list[MapScores | None]] = {name: [None] * len(context.reported) for name in TITLES}
    for place, of_image in zip(
        places, context.progress.track(measured, len(images), "measure maps"), strict=True
    ):
        for name, each in of_image.items():
            scores[name][place] = each
    return scores


def _cam_threshold(context: Context, name: str) -> float:
    """Return the threshold of a kind of map; the centred Gaussian takes the main method's."""
    rule = RULE_OF.get(name, RULE_OF[MAIN])
    return context.outputs["localise"]["tuning"][rule]["cam_threshold"]


def _classified_and_localised(context: Context) -> results.ClassifiedAndLocalised:
    placed, present = located(matches_of(context, MAIN), map_metrics.STRICT_IOU)
    probable = predictions(context, "reported").probabilities(context.target) > SCORE_THRESHOLD
    label, place = present & probable, present & placed

    def of(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
        return share(int(part.sum()), int(whole.sum()), resampler_of(context).ratio(part, whole))

    return results.ClassifiedAndLocalised(
        n_both=int((label & place).sum()),
        n_classified_only=int((label & ~place).sum()),
        n_localised_only=int((place & ~label).sum()),
        n_neither=int((present & ~label & ~place).sum()),
        localised=of(place, present),
        classified=of(label, present),
        localised_given_label=of(label & place, label),
        both=of(label & place, present),
    )
