"""What a large image costs: `dogcam detect` and `dogcam explain` on 48 megapixels, next to a small image."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image
from rich.table import Table

from .measure import in_fresh_process, peak_mib

PACKAGES = ("dogcam", "torch", "pillow", "numpy")

SIDES, QUICK_SIDES = (8000, 6000), (800, 600)
SMALL = (640, 480)
COMMANDS = ("detect", "explain")


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each command and image: megapixels, seconds of CPU, peak memory, and what is extra."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        large = write_image(Path(folder, "large.jpg"), QUICK_SIDES if quick else SIDES)
        small = write_image(Path(folder, "small.jpg"), SMALL)
        for command in COMMANDS:
            base = cost_of_command(command, small)
            for image, cost in ((small, base), (large, cost_of_command(command, large))):
                with Image.open(image) as opened:
                    megapixels = opened.width * opened.height / 1e6
                extra = {f"extra_{key}": value - base[key] for key, value in cost.items()}
                rows.append({"name": command, "megapixels": megapixels, **cost, **extra})
    return rows


def write_image(path: Path, sides: tuple[int, int]) -> Path:
    """Write noise of low and high frequencies as a JPEG of (width, height)."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(sides)
    fine = Image.fromarray(rng.integers(0, 256, (500, 500, 3), dtype=np.uint8))
    grain = Image.new("RGB", sides)
    for x in range(0, sides[0], 500):
        for y in range(0, sides[1], 500):
            grain.paste(fine, (x, y))
    Image.blend(coarse, grain, 0.1).save(path, quality=90)
    return path


def cost_of_command(command: str, image: Path) -> dict[str, float]:
    """Run a command of dogcam on one image in a new process; return seconds of CPU and the peak in MiB."""
    click.echo(f"large: {command} on {image.name}", err=True)
    return in_fresh_process(_run, command, image)


def _run(command: str, image: Path) -> dict[str, float]:
    from dogcam.cli.main import main as dogcam

    out = image.with_suffix(".json") if command == "detect" else image.parent
    words = [command, str(image), "--model", "sample_net", "--device", "cpu", "--out", str(out)]
    dogcam(words, standalone_mode=False)
    peak = peak_mib()
    if peak is None:
        raise RuntimeError("the system does not report the peak of memory; expected Linux")
    return {"cpu_seconds": time.process_time(), "peak_mib": peak}


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title="A large image", title_justify="left")
    for heading in ("command", "megapixels", "CPU, s", "extra", "peak, MiB", "extra"):
        printed.add_column(heading, justify="left" if heading == "command" else "right")
    for row in rows:
        numbers = ("cpu_seconds", "extra_cpu_seconds", "peak_mib", "extra_peak_mib")
        cells = (f"{row[key]:.1f}" if "cpu" in key else f"{row[key]:.0f}" for key in numbers)
        printed.add_row(str(row["name"]), f"{row['megapixels']:.1f}", *cells)
    return printed
