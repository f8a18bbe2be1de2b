"""Time of a complete report run, relative to the forward passes of its network.

The run predicts, chooses thresholds on a tuning split, boxes, evaluates and renders. Its time is compared
with that of the network alone on as many images of the same size, both splits counted. Each is measured in a
new process with its own peak of memory; worker processes are not counted.

Further rows: the same passes if the C library returns freed memory to the system, which commands prevent; the
same run on one core, and on a Ray cluster of this machine; a second run, which reuses the first; a run on
photographs of 12 megapixels, the same on small copies of them, and the decoding of the large ones.
"""

import os
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
from .photographs import decode, photographs_or_sample, write_large_and_small

PACKAGES = ("dogcam", "torch", "torchvision", "numpy", "scipy", "pillow")

MODEL = "efficientnet_lite0"
BATCH = 16

ON_RAY = ("predict", "localise", "sanity")
"""The stages that the engine computes."""


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for the forward passes, for each kind of run, and for each stage of the complete one."""
    n, n_large = (16, 2) if quick else (500, 12)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        data, splits = photographs_or_sample(Path(folder), n)
        click.echo(f"run: {n} images of {data.name}, and as many of the tuning split", err=True)
        forward, forward_peak = in_fresh_process(time_forward, 2 * n)
        returned = in_fresh_process(time_forward, 2 * n, begin=None)
        seconds, peak = in_fresh_process(time_run, data, splits, n, out)
        stages = {each.name: each.seconds for each in read_results(out).run.stages}
        again = in_fresh_process(time_run, data, splits, n, out)
        ray = in_fresh_process(time_run, data, splits, n, Path(folder, "ray"), "ray")
        of_ray = {each.name: each.seconds for each in read_results(Path(folder, "ray")).run.stages}
        one_core = in_fresh_process(time_on_one_core, data, splits, n, Path(folder, "one-core"))
        of_photographs = measure_photographs(data, splits[0], n_large, Path(folder))
    rows = [
        _row("forward", 2 * n, forward, forward, forward_peak),
        _row("forward, freed memory returned", 2 * n, returned[0], forward, returned[1]),
        _row("run", 2 * n, seconds, forward, peak),
        _row("run on one core", 2 * n, one_core[0], forward, one_core[1]),
        _row("run on Ray", 2 * n, ray[0], forward, ray[1]),
        _row("second run", 2 * n, again[0], forward, again[1]),
    ]
    rows += [_row(f"stage {name}", 2 * n, each, forward, None) for name, each in stages.items()]
    rows += [_row(f"on Ray, stage {name}", 2 * n, of_ray[name], forward, None) for name in ON_RAY]
    return rows + of_photographs


def measure_photographs(data: Path, split: str, n: int, folder: Path) -> list[dict[str, object]]:
    """Return rows for 12-megapixel photographs, for small copies of them, and for decoding the large ones."""
    large, small = write_large_and_small(data, split, n, folder)
    forward, _ = in_fresh_process(time_forward, n)
    rows = []
    for name, photographs in (("12-megapixel photographs", large), ("small copies", small)):
        seconds, peak = in_fresh_process(time_photographs, photographs, folder / f"run-{photographs.name}")
        rows.append(_row(name, n, seconds, forward, peak))
    decoding, peak = in_fresh_process(time_decoding, large)
    return [*rows, _row("decoding of 12-megapixel photographs", n, decoding, forward, peak)]


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


def time_run(
    data: Path, splits: tuple[str, str], n: int, out: Path, engine: str = "local"
) -> tuple[float, float | None]:
    """Return the seconds of a run that is tuned on the second split, and the peak of memory in MiB."""
    return time_report(
        data=data, split=splits[0], tuning_split=splits[1], limit=n, tuning_limit=n, model=MODEL,
        batch_size=BATCH, engine=engine, out=out,
    )  # fmt: skip


def time_report(**options: object) -> tuple[float, float | None]:
    """Return the seconds of `dogcam-report run` on the CPU, and the peak of memory in MiB."""
    words = ["run", "--device", "cpu"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return seconds_of(lambda: report(words, standalone_mode=False)), peak_mib()


def time_on_one_core(data: Path, splits: tuple[str, str], n: int, out: Path) -> tuple[float, float | None]:
    """Return what `time_run` returns, on one core; on all if the system cannot restrict a process."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return time_run(data, splits, n, out)


def time_photographs(folder: Path, out: Path) -> tuple[float, float | None]:
    """Return the seconds of a run on photographs without annotations, and the peak of memory in MiB."""
    return time_report(data=folder, model=MODEL, target="dog", out=out)


def time_decoding(folder: Path) -> tuple[float, float | None]:
    """Return the seconds of decoding every photograph of a folder, and the peak of memory in MiB."""
    return seconds_of(lambda: decode(folder)), peak_mib()


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
