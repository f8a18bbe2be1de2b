"""The command `dogcam`: a thin group that loads a command's module only when the command is asked for."""

from importlib import import_module

import click

from dogcam import __version__
from dogcam.cli.common import ErrorGroup

COMMANDS = {
    "train": ("dogcam.cli.train", "Train a classifier on image labels alone."),
    "evaluate": ("dogcam.cli.evaluate", "Measure how well a classifier says what photographs show."),
    "convert": ("dogcam.cli.convert", "Write a checkpoint in another form."),
    "tune": ("dogcam.cli.tune", "Search the numbers of a detection preset on training images."),
    "explain": ("dogcam.cli.explain", "Show where a classifier sees a class in a photograph."),
    "compare-classifiers": ("dogcam.cli.compare", "Tell who boxes and who ranks better, of two classifiers."),
    "evaluate-boxes": ("dogcam.cli.evaluate_boxes", "Measure anybody's boxes against a ground truth."),
    "convert-data": ("dogcam.cli.convert_data", "Write a data set in another format."),
    "validate": ("dogcam.cli.validate", "List every fault of a data set."),
}
"""Each command's module, which offers it as `command`, and the line that stands for it in the help."""


class LazyGroup(ErrorGroup):
    """A group whose commands stand in modules of their own, so that `--help` need not import torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None, which is a usage error, for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        return import_module(module).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dogcam")
def main() -> None:
    """Find dogs with a classifier that was only ever told whether there is one, and measure the boxes."""
