"""Memory of a run by the number of its images: the images of one split, repeated."""

import os
import re
import tempfile
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from rich.table import Table

from dogcam.data.sample import write_sample

from .measure import in_fresh_process
from .run import time_report

PACKAGES = ("dogcam", "torch", "numpy")

N_DIFFERENT = 100
"""Number of images of each split that are rendered and repeated."""


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each number of images, with the time and the peak of memory of a run on them."""
    counts = (20, 40) if quick else (1_000, 4_000)
    with tempfile.TemporaryDirectory() as folder:
        n = min(N_DIFFERENT, counts[0])
        sample = write_sample(Path(folder, "sample"), n_train=1, n_val=n, n_test=n)
        rows = []
        for count in counts:
            data = repeat(sample, count, Path(folder, f"data-{count}"))
            seconds, peak = in_fresh_process(time_run, data, Path(folder, f"run-{count}"))
            rows.append({"name": "run", "images": count, "seconds": seconds, "peak_mib": peak})
    return rows


def repeat(sample: Path, count: int, folder: Path) -> Path:
    """Write a data set in VOC layout whose split `test` repeats that of the sample, and return the folder."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for split, wanted in (("test", count), ("val", None)):
        ids = (sample / "ImageSets/Main" / f"{split}.txt").read_text().split()
        repeated = [
            f"{place:06d}-{name}" for place, name in enumerate(islice(cycle(ids), wanted or len(ids)))
        ]
        for each in repeated:
            name = each.partition("-")[2]
            os.link(sample / "JPEGImages" / f"{name}.jpg", folder / "JPEGImages" / f"{each}.jpg")
            notes = (sample / "Annotations" / f"{name}.xml").read_text()
            renamed = re.sub("<filename>.*</filename>", f"<filename>{each}.jpg</filename>", notes)
            (folder / "Annotations" / f"{each}.xml").write_text(renamed)
        (folder / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(repeated) + "\n")
    return folder


def time_run(data: Path, out: Path) -> tuple[float, float | None]:
    """Return the seconds of a run with the sample's network, and the peak of memory in MiB."""
    return time_report(data=data, split="test", tuning_split="val", model="sample_net", out=out)


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title="A run by the number of its images", title_justify="left")
    for heading in ("images", "seconds", "peak memory, MiB"):
        printed.add_column(heading, justify="right")
    for row in rows:
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        printed.add_row(f"{row['images']:,}", f"{row['seconds']:.1f}", peak)
    return printed
