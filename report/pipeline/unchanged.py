"""Reuse a whole run if nothing that it depends on changed since it ended: no torch, no photograph is read.

Hashes of content decide about single stages; see `report.pipeline.runner`. Before that, a run is reused as a
whole if every file that it read or wrote has the state that it had when the run ended (`states.State`), and
settings, versions and environment are equal. Any difference leads to the hashes.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dogcam
from dogcam.errors import DogcamError, RecordError
from dogcam.files import atomic_write, read_json, sha256_of, sha256_of_values
from dogcam.files.states import states_below
from report.config import RunConfig
from report.pipeline.folder import EARLIER_NAME, keep_earlier_claims
from report.pipeline.provenance import run_info
from report.record import Results, StageRun
from report.record.claim_rules import with_claims
from report.record.io import RESULTS_NAME, read_results, write_results

NOTES = "ended-runs"
"""The folder of the cache with a note on each run that ended: hashes of inputs and outputs, paths of inputs.

The run's folder holds no paths, since it may be given away, and paths in a folder from elsewhere are not
followed.
"""

REUSED = "nothing that it depends on changed"

ENVIRONMENT = ("DOGCAM_", "OMP_", "MKL_", "ONEDNN_", "DNNL_", "CUDA_VISIBLE", "HIP_VISIBLE", "PYTORCH")
"""The beginnings of environment variables that can change what a run computes; torch sets none of these."""

ACCELERATORS = ("nvidia", "kfd", "dri", "accel")
"""The beginnings of device files whose appearance changes the device `auto`."""

CODE = (Path(dogcam.__file__).parent, Path(__file__).parents[1])
"""The folders of this program."""


@dataclass(frozen=True)
class Inputs:
    """What a run depends on, as it was before anything was read.

    Attributes:
        paths: files, and folders whose files all count.
        conditions: settings, versions and environment.
        states: a hash of the states of the files.
    """

    paths: tuple[Path, ...]
    conditions: str
    states: str

    @classmethod
    def of(cls, config: RunConfig, cache: Path, paths: Iterable[Path]) -> "Inputs":
        """Take the present state.

        Args:
            config: as asked for, before defaults that depend on the data are filled in.
            cache: the folder of data sets and downloads.
            paths: files and folders of the data and the weights; the code is added.
        """
        named = tuple(sorted({path.absolute() for path in paths}))
        states = states_below((*CODE, *named))
        counted = {path: state for path, state in states.items() if Path(path).parent.name != "__pycache__"}
        return cls(named, _conditions(config, cache), sha256_of_values(counted))


def note_end(folder: Path, inputs: Inputs, asked: RunConfig, cache: Path, record: Results) -> None:
    """Note that a run ended, unless one of its inputs changed while it ran.

    Args:
        folder: the run's folder, with the record written.
        inputs: as they were when the run began.
        asked: the settings of the run, as for `Inputs.of`.
        cache: likewise.
        record: of the run.
    """
    if Inputs.of(asked, cache, inputs.paths) == inputs:
        _write_note(folder, cache, inputs, record)


def reuse_run(
    config: RunConfig, folder: Path, cache: Path, command: str, report: Callable[[StageRun], None]
) -> Results | None:
    """Return the record of the earlier run in a folder, brought up to date, if nothing changed since.

    Args:
        config: the settings that are asked for.
        folder: the run's folder.
        cache: the folder of data sets and downloads.
        command: the command line for the record, without paths.
        report: receives each stage as reused.

    Returns:
        The record, written again with the time and the command of this run; None if anything changed, or
        there is no earlier run.
    """
    try:
        note: dict[str, Any] = read_json(note_file(folder, cache), RecordError)
        paths = [Path(path) for path in note["paths"]]
        inputs = Inputs.of(config, cache, paths)
        if (note["conditions"], note["inputs"]) != (inputs.conditions, inputs.states):
            return None
        earlier = read_results(folder)
        if note["outputs"] != _outputs(folder, earlier):
            return None
    except (DogcamError, OSError, KeyError, TypeError, ValueError):
        return None
    reused = {"status": "reused", "reason": REUSED, "seconds": 0.0}
    stages = [stage.model_copy(update=reused) for stage in earlier.run.stages]
    run = run_info(command, earlier.run.device, earlier.run.n_threads, stages)
    record = with_claims(earlier.model_copy(update={"run": run}), keep_earlier_claims(folder))
    write_results(record, folder)
    _write_note(folder, cache, inputs, record)
    for stage in stages:
        report(stage)
    return record


def note_file(folder: Path, cache: Path) -> Path:
    """Return the file of the note on the run in a folder."""
    return cache / NOTES / f"{sha256_of(os.fsencode(folder.resolve()))[:32]}.json"


def _write_note(folder: Path, cache: Path, inputs: Inputs, record: Results) -> None:
    note = {
        "paths": [str(path) for path in inputs.paths],
        "conditions": inputs.conditions,
        "inputs": inputs.states,
        "outputs": _outputs(folder, record),
    }
    atomic_write(note_file(folder, cache), json.dumps(note, indent=1))


def _outputs(folder: Path, record: Results) -> str:
    """Return a hash of the states of the files of a run, apart from the report and the notes on the run."""
    # The same folder has the same hash, whether it is named from here or from the root.
    whole = folder.resolve()
    states = states_below([whole / name for name in ("stages", RESULTS_NAME, *record.files)])
    return sha256_of_values(
        {path: state for path, state in states.items() if Path(path) != whole / EARLIER_NAME}
    )


def _conditions(config: RunConfig, cache: Path) -> str:
    # Without the files that are not given: an absolute path of nothing is the working directory.
    named = (config.data, config.checkpoint, config.localiser, cache)
    paths = [Path(path).absolute() for path in named if path]
    environment = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
    devices = Path("/dev").glob("*") if Path("/dev").is_dir() else ()
    return sha256_of_values({
        "settings": [config.model_dump(mode="json"), sorted(config.model_fields_set)],
        "paths": [str(path) for path in paths],
        "environment": sorted(environment.items()),
        "packages": installed_packages(),
        "machine": [platform.python_version(), platform.platform(), platform.machine(), os.cpu_count()],
        "accelerators": sorted(each.name for each in devices if each.name.startswith(ACCELERATORS)),
    })  # fmt: skip


def installed_packages() -> list[str]:
    """Return the folders of the installed packages' metadata, whose names have the versions.

    `importlib.metadata` parses the metadata of every package for the same: half a second.
    """
    found = (each for entry in sys.path for each in Path(entry).glob("*-info"))
    return sorted(each.name for each in found if each.suffix in (".dist-info", ".egg-info"))
