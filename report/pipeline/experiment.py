"""One whole run: find data and classifier, run the stages, gather the record, write it and its tables."""

import importlib.metadata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dogcam.data.reading import read_split, split_ids
from dogcam.data.splits import split_name
from dogcam.errors import DataError
from dogcam.files import atomic_write, sha256_of
from dogcam.models.checkpoints import layers_sha256
from dogcam.models.classifier import Classifier
from dogcam.models.two_scale import HighResolutionPass
from dogcam.structures.boxes import area
from dogcam.structures.images import Split
from report import record as results
from report.config import RunConfig
from report.pipeline import backend, prepare
from report.pipeline.context import Context
from report.pipeline.folder import keep_earlier_claims, remove_partial_files, remove_stale_pictures
from report.pipeline.progress import ConsoleProgress
from report.pipeline.provenance import finished_at, run_info
from report.pipeline.published import IOU_THRESHOLDS as PUBLISHED_AT
from report.pipeline.published import PUBLISHED
from report.pipeline.runner import Stage, run_stages
from report.pipeline.sources import Sources
from report.pipeline.stages import (
    analyse,
    break_down,
    compare,
    draw,
    evaluate,
    evidence,
    localise,
    measure_maps,
    picture,
    predict,
    sanity,
    segment,
)
from report.record.claim_rules import with_claims
from report.record.io import write_results
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

MASKS = "the masks"
"""The data that only some stages look at: nothing else is to run again when masks come, or are mended."""

BOOTSTRAP = ("n_resamples", "confidence_level", "seed")

STAGES = (
    Stage(
        predict.NAME, "run the network over every image", predict.run,
        settings=("target", "batch_size", "backend"),
    ),
    Stage(
        localise.NAME, "tune thresholds, extract boxes", localise.run,
        needs=(predict.NAME,), settings=("target", "cam_threshold", "iou_thresholds"),
    ),
    Stage(
        evaluate.NAME, "measure classifier and boxes", evaluate.run,
        needs=(predict.NAME, localise.NAME),
        settings=("target", "iou_thresholds", "precision", *BOOTSTRAP),
    ),
    Stage(
        measure_maps.NAME, "map quality, class known", measure_maps.run,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP), inputs=(MASKS,),
    ),
    Stage(
        compare.NAME, "compare map methods", compare.run,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP),
    ),
    Stage(
        analyse.NAME, "classify failures", analyse.run,
        needs=(predict.NAME, localise.NAME, evaluate.NAME),
        settings=("target", "per_kind", *BOOTSTRAP),
    ),
    Stage(
        break_down.NAME, "recall by property", break_down.run,
        needs=(localise.NAME, evaluate.NAME), settings=("target", *BOOTSTRAP),
    ),
    Stage(
        sanity.NAME, "sanity checks", sanity.run,
        needs=(predict.NAME, localise.NAME), settings=("target", "batch_size", *BOOTSTRAP),
    ),
    Stage(
        segment.NAME, "pseudo-masks", segment.run,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP), inputs=(MASKS,),
    ),
    Stage(
        evidence.NAME, "pointing, meaning of the score, list of failures", evidence.run,
        needs=(predict.NAME, localise.NAME, evaluate.NAME),
        settings=("target", "batch_size", *BOOTSTRAP),
    ),
    Stage(
        picture.NAME, "draw the map grid and the masks", picture.run,
        needs=(predict.NAME, localise.NAME, evaluate.NAME, segment.NAME, evidence.NAME),
        settings=("target", "seed"), inputs=(MASKS,),
    ),
    Stage(
        draw.NAME, "draw figures and gallery", draw.run,
        needs=(
            predict.NAME, localise.NAME, evaluate.NAME, compare.NAME, analyse.NAME, sanity.NAME,
            evidence.NAME, break_down.NAME,
        ),
        settings=("target",),
    ),
)  # fmt: skip


def run_experiment(
    config: RunConfig, folder: Path, cache: Path, command: str, progress: ConsoleProgress
) -> results.Results:
    """Run everything that the settings ask for and write the record and its tables.

    Args:
        config: the settings.
        folder: the run's folder; stages that an earlier run left there are used again where they still hold.
        cache: where downloads and the rendered sample are kept.
        command: the command line for the record, without paths.
        progress: where to tell how far it is.

    Raises:
        DogcamError: where data, weights or settings are not in order; what was computed stays.
    """
    folder = folder.resolve()
    finished_at()  # refuses a faulty SOURCE_DATE_EPOCH before the work begins
    remove_partial_files(folder)
    with progress.counter("render the sample") as rendered:
        data = prepare.locate_data(config, cache, rendered)
    reported, tuning = prepare.read_data(config, data, progress.say)
    config = config.model_copy(update={"tuning_split": tuning.name if tuning else None})
    classifier = prepare.find_classifier(config, cache)
    # Before the images are hashed, so that no change can fall between the hash and the state.
    splits = [each for each in (reported, tuning) if each]
    sources = Sources(path for split in splits for path in _files_of(split))
    context = Context(config, folder, reported, tuning, classifier, progress, cache=cache, sources=sources)
    inputs = {
        "the images of the split": reported.manifest,
        "the images of the tuning split": tuning.manifest if tuning else "none",
        "the weights": classifier.weights_sha256(),
        "the classifier": _described(classifier),
        MASKS: f"{config.kind} {' '.join(each.masks_sha256 for each in splits)}",
        "the device": classifier.device.type,
        "the backend's libraries": backend.libraries(config.backend),
    }
    context, runs = run_stages(STAGES, context, inputs, progress.stage_ended)
    _write_tables(context)
    record = with_claims(_gather(context, run_info(command, classifier, runs)), keep_earlier_claims(folder))
    write_results(record, folder)
    remove_stale_pictures(folder, record)
    return record


def _files_of(split: Split) -> Iterator[Path]:
    for image in split.images:
        yield from filter(None, (image.path, image.mask_path))


def _described(classifier: Classifier) -> str:
    """Name all that decides what a classifier says, but for its weights."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in classifier.packages]
    named = (classifier.name, classifier.classes, classifier.target_layer, classifier.earlier_layer)
    looks = (classifier.head, classifier.preprocessing, classifier.high_resolution)
    return f"{named} {looks} {packages} {layers_sha256(classifier.network)}"


def _gather(context: Context, run: results.RunInfo) -> results.Results:
    outputs = context.outputs
    config = context.config
    return results.Results(
        title=f"Does the classifier know where the {config.target} is?",
        run=run,
        config=config.without_paths(),
        data=_data_info(context),
        model=_model_info(context),
        tuning=list(outputs[localise.NAME]["tuning"].values()),
        classification=outputs[evaluate.NAME]["classification"],
        detection=outputs[evaluate.NAME]["detection"],
        operating_point=outputs[evaluate.NAME]["operating_point"],
        localisation=outputs[measure_maps.NAME],
        failures=outputs[analyse.NAME],
        breakdowns=outputs[break_down.NAME],
        map_comparisons=outputs[compare.NAME]["comparisons"],
        sanity=outputs[sanity.NAME],
        segmentation=outputs[segment.NAME],
        published=PUBLISHED if _is_published_experiment(config) else [],
        evidence=outputs[evidence.NAME]["evidence"],
        pictures=outputs[picture.NAME]["pictures"],
        figures=outputs[draw.NAME]["figures"],
        files={
            name: sha256_of((context.folder / name).read_bytes())
            for name in (
                *outputs[draw.NAME]["files"],
                *outputs[picture.NAME]["files"],
                IMAGES_NAME,
                TRUTH_NAME,
                DETECTIONS_NAME,
                FAILURES_NAME,
            )
        },
    )


def _is_published_experiment(config: RunConfig) -> bool:
    asked = (config.kind, config.split, config.target, config.limit, config.iou_thresholds)
    return asked == ("voc2007", "test", "dog", 500, PUBLISHED_AT)


def _data_info(context: Context) -> results.DataInfo:
    config = context.config
    return results.DataInfo(
        name=config.data_name,
        kind=config.kind,
        target=config.target,
        reported=_split_info(context, context.reported),
        tuning=_split_info(context, context.tuning) if context.tuning else None,
        sample_seed=prepare.SAMPLE_SEED if config.kind == "sample" else None,
    )


def _n_listed(split: Split) -> int:
    """Return how many images the list of a split has, of which a run may take the first."""
    try:
        return max(len(split), len(split_ids(split.root, split_name(split.name))))
    except DataError:
        return len(split)


def _split_info(context: Context, split: Split) -> results.SplitInfo:
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
        n_target_images=n_images[target],
        n_target_objects=n_objects[target],
        n_target_difficult=sum(thing.difficult for things in targets for thing in things),
        n_images_with_several=sum(len(things) > 1 for things in targets),
        n_clipped_boxes=split.n_clipped,
        n_skipped_boxes=split.n_skipped,
        n_skipped_images=len(split.skipped_images),
        manifest=split.manifest,
        classes=[
            results.ClassCount(name=name, n_images=n_images[name], n_objects=n_objects[name])
            for name in sorted(n_objects)
        ],
        median_target_area=float(np.median(shares)) if shares else None,
        learned_from=_learned_from(context.classifier, split),
    )


def _learned_from(classifier: Classifier, split: Split) -> bool:
    """Tell whether the classifier was, by its card, trained on these images or the whole of their split."""
    if classifier.learned_from in (None, split.manifest):
        return classifier.learned_from is not None
    whole = split_name(split.name)
    if len(split_ids(split.root, whole)) == len(split):
        return False
    try:
        return read_split(split.root, whole).manifest == classifier.learned_from
    except DataError:
        # What this run does not look at need not be in order; then it is not known.
        return False


def _model_info(context: Context) -> results.ModelInfo:
    classifier = context.classifier
    maps = predict.load(context, "reported").maps
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
        backend=context.outputs[predict.NAME]["backend"],
    )


def _high_resolution_pass(
    high_resolution: HighResolutionPass | None,
) -> results.HighResolutionPassInfo | None:
    if high_resolution is None:
        return None
    height, width = high_resolution.size
    return results.HighResolutionPassInfo(height=height, width=width, share=high_resolution.share)


def _write_tables(context: Context) -> None:
    """Write what was looked at and what was found, so that runs can be compared image by image."""
    images, target = context.reported.images, context.config.target
    probabilities = predict.load(context, "reported").probabilities(context.target).tolist()
    seen = ((image.id, image.height, image.width, p) for image, p in zip(images, probabilities, strict=True))
    truth = (
        (image.id, *box, int(thing.difficult))
        for image in images
        for box, thing in zip(image.boxes_of(target).tolist(), image.objects_of(target), strict=True)
    )
    found = (
        (method, image.id, *row)
        for method, of_method in context.outputs[localise.NAME]["detections"]["reported"].items()
        for image, rows in zip(images, of_method, strict=True)
        for row in rows
    )
    evidence_found = results.Evidence(**context.outputs[evidence.NAME]["evidence"])
    point = context.outputs[evaluate.NAME]["operating_point"]["score_threshold"]
    atomic_write(context.folder / FAILURES_NAME, failures_table(evidence_found, point))
    atomic_write(context.folder / IMAGES_NAME, table(IMAGES_HEAD, seen))
    atomic_write(context.folder / TRUTH_NAME, table(TRUTH_HEAD, truth))
    atomic_write(context.folder / DETECTIONS_NAME, table(DETECTIONS_HEAD, found))
