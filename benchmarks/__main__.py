"""The command: choose benches, measure, write one JSON file each, print one table each."""

import io
import json
from importlib import import_module
from pathlib import Path

import click
from matplotlib.figure import Figure
from rich.console import Console

from dogcam.files import atomic_write

from .machine import describe_run, in_words

BENCHES = ("ap", "cam", "train", "run")
ON_REQUEST = ("int8", "render", "reading", "large", "many")
"""Modules of this package. Each has PACKAGES, `measure(quick)` -> rows, and `table(rows)`; cam also has
`figure(rows)`. Those on request need photographs or a finished run."""


TABLE_WIDTH = 124
"""Width of a table in columns; the default width of a log, 80, would break its cells."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(BENCHES + ON_REQUEST))
@click.option("--quick", is_flag=True, help="Small sizes, to show that it works.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"), show_default=True)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path, exists=True), help="For int8: a trained network."
)
def main(names: tuple[str, ...], quick: bool, out: Path, checkpoint: Path | None) -> None:
    """Measure the evaluation of boxes (ap), class activation maps (cam), training (train) and a whole run of
    the report (run): all four by default. On request: the cost of int8 in AP (int8), rendering (render),
    the cost of reading in safety (reading), a large image (large), and memory by the number of images
    (many)."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, TABLE_WIDTH)
    for name in names or BENCHES:
        # Imported late: the processes of one benchmark do not load the libraries of another.
        bench = import_module(f"{__package__}.{name}")
        run = describe_run(bench.PACKAGES, quick)
        rows = bench.measure(quick, checkpoint) if name == "int8" else bench.measure(quick)
        path = atomic_write(
            out / f"{name}.json",
            json.dumps([row | {"run": run} for row in rows], indent=2, allow_nan=False) + "\n",
        )
        if hasattr(bench, "figure"):
            _write_figure(bench.figure(rows), out / name)
        console.print(bench.table(rows))
        console.print(f"{in_words(run)}\nwritten to {path}\n")


def _write_figure(figure: Figure, path: Path) -> None:
    for kind in ("svg", "png"):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=150)
        atomic_write(path.with_suffix(f".{kind}"), drawn.getvalue())


if __name__ == "__main__":
    main()
