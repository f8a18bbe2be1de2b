"""Run an experiment and render its report, under the lock of the run's folder."""

from functools import partial
from importlib import import_module
from pathlib import Path

from dogcam.errors import ConfigError
from dogcam.files import require_writable
from dogcam.files.locks import dir_lock
from report import record as results
from report.config import REFERENCE, EngineName, RunConfig
from report.pipeline.folder import end_run, remove_partial_files
from report.pipeline.provenance import finished_at
from report.pipeline.unchanged import reuse_run
from report.progress import ConsoleProgress
from report.record.photographs import Photographs
from report.render.loader import Templates
from report.render.render import write_report

EXPERIMENT = "report.pipeline.experiment"
"""The module that computes a run; it imports torch."""


def run(
    config: RunConfig,
    folder: Path,
    cache: Path | None,
    command: str,
    progress: ConsoleProgress,
    templates: Templates | None = None,
    engine: EngineName = "local",
) -> results.Results | Photographs:
    """Run everything that the settings ask for, and write record, tables, figures and report.

    Photographs without annotations get boxes, maps and a gallery; nothing is measured.

    Args:
        config: the settings.
        folder: the run's folder; valid outputs of an earlier run there are reused.
        cache: where data sets are kept; None for the user's cache.
        command: the command line for the record, without paths.
        progress: receives the progress.
        templates: None for the program's own.
        engine: where the network runs and boxes are located.

    Raises:
        DogcamError: if data, weights, settings or templates are faulty; computed outputs are kept.
    """
    # Stated now rather than after data and weights were read.
    if engine == "ray" and config.backend != REFERENCE:
        raise ConfigError(f"--engine ray cannot run the backend {config.backend}; remove one of the two")
    require_writable(folder)
    with dir_lock(folder), progress:
        where = cache or _default_cache()
        config = _with_local_data(config, where, progress)
        record: results.Results | Photographs | None
        record = reuse_run(config, folder, where, command, progress.stage_ended)
        if record is None:
            record = _compute(config, folder, where, command, progress, engine)
        write_report(record, folder, templates)
        end_run(folder)
    return record


def _with_local_data(config: RunConfig, cache: Path, progress: ConsoleProgress) -> RunConfig:
    """Return the settings with a copy of the data set if it is in an object store."""
    if "://" not in config.data:
        return config
    # Imports what downloads.
    from dogcam.data.object_store import copy_folder

    with progress.counter("copy the data set") as copied:
        return config.model_copy(update={"data": str(copy_folder(config.data, cache, copied))})


def _default_cache() -> Path:
    # Imports what downloads, which a run that is reused does without.
    from dogcam.data.download import default_cache

    return default_cache()


def _compute(
    config: RunConfig,
    folder: Path,
    cache: Path,
    command: str,
    progress: ConsoleProgress,
    engine: EngineName,
) -> results.Results | Photographs:
    # Imports what renders and downloads.
    from report.pipeline.locate import locate_data

    finished_at()  # refuses a faulty SOURCE_DATE_EPOCH before the work begins
    remove_partial_files(folder.resolve())
    with progress.counter("render the sample") as rendered:
        data = locate_data(config, cache, rendered, meanwhile=partial(import_module, EXPERIMENT))
    # Both import torch, which takes seconds.
    from report.pipeline.experiment import run_experiment
    from report.pipeline.photographs import find_photographs, run_photographs

    photographs = find_photographs(config)
    if photographs is not None:
        if engine == "ray":
            raise ConfigError("--engine ray is for annotated data sets; photographs run with --engine local")
        return run_photographs(config, photographs, folder, cache, command, progress)
    return run_experiment(config, data, folder, cache, command, progress, engine)
