"""The files of a run that its record names: pictures and tables, tied to the record by their SHA-256."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dogcam.errors import RecordError
from dogcam.files import path_inside, read_bytes, sha256_of

FigureName = Annotated[str, Field(pattern=r"^figures/[A-Za-z0-9_-]{1,100}\.(svg|webp)$")]
GalleryName = Annotated[str, Field(pattern=r"^gallery/[A-Za-z0-9_-]{1,100}\.webp$")]
FILE_PATTERN = r"^((figures|gallery)/[A-Za-z0-9_-]{1,100}\.(svg|webp)|[a-z_]{1,100}\.csv)$"
FileName = Annotated[str, Field(pattern=FILE_PATTERN)]
"""The only names that a record may give to a file of its run."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

MOST_BYTES = 100_000_000
"""The largest file of a run that is read."""


def read_file(run: Path, name: str, sums: dict[str, str]) -> bytes:
    """Read a file of a run, and compare its content with the record.

    Args:
        run: the run's folder.
        name: the file's name in the record.
        sums: the SHA-256 of each file, `Results.files`.

    Raises:
        RecordError: if the record does not list the file, the file is outside the folder, is not a plain
            file of at most `MOST_BYTES`, or has another content than when the record was written.
    """
    if name not in sums:
        raise RecordError(
            f"the record in {run} does not list the file {name!r}; run `dogcam-report run` again"
        )
    content = read_bytes(path_inside(run, name), MOST_BYTES, RecordError)
    if sha256_of(content) != sums[name]:
        raise RecordError(
            f"{run / name} was changed after the record was written; run `dogcam-report run` again"
        )
    return content
