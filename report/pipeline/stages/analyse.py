"""Type the failures at the operating point, and select the pictures of the gallery by rule."""

import numpy as np

from dogcam.detection.baselines import centre_boxes, full_boxes
from dogcam.evaluate import errors as taxonomy
from dogcam.evaluate.breakdowns import SIZES
from dogcam.evaluate.metrics import Matches
from dogcam.structures.boxes import iou
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared import cases
from report.pipeline.shared.boxes import matches_of
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.shared.gallery import Gallery

NAME = "analyse"


def run(context: Context) -> dict:
    """Classify every failure of the main method and pick the gallery."""
    point = context.outputs["evaluate"]["operating_point"]
    iou_threshold, score_threshold = point["iou"], point["score_threshold"]
    matches = matches_of(context, MAIN)
    at_point = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    inputs = cases.case_inputs(context, matches, iou_threshold)
    failures = taxonomy.classify_failures(matches, **at_point, others=inputs.others)
    gains = taxonomy.ap_gains(matches, failures, **at_point, resampler=resampler_of(context))
    successes = taxonomy.find_successes(matches, **at_point)
    telling = [success for success in successes if not _trivial(context, matches, success, iou_threshold)]
    gallery = Gallery(context, inputs, score_threshold)
    return results.Failures(
        n_success=len(successes),
        types=[
            results.FailureTypeResult(
                type=count.type,
                n_detections=count.n_detections,
                n_missed=count.n_missed,
                ap_gain=gain.ap,
                items=gallery.failures([each for each in failures if each.type == count.type]),
            )
            for count, gain in zip(taxonomy.count_types(failures), gains, strict=True)
        ],
        n_trivial=len(successes) - len(telling),
        successes=gallery.successes(telling or successes),
        size_edges=tuple(SIZES.values())[1:],
        per_type=context.config.per_type,
        seed=context.config.seed,
    ).model_dump(mode="json")


def _trivial(context: Context, matches: Matches, success: taxonomy.Success, iou_threshold: float) -> bool:
    """Tell whether a centre box or the whole image would have found the object too."""
    size = context.reported.images[success.image].size
    fixed = np.vstack([centre_boxes([size]), full_boxes([size])])
    return bool(iou(fixed, matches.ground_truth.boxes[[success.ground_truth]]).max() > iou_threshold)
