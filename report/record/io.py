"""Read and write the record of a run, `results.json`."""

import json
from pathlib import Path

from pydantic import ValidationError

from dogcam.errors import RecordError
from dogcam.files import atomic_write, parse_json, read_bytes
from report.record import SCHEMA_VERSION, Results
from report.record.base import seal_of
from report.record.files import MOST_BYTES
from report.record.photographs import Photographs

RESULTS_NAME = "results.json"


def write_results(results: Results | Photographs, folder: Path) -> Path:
    """Write the record into a run's folder, whole or not at all."""
    return atomic_write(folder / RESULTS_NAME, results.to_json())


def read_results(folder: Path) -> Results:
    """Read the record of a run on annotated images.

    Raises:
        RecordError: if it is missing, damaged, of another version, or of photographs without annotations.
    """
    record = read_record(folder)
    if isinstance(record, Photographs):
        raise RecordError(
            f"{folder} is a run on photographs without annotations, in which nothing was measured; expected "
            "a run on an annotated data set"
        )
    return record


def read_record(folder: Path) -> Results | Photographs:
    """Read the record of a run of either kind.

    Raises:
        RecordError: if it is missing, damaged or of another version.
    """
    path = folder if folder.is_file() else folder / RESULTS_NAME
    if not path.exists():
        raise RecordError(f"{path} cannot be read: it does not exist; `dogcam-report run` writes it")
    text = read_bytes(path, MOST_BYTES, RecordError)
    document = parse_json(text, str(path), RecordError)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RecordError(
            f"{path} is a record of version {version}; this program reads version {SCHEMA_VERSION}: "
            "make it again with `dogcam-report run`"
        )
    if document.get("seal") != seal_of(document):
        raise RecordError(
            f"{path} was changed after it was written: its checksum (seal) is that of another content; make "
            "it again with `dogcam-report run`"
        )
    model = Photographs if document.get("kind") == "photographs" else Results
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"{path}: {place}: {first['msg']} ({error.error_count()} faults in all); make it again with "
            "`dogcam-report run`"
        ) from error


def json_schema() -> str:
    """Return the JSON Schema of the record as text."""
    return json.dumps(Results.model_json_schema(mode="serialization"), indent=1, sort_keys=True) + "\n"
