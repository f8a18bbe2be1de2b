"""The command `dogcam convert-data`: a data set in one format becomes the same data set in another."""

from pathlib import Path

import click

from dogcam.cli.common import number_of, visible
from dogcam.cli.reading_rules import reading_rules
from dogcam.data.conversion import convert
from dogcam.data.formats import FORMATS, format_named
from dogcam.structures.rules import ReadRules


@click.command("convert-data")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to", "name", type=click.Choice([each.NAME for each in FORMATS]), required=True,
    help="The format to write.",
)  # fmt: skip
@click.option("--allow-loss", is_flag=True, help="Write what the format can hold, and list what it cannot.")
@reading_rules
def command(source: Path, target: Path, name: str, allow_loss: bool, rules: ReadRules) -> None:
    """Write the data set SOURCE in another format into the new folder TARGET.

    The format of SOURCE is recognised. Images are copied. The result is read again and compared: every
    box must be equal to the last bit, unless --allow-loss is given.
    """
    done = convert(source, target, format_named(name), rules, allow_loss=allow_loss)
    n_images = sum(len(split) for split in done.splits)
    n_objects = sum(len(image.objects) for split in done.splits for image in split.images)
    names = ", ".join(split.name for split in done.splits)
    written = f"{number_of(n_images, 'image')} and {number_of(n_objects, 'object')}"
    click.echo(visible(f"{target}: {written} in {names}"))
    for loss in done.losses:
        click.echo(visible(f"lost: {loss}"))
