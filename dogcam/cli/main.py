"""The command `dogcam`: a group that imports the module of a command only when it runs."""

from importlib import import_module

import click

from dogcam import __version__
from dogcam.cli.common import ErrorGroup

COMMANDS = {
    "train": ("dogcam.cli.train", "Train a classifier on image labels alone."),
    "train-localiser": (
        "dogcam.cli.train_localiser",
        "Train a localiser on the boxes that a classifier finds.",
    ),
    "evaluate": ("dogcam.cli.evaluate", "Measure the classification AP of a classifier."),
    "convert": ("dogcam.cli.convert", "Write a checkpoint in another form, with its card."),
    "detect": ("dogcam.cli.detect", "Detect objects in images; write their boxes."),
    "explain": ("dogcam.cli.explain", "Draw class activation maps and boxes on images."),
    "compare-classifiers": (
        "dogcam.cli.compare",
        "Compare two classifiers: detection AP and classification AP.",
    ),
    "evaluate-boxes": ("dogcam.cli.evaluate_boxes", "Measure boxes from any source against a ground truth."),
    "tune": ("dogcam.cli.tune", "Search the numbers of a detection preset on training images."),
    "convert-data": ("dogcam.cli.convert_data", "Write a data set in another format."),
    "validate": ("dogcam.cli.validate", "List every fault of a data set."),
}
"""The module of each command, which defines it as `command`, and its line in the help."""


class LazyGroup(ErrorGroup):
    """A group whose commands are imported when they run, so that `--help` does not import torch."""

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
    """Turn an image classifier into a detector with class activation maps, and measure its boxes."""
