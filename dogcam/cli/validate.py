"""The command `dogcam validate`: every fault of a data set, in one pass."""

from pathlib import Path

import click

from dogcam.cli.common import number_of, visible
from dogcam.cli.reading_rules import reading_rules
from dogcam.data.validation import validate
from dogcam.structures.rules import ReadRules


@click.command("validate")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", help="The split to check.  [default: all of them]")
@reading_rules
@click.pass_context
def command(context: click.Context, path: Path, split: str | None, rules: ReadRules) -> None:
    """List every fault of the data set PATH: lists, annotations, boxes, photographs and masks.

    Ends with status 1 if there is a fault and --on-error is `fail`.
    """
    n_faults = 0
    for found in validate(path, split, rules):
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(found.n_objects.items()))
        images = number_of(found.n_images, "image")
        click.echo(visible(f"{found.split}: {images}; objects: {counts or 'none'}"))
        for text in found.faults:
            click.echo(visible(f"  fault: {text}"))
        for text in found.warnings:
            click.echo(visible(f"  warning: {text}"))
        n_faults += len(found.faults)
    click.echo(number_of(n_faults, "fault"))
    if n_faults and rules.on_error == "fail":
        context.exit(1)
