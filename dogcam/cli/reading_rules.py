"""The options of every command that reads a data set: how its faults are handled."""

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

from dogcam.cli.common import choice
from dogcam.structures.rules import BadBoxes, OnError, ReadRules


def reading_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --on-bad-box and --on-error to a command, which receives them as `rules`."""

    @wraps(command)
    def with_rules(*args: Any, on_bad_box: BadBoxes, on_error: OnError, **options: Any) -> Any:
        return command(*args, rules=ReadRules(on_bad_box, on_error), **options)

    for option in (
        choice(
            "--on-error", "on_error", get_args(OnError), "fail",
            "Images with a fault: list all faults and end, or leave the images out.",
        ),
        choice(
            "--on-bad-box", "on_bad_box", get_args(BadBoxes), "refuse",
            "Boxes that are empty or leave their image.",
        ),
    ):  # fmt: skip
        with_rules = option(with_rules)
    return with_rules
