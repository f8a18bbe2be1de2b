"""What all command lines share: an error that the user can act on is one line, not a traceback."""

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


def names_in(text: str) -> tuple[str, ...]:
    """Return the names that stand between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
