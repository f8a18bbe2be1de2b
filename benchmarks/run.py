"""Time of a complete report run, relative to the forward passes of its network.

The run predicts, chooses thresholds on a tuning split, boxes, evaluates and renders. Its time is compared
with that of the network alone on as many images of the same size, both splits counted. Each is measured in a
new process with its own peak of memory; worker processes are not counted.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from rich.table import Table

from dogcam.models.classifier import load_classifier
from report.cli import main as report
from report.record.io import read_results

from .measure import in_fresh_process, peak_mib, seconds_of
from .photographs import photographs_or_sample

PACKAGES = ("dogcam", "torch", "torchvision", "numpy", "scipy", "pillow")

MODEL = "efficientnet_lite0"
BATCH = 16


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for the forward passes, for the complete run, and for each of its stages."""
    n = 16 if quick else 500
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        data, splits = photographs_or_sample(Path(folder), n)
        click.echo(f"run: {n} images of {data.name}, and as many of the tuning split", err=True)
        forward, forward_peak = in_fresh_process(time_forward, 2 * n)
        seconds, peak = in_fresh_process(time_run, data, splits, n, out)
        stages = {each.name: each.seconds for each in read_results(out).run.stages}
    rows = [
        _row("forward", 2 * n, forward, forward, forward_peak),
        _row("run", 2 * n, seconds, forward, peak),
    ]
    return rows + [_row(f"stage {name}", 2 * n, each, forward, None) for name, each in stages.items()]


def time_forward(n_images: int) -> tuple[float, float | None]:
    """Return the seconds of the network alone on batches of noise, and the peak of memory in MiB."""
    classifier = load_classifier(MODEL, None, "cpu")
    size = classifier.preprocessing.size
    batch = torch.randn(BATCH, 3, *size).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def work() -> None:
        for start in range(0, n_images, BATCH):
            classifier.network(batch[: n_images - start])

    with torch.inference_mode():
        classifier.network(batch)
    return seconds_of(work), peak_mib()


def time_run(data: Path, splits: tuple[str, str], n: int, out: Path) -> tuple[float, float | None]:
    """Return the seconds of a run that is tuned on the second split, and the peak of memory in MiB."""
    words = ["run", "--data", data, "--split", splits[0], "--tuning-split", splits[1], "--limit", n]
    words += ["--tuning-limit", n, "--model", MODEL, "--device", "cpu", "--batch-size", BATCH, "--out", out]
    seconds = seconds_of(lambda: report([str(word) for word in words], standalone_mode=False))
    return seconds, peak_mib()


def _row(name: str, images: int, seconds: float, forward: float, peak: float | None) -> dict[str, object]:
    ratio = seconds / forward
    return {"name": name, "images": images, "seconds": seconds, "ratio_to_forward": ratio, "peak_mib": peak}


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title=f"A whole run with {MODEL}, {rows[0]['images']} images", title_justify="left")
    printed.add_column("name")
    for heading in ("seconds", "times the forward passes", "peak memory, MiB"):
        printed.add_column(heading, justify="right")
    for row in rows:
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        printed.add_row(str(row["name"]), f"{row['seconds']:.1f}", f"{row['ratio_to_forward']:.2f}", peak)
    return printed
