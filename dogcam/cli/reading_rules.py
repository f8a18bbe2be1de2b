"""The options of every command that reads a data set: what happens to its faults."""

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

import click

from dogcam.structures.rules import BadBoxes, OnError, ReadRules


def reading_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --on-bad-box and --on-error to a command, which gets them as `rules`."""

    @wraps(command)
    def with_rules(*args: Any, on_bad_box: BadBoxes, on_error: OnError, **options: Any) -> Any:
        return command(*args, rules=ReadRules(on_bad_box, on_error), **options)

    for option in (
        click.option(
            "--on-error", type=click.Choice(get_args(OnError)), default="fail", show_default=True,
            help="Images with a fault: end with a list of all, or leave them out.",
        ),
        click.option(
            "--on-bad-box", type=click.Choice(get_args(BadBoxes)), default="refuse", show_default=True,
            help="Boxes that are empty or leave their image.",
        ),
    ):  # fmt: skip
        with_rules = option(with_rules)
    return with_rules
