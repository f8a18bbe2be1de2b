"""What reading in safety costs, next to a whole run.

The photographs and annotations of two splits are read as the report reads them before its work: plain files
of limited size, XML without entities, headers, every photograph decoded, and the states by which a change is
noticed. The same is read without these checks, and the difference is compared with a whole run.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import click
from PIL import Image
from rich.table import Table

from dogcam.data.reading import read_split
from dogcam.files.states import Sources

from .measure import in_fresh_process, seconds_of
from .photographs import photographs_or_sample
from .run import PACKAGES, time_run

__all__ = ["PACKAGES", "measure", "table"]

REPEATS = 3


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for plain reading, safe reading, the decoding of every photograph, and a whole run."""
    n = 16 if quick else 500
    with tempfile.TemporaryDirectory() as folder:
        data, splits = photographs_or_sample(Path(folder), n)
        click.echo(f"reading: {2 * n} images of {data.name}", err=True)
        run, _ = in_fresh_process(time_run, data, splits, n, Path(folder, "run"))
        plain = _best(lambda: [_read_plainly(data, split, n) for split in splits])
        safe = _best(lambda: [_read_safely(data, split, n, decode=False) for split in splits])
        whole = _best(lambda: [_read_safely(data, split, n, decode=True) for split in splits])
    rows = (("plain", plain, 0.0), ("safe", safe, safe - plain), ("safe, decoded", whole, whole - plain))
    return [
        {"name": name, "images": 2 * n, "seconds": seconds, "extra": extra, "share_of_run": extra / run}
        for name, seconds, extra in (*rows, ("whole run", run, 0.0))
    ]


def _best(work: Callable[[], object]) -> float:
    return min(seconds_of(work) for _ in range(REPEATS))


def _read_plainly(data: Path, split: str, n: int) -> None:
    """Read the lists, the annotations and the sizes of the photographs without any check."""
    listed = (data / "ImageSets" / "Main" / f"{split}.txt").read_text().split()[:n]
    for name in listed:
        ElementTree.fromstring((data / "Annotations" / f"{name}.xml").read_text())
        with Image.open(data / "JPEGImages" / f"{name}.jpg") as image:
            assert image.size


def _read_safely(data: Path, split: str, n: int, decode: bool) -> None:
    found = read_split(data, split, n, decode=decode)
    Sources(image.path for image in found.images).require_unchanged()


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title=f"Reading {rows[0]['images']} images before the work", title_justify="left")
    for heading in ("name", "seconds", "extra seconds", "share of a run"):
        printed.add_column(heading, justify="left" if heading == "name" else "right")
    for row in rows:
        printed.add_row(
            str(row["name"]), f"{row['seconds']:.2f}", f"{row['extra']:.2f}", f"{row['share_of_run']:.1%}"
        )
    return printed
