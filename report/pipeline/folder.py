"""The folder of a run: what an earlier run left there, and what of it must go."""

import json
import os
import re
import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dogcam.errors import DogcamError, RecordError
from dogcam.files import atomic_write, path_inside, read_json, remove_temporary_files
from report.record import Claim, Results
from report.record.files import FILE_PATTERN
from report.record.io import read_results
from report.record.photographs import Photographs

EARLIER_NAME = "stages/earlier-claims.json"
"""The claims of the last run that ended, while a later one is not finished."""

PICTURE_FOLDERS = ("figures", "gallery")
"""The folders of a run in which every stage may write."""

_CLAIMS: TypeAdapter[list[Claim] | None] = TypeAdapter(list[Claim] | None)


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of a run that was killed.

    Raises:
        RecordError: if a folder of the run is a link out of it.
    """
    inside = [path_inside(folder, name) for name in (*PICTURE_FOLDERS, "stages")]
    # `os.walk` does not follow links, which may lead out of the run.
    for each in (folder, *inside[:-1], *(Path(path) for path, _, _ in os.walk(inside[-1]))):
        remove_temporary_files(each)


def keep_earlier_claims(folder: Path) -> list[Claim] | None:
    """Return the claims of the last run in this folder that ended, and keep them until `end_run`.

    The record of an unfinished run does not count: compared with it, the next run would lose the claims that
    changed.

    Returns:
        The claims; None without an earlier run that can be read.
    """
    path = path_inside(folder, EARLIER_NAME)
    try:
        claims = _CLAIMS.validate_python(read_json(path, RecordError)) if path.exists() else _recorded(folder)
    except (DogcamError, ValidationError):
        claims = None
    atomic_write(path, json.dumps(_CLAIMS.dump_python(claims, mode="json")))
    return claims


def _recorded(folder: Path) -> list[Claim]:
    return read_results(folder).claims


def end_run(folder: Path) -> None:
    """Note that a run ended: its own record is what the next run is compared with."""
    path_inside(folder, EARLIER_NAME).unlink(missing_ok=True)


def remove_stale_pictures(folder: Path, record: Results | Photographs) -> None:
    """Remove the pictures of earlier runs that the record does not list; other files stay."""
    for name in PICTURE_FOLDERS:
        for path in path_inside(folder, name).glob("*"):
            listed = f"{name}/{path.name}"
            if re.match(FILE_PATTERN, listed) and listed not in record.files and not path.is_dir():
                path.unlink()


def remove(path: Path) -> None:
    """Remove a file of a stage, or a folder in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
