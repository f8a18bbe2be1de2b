"""Time of rendering a finished run without torch."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.table import Table

from report.record.io import read_results

from .measure import Spread, seconds_of, with_ends

PACKAGES = ("dogcam", "jinja2", "markdown-it-py", "pydantic")

RUNS = (Path("build/voc2007-val"), Path("build/sample"))
"""Folders of finished runs from `make report` and the gate; existing ones are measured."""

REPOSITORY = Path(__file__).resolve().parents[1]

WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""
"""A `sitecustomize` that prevents the import of torch."""


def measure(quick: bool) -> list[dict[str, object]]:
    """Render each existing run several times; start Python alone for comparison."""
    runs = [run for run in RUNS if (run / "results.json").is_file()]
    if not runs:
        raise click.ClickException("there is no finished run to render; `make report` makes build/sample")
    rounds = 2 if quick else 7
    return [measure_run(run, rounds) for run in runs]


def measure_run(run: Path, rounds: int) -> dict[str, object]:
    """Render one run several times, each in a new interpreter without torch.

    Raises:
        RuntimeError: if the command fails, or the rendered bytes differ from the existing ones.
    """
    before = (run / "report.html").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(WITHOUT_TORCH)
        render = [_command("from report.cli import main; main()", folder, "render", str(run))] * rounds
        start = [_command("", folder)] * rounds
        pairs = [(seconds_of(one), seconds_of(other)) for one, other in zip(render, start, strict=True)]
    if (run / "report.html").read_bytes() != before:
        raise RuntimeError(f"{run} was rendered by another version: its page is not what it was")
    record = read_results(run)
    return {
        "name": "dogcam_report_render",
        "data": record.data.name,
        "n_images": record.data.reported.n_images,
        "page_mib": len(before) / 2**20,
        "rounds": rounds,
        **Spread.of([seconds for seconds, _ in pairs]).fields("seconds"),
        **Spread.of([seconds for _, seconds in pairs]).fields("seconds_of_python_alone"),
    }


def _command(code: str, first_on_path: str, *arguments: str) -> Callable[[], None]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((first_on_path, str(REPOSITORY)))}
    # An installed program has its modules and templates compiled; without the files each start compiles them.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def work() -> None:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the command failed: {done.stderr.strip()}")

    return work


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title="Rendering without torch; median (least - most)", title_justify="left")
    printed.add_column("data")
    for heading in ("images", "page, MiB", "rounds", "seconds", "Python alone"):
        printed.add_column(heading, justify="right")
    for row in rows:
        spread = (with_ends(row, name, ".2f") for name in ("seconds", "seconds_of_python_alone"))
        printed.add_row(
            row["data"], f"{row['n_images']:,}", f"{row['page_mib']:.2f}", str(row["rounds"]), *spread
        )
    return printed
