"""Gather the record of a run from the outputs of its stages, and write its tables."""

from collections import Counter

import numpy as np

from dogcam.data.reading import read_split, split_ids
from dogcam.data.splits import split_name
from dogcam.errors import DataError
from dogcam.files import atomic_write, sha256_of
from dogcam.models.classifier import Classifier
from dogcam.models.two_scale import HighResolutionPass
from dogcam.structures.boxes import area
from dogcam.structures.images import Split
from report import record as results
from report.config import RunConfig
from report.pipeline.context import Context
from report.pipeline.locate import SAMPLE_SEED
from report.pipeline.published import IOU_THRESHOLDS as PUBLISHED_AT
from report.pipeline.published import PUBLISHED
from report.pipeline.shared.boxes import compared, is_ignored, rows_of
from report.pipeline.shared.predictions import predictions
from report.record.tables import (
    DETECTIONS_HEAD,
    DETECTIONS_NAME,
    FAILURES_NAME,
    IMAGES_HEAD,
    IMAGES_NAME,
    TRUTH_HEAD,
    TRUTH_NAME,
    failures_table,
    table,
)


def gather(context: Context, run: results.RunInfo) -> results.Results:
    """Return the record of a run whose stages and tables are complete.

    Args:
        context: with the outputs of all stages.
        run: what was run, when and where.
    """
    outputs = context.outputs
    config = context.config
    of_classes = outputs.get("classes") or {"classes": None, "figures": [], "files": []}
    return results.Results(
        title=f"Does the classifier know where the {config.target} is?",
        run=run,
        config=config.without_paths(),
        data=_data_info(context),
        model=model_info(context),
        tuning=list(outputs["localise"]["tuning"].values()),
        classification=outputs["evaluate"]["classification"],
        detection=outputs["evaluate"]["detection"],
        operating_point=outputs["evaluate"]["operating_point"],
        classes=of_classes["classes"],
        presets=outputs.get("ablation"),
        localisation=outputs["measure_maps"],
        failures=outputs["analyse"],
        breakdowns=outputs["break_down"],
        map_comparisons=outputs["compare"]["comparisons"],
        sanity=outputs["sanity"],
        segmentation=outputs["segment"],
        published=PUBLISHED if is_published_experiment(config) else [],
        evidence=outputs["evidence"]["evidence"],
        pictures=outputs["picture"]["pictures"],
        figures=[*outputs["draw"]["figures"], *of_classes["figures"]],
        files={
            name: sha256_of((context.folder / name).read_bytes())
            for name in (
                *outputs["draw"]["files"],
                *of_classes["files"],
                *outputs["picture"]["files"],
                IMAGES_NAME,
                TRUTH_NAME,
                DETECTIONS_NAME,
                FAILURES_NAME,
            )
        },
    )


def is_published_experiment(config: RunConfig) -> bool:
    """Return whether a run reproduces the published experiment and can be compared with its results."""
    asked = (config.kind, config.split, config.target, config.limit, config.iou_thresholds)
    return asked == ("voc2007", "test", "dog", 500, PUBLISHED_AT)


def _data_info(context: Context) -> results.DataInfo:
    config = context.config
    return results.DataInfo(
        name=config.data_name,
        kind=config.kind,
        target=config.target,
        reported=split_info(context, context.reported),
        tuning=split_info(context, context.tuning) if context.tuning else None,
        sample_seed=SAMPLE_SEED if config.kind == "sample" else None,
    )


def _n_listed(split: Split) -> int:
    """Return how many images the list of a split has, of which a run may take the first."""
    try:
        return max(len(split), len(split_ids(split.root, split_name(split.name))))
    except DataError:
        return len(split)


def split_info(context: Context, split: Split) -> results.SplitInfo:
    """Count the images and objects of a split."""
    target = context.config.target
    n_images = Counter(name for image in split.images for name in image.labels)
    n_objects = Counter(thing.name for image in split.images for thing in image.objects)
    targets = [image.objects_of(target) for image in split.images]
    shares = [
        share
        for image in split.images
        for share in area(image.boxes_of(target)) / (image.height * image.width)
    ]
    return results.SplitInfo(
        name=split.name,
        n_images=len(split),
        n_listed=_n_listed(split),
        n_clipped_boxes=split.n_clipped,
        n_skipped_boxes=split.n_skipped,
        n_skipped_images=len(split.skipped_images),
        n_target_images=n_images[target],
        n_target_objects=n_objects[target],
        n_target_difficult=sum(thing.difficult for things in targets for thing in things),
        n_target_ignored=sum(is_ignored(context.config, thing) for things in targets for thing in things),
        n_images_with_several=sum(len(things) > 1 for things in targets),
        manifest=split.manifest,
        classes=[
            results.ClassCount(name=name, n_images=n_images[name], n_objects=n_objects[name])
            for name in sorted(n_objects)
        ],
        median_target_area=float(np.median(shares)) if shares else None,
        learned_from=_learned_from(context.classifier, split),
    )


def _learned_from(classifier: Classifier, split: Split) -> bool:
    """Return whether the card says that the classifier was trained on these images or their whole split."""
    if classifier.learned_from in (None, split.manifest):
        return classifier.learned_from is not None
    whole = split_name(split.name)
    if len(split_ids(split.root, whole)) == len(split):
        return False
    try:
        return read_split(split.root, whole).manifest == classifier.learned_from
    except DataError:
        # The rest of the split may be faulty; then it is not known.
        return False


def model_info(context: Context) -> results.ModelInfo:
    """Describe the classifier and the sizes of its maps."""
    classifier = context.classifier
    maps = predictions(context, "reported").maps
    main, earlier = maps["grad_cam"], maps["grad_cam_earlier"]
    return results.ModelInfo(
        name=classifier.name,
        source=classifier.source,
        classes=list(classifier.classes),
        target_layer=classifier.target_layer,
        earlier_layer=classifier.earlier_layer,
        input_height=classifier.preprocessing.size[0],
        input_width=classifier.preprocessing.size[1],
        high_resolution_pass=_high_resolution_pass(classifier.high_resolution),
        map_height=main.shape[1],
        map_width=main.shape[2],
        earlier_map_height=earlier.shape[1],
        earlier_map_width=earlier.shape[2],
        n_parameters=classifier.n_parameters,
        weights=classifier.weights_sha256(),
        backend=context.outputs["predict"]["backend"],
    )


def _high_resolution_pass(
    high_resolution: HighResolutionPass | None,
) -> results.HighResolutionPassInfo | None:
    if high_resolution is None:
        return None
    height, width = high_resolution.size
    return results.HighResolutionPassInfo(height=height, width=width, share=high_resolution.share)


def write_tables(context: Context) -> None:
    """Write the images, their ground truth and the detections, so that runs can be compared by image."""
    images, target = context.reported.images, context.config.target
    probabilities = predictions(context, "reported").probabilities(context.target).tolist()
    seen = ((image.id, image.height, image.width, p) for image, p in zip(images, probabilities, strict=True))
    truth = (
        (image.id, *box, int(thing.difficult), int(is_ignored(context.config, thing)))
        for image in images
        for box, thing in zip(image.boxes_of(target).tolist(), image.objects_of(target), strict=True)
    )
    found = (
        (method, image.id, *row)
        for method in compared(context)
        for image, rows in zip(images, rows_of(context, method), strict=True)
        for row in rows
    )
    evidence_found = results.FurtherMeasurements(**context.outputs["evidence"]["evidence"])
    point = context.outputs["evaluate"]["operating_point"]["score_threshold"]
    several = context.outputs.get("classes")
    others = results.Classes(**several["classes"]).failures if several else []
    atomic_write(context.folder / FAILURES_NAME, failures_table(evidence_found, point, target, others))
    atomic_write(context.folder / IMAGES_NAME, table(IMAGES_HEAD, seen))
    atomic_write(context.folder / TRUTH_NAME, table(TRUTH_HEAD, truth))
    atomic_write(context.folder / DETECTIONS_NAME, table(DETECTIONS_HEAD, found))
