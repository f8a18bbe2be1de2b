"""What all command lines share: an error that the user can act on is one line, not a traceback."""

import math
from typing import Any

import click

from dogcam.errors import DogcamError


class ErrorGroup(click.Group):
    """A group of commands whose `DogcamError`s become their message and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DogcamError as error:
            raise click.ClickException(str(error)) from error


class FiniteRange(click.FloatRange):
    """A number within bounds, as click has it, which is a number: nan is within all bounds otherwise."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number of an option, or refuse it."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


FRACTION = FiniteRange(0, 1, min_open=True, max_open=True)
"""A share of something that is neither nothing nor all of it."""


def names_in(text: str) -> tuple[str, ...]:
    """Return the names that stand between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
