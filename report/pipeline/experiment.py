"""One whole run: find data and classifier, run the stages, gather the record, write it and its tables."""

import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from dogcam.data.workers import n_cores, worker_processes
from dogcam.files.states import Sources
from dogcam.models.checkpoints import layers_sha256
from dogcam.models.classifier import Classifier
from dogcam.structures.images import Split
from report import record as results
from report.config import EngineName, RunConfig
from report.pipeline import backend, prepare
from report.pipeline.context import Context, Progress
from report.pipeline.engines import Engine, Held, pickled
from report.pipeline.folder import keep_earlier_claims, remove_stale_pictures
from report.pipeline.gather import gather, write_tables
from report.pipeline.held import content as held_content
from report.pipeline.held import hold
from report.pipeline.provenance import run_info
from report.pipeline.runner import Stage, run_stages
from report.pipeline.stages import (
    ablation,
    analyse,
    break_down,
    classes,
    compare,
    draw,
    evaluate,
    evidence,
    localise,
    measure_maps,
    picture,
    predict,
    presets,
    sanity,
    segment,
)
from report.pipeline.targets import choose_targets
from report.pipeline.unchanged import Inputs, note_end
from report.record.claim_rules import with_claims
from report.record.io import write_results

MASKS = "the masks"
"""An input of some stages only: no other stage runs again when masks are added or corrected."""

LOCALISER_FILE = "the localiser"
"""An input of the presets only."""

BOOTSTRAP = ("n_resamples", "confidence_level", "seed")

IGNORED = ("difficult", "crowd")
"""Which objects do not count."""

STAGES = (
    Stage(
        predict.NAME, "run the network over every image", predict.run, output=predict.Output,
        settings=("target", "targets", "batch_size", "backend"),
    ),
    Stage(
        localise.NAME, "tune thresholds, extract boxes", localise.run, output=localise.Output,
        needs=(predict.NAME,), settings=("target", "cam_threshold", "iou_thresholds", *IGNORED),
    ),
    Stage(
        presets.NAME, "find boxes by presets", presets.run, output=presets.Output,
        settings=("target", "targets", "presets"), inputs=(LOCALISER_FILE,),
    ),
    Stage(
        evaluate.NAME, "measure classifier and boxes", evaluate.run, output=evaluate.Output,
        needs=(predict.NAME, localise.NAME, presets.NAME),
        settings=("target", "iou_thresholds", "precision", *BOOTSTRAP),
    ),
    Stage(
        ablation.NAME, "measure presets step by step", ablation.run, output=results.Presets,
        needs=(predict.NAME, localise.NAME, presets.NAME),
        settings=("target", "targets", "iou_thresholds", *IGNORED, *BOOTSTRAP),
    ),
    Stage(
        classes.NAME, "measure several classes", classes.run, output=classes.Output,
        needs=(predict.NAME, localise.NAME, evaluate.NAME),
        settings=("target", "targets", "per_type", "iou_thresholds", "cam_threshold", *IGNORED, *BOOTSTRAP),
    ),
    Stage(
        measure_maps.NAME, "map quality, class known", measure_maps.run, output=results.Localisation,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP), inputs=(MASKS,),
    ),
    Stage(
        compare.NAME, "compare map methods", compare.run, output=compare.Output,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP),
    ),
    Stage(
        analyse.NAME, "classify failures", analyse.run, output=results.Failures,
        needs=(predict.NAME, localise.NAME, evaluate.NAME),
        settings=("target", "per_type", *BOOTSTRAP),
    ),
    Stage(
        break_down.NAME, "recall by property", break_down.run, output=results.Breakdowns,
        needs=(localise.NAME, evaluate.NAME), settings=("target", *BOOTSTRAP),
    ),
    Stage(
        sanity.NAME, "sanity checks", sanity.run, output=results.Sanity,
        needs=(predict.NAME, localise.NAME), settings=("target", "batch_size", *BOOTSTRAP),
    ),
    Stage(
        segment.NAME, "pseudo-masks", segment.run, output=results.Segmentation | None,
        needs=(predict.NAME, localise.NAME), settings=("target", *BOOTSTRAP), inputs=(MASKS,),
    ),
    Stage(
        evidence.NAME, "pointing, meaning of the score, list of failures", evidence.run,
        output=evidence.Output,
        needs=(predict.NAME, localise.NAME, presets.NAME, evaluate.NAME),
        settings=("target", "batch_size", *BOOTSTRAP),
    ),
    Stage(
        picture.NAME, "draw the map grid and the masks", picture.run, output=picture.Output,
        needs=(predict.NAME, localise.NAME, evaluate.NAME, segment.NAME, evidence.NAME),
        settings=("target", "seed"), inputs=(MASKS,),
    ),
    Stage(
        draw.NAME, "draw figures and gallery", draw.run, output=draw.Output,
        needs=(
            predict.NAME, localise.NAME, evaluate.NAME, compare.NAME, analyse.NAME, sanity.NAME,
            evidence.NAME, break_down.NAME,
        ),
        settings=("target",),
    ),
)  # fmt: skip


class RunProgress(Progress, Protocol):
    """How a run states its progress."""

    def counter(self, description: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Return a context that yields a function of (done, total)."""

    def stage_ended(self, run: results.StageRun) -> None:
        """State what became of a stage, why, and its time."""


def run_experiment(
    config: RunConfig,
    data: Path,
    folder: Path,
    cache: Path,
    command: str,
    progress: RunProgress,
    engine: EngineName = "local",
) -> results.Results:
    """Run everything that the settings ask for and write the record and its tables.

    Args:
        config: the settings.
        data: the data set, from `locate_data`.
        folder: the run's folder; outputs of an earlier run there are reused while they are valid.
        cache: where downloads and the rendered sample are kept.
        command: the command line for the record, without paths.
        progress: receives the progress.
        engine: where the network runs and boxes are located; it changes no number.

    Raises:
        DogcamError: if data, weights or settings are faulty; computed outputs are kept.
    """
    folder = folder.resolve()
    progress.stage_began("read images and weights")
    asked, weights = config, prepare.weight_files(config, cache)
    # Before anything is read, so that no change can fall between the reading and the state.
    before = Inputs.of(asked, cache, (data, *weights)) if weights is not None and data.is_dir() else None
    reported = prepare.read_reported(config, data, progress.say)
    classifier = prepare.find_classifier(config, cache)
    config = choose_targets(config, reported, classifier)
    tuning = prepare.read_tuning(config, data, reported, progress.say)
    config = config.model_copy(update={"tuning_split": tuning.name if tuning else None})
    # Likewise before the images are hashed.
    splits = [each for each in (reported, tuning) if each]
    sources = Sources(path for split in splits for path in split.files)
    context = Context(config, folder, reported, tuning, classifier, progress, cache=cache, sources=sources)
    inputs = {
        "the images of the split": reported.manifest,
        "the images of the tuning split": tuning.manifest if tuning else "none",
        "the weights": classifier.weights_sha256(),
        "the classifier": _described(classifier),
        MASKS: f"{config.kind} {' '.join(each.masks_sha256 for each in splits)}",
        LOCALISER_FILE: prepare.localiser_sha256(config),
        "the device": classifier.device.type,
        "the backend's libraries": backend.libraries(config.backend),
    }
    stages = stages_of(config)
    with _workers(classifier, engine) as (pool, workers):
        equipped = replace(context, pool=pool, engine=workers)
        context, runs = run_stages(stages, equipped, inputs, progress.stage_ended)
    write_tables(context)
    run = run_info(command, classifier.device.type, torch.get_num_threads(), runs)
    record = with_claims(gather(context, run), keep_earlier_claims(folder))
    write_results(record, folder)
    remove_stale_pictures(folder, record)
    if before is not None and all(_is_below(data, split) for split in splits):
        note_end(folder, before, asked, cache, record)
    return record


@contextmanager
def _workers(classifier: Classifier, engine: EngineName) -> Iterator[tuple[Executor | None, Engine | None]]:
    """Provide processes of this machine, and workers that hold the classifier."""
    # Those of Ray get the classifier from it.
    is_local = engine == "local" and classifier.device.type == "cpu" and n_cores() > 1
    content = pickled(classifier) if is_local else None
    with ExitStack() as stack:
        pool, workers = None, None
        if n_cores() > 1:
            # They start with the first work for them.
            pool = stack.enter_context(worker_processes(n_cores(), partial(hold, content)))
        if engine == "ray":
            # Imported here, because it is an extra.
            from report.pipeline.ray_engine import ray_engine

            workers = stack.enter_context(ray_engine(classifier))
        elif pool is not None and content is not None:
            workers = Engine(pool, Held(classifier.name, "cpu", held_content))
        yield pool, workers


def stages_of(config: RunConfig) -> list[Stage]:
    """Return the stages that the settings ask for, in their order."""
    optional = {classes.NAME: config.several, presets.NAME: config.presets, ablation.NAME: config.presets}
    return [stage for stage in STAGES if optional.get(stage.name, True)]


def _is_below(folder: Path, split: Split) -> bool:
    """Tell whether every file of a split is in a folder."""
    notes = (image.annotation_path for image in split.images if image.annotation_path)
    return all(path.is_relative_to(folder) for path in (*split.files, *notes))


def _described(classifier: Classifier) -> str:
    """Return everything but the weights that determines the output of a classifier."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in classifier.packages]
    named = (classifier.name, classifier.classes, classifier.target_layer, classifier.earlier_layer)
    looks = (classifier.head, classifier.preprocessing, classifier.high_resolution)
    return f"{named} {looks} {packages} {layers_sha256(classifier.network)}"
