"""What all command lines share: errors and interruptions end in one line, without a traceback."""

import io
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dogcam.cli.signals import INTERRUPTED, TERMINATED, Signals, Terminated, signals_raise
from dogcam.errors import ConfigError, DogcamError
from dogcam.files import UNSHOWN, read_text

_INVISIBLE = re.compile(rf"(?![\t\n])[{UNSHOWN}]")


def visible(text: str) -> str:
    """Return a text with escapes in place of control characters and signs that change the reading direction.

    Names from a data set may hold them, and a terminal obeys them. Tabs and line ends are kept.
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class ErrorGroup(click.Group):
    """A group of commands without tracebacks.

    A `DogcamError` ends with its message and status 1, Ctrl-C with status 130, SIGTERM with 143. The notes of
    an interruption (see `keeping`) are printed. So ends any error of the system: a full disk or a full
    standard output, a missing permission, too little memory, a name that is not UTF-8.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; names that are not UTF-8 are shown with escapes."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **options)
        except (OSError, MemoryError, UnicodeError) as error:
            click.echo(f"Error: {_of_environment(error)}", err=True)
            raise SystemExit(1) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with signals_raise():
                return super().invoke(ctx)
        except BaseException as error:
            stop = Signals.take(error)
            if stop is None and isinstance(error, DogcamError):
                raise click.ClickException(visible(str(error))) from error
            if stop is None:
                raise
            name, status = ("interrupted", INTERRUPTED)
            if isinstance(stop, Terminated):
                name, status = ("terminated", TERMINATED)
            click.echo("; ".join([f"\n{name}", *getattr(stop, "__notes__", [])]), err=True)
            raise SystemExit(status) from None


def _of_environment(error: Exception) -> str:
    """Return what an error of the system says, and what to do."""
    if isinstance(error, MemoryError):
        return "there is too little memory; choose a smaller --batch-size, fewer images, or smaller files"
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[:200]!r} cannot be written as {error.encoding}; rename the file or folder"
    if isinstance(error, OSError):
        name = os.fsdecode(error.filename) if error.filename else "the output"
        return f"{name[:300]}: {error.strerror or error}; correct the name, the permissions or the free space"
    return f"a file is not UTF-8 ({error}); save it as UTF-8"


class FiniteRange(click.FloatRange):
    """A float within bounds; nan, which click accepts for all bounds, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the value of an option, or refuse it."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


FRACTION = FiniteRange(0, 1, min_open=True, max_open=True)
"""A number in the open interval (0, 1)."""


def choice(flag: str, name: str, values: Sequence[str], default: str, text: str) -> Callable[..., Any]:
    """Return an option with fixed values, whose default is shown in the help."""
    return click.option(
        flag, name, type=click.Choice(list(values)), default=default, show_default=True, help=text
    )


def number_of(count: int, one: str, many: str | None = None) -> str:
    """Return a count and its noun; `many` is the plural if it is not formed with s.

    Example:
        >>> number_of(1, "box", "boxes"), number_of(0, "box", "boxes"), number_of(1200, "image")
        ('1 box', '0 boxes', '1,200 images')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def names_in(text: str) -> tuple[str, ...]:
    """Return names: the lines of a file, ImageNet's classes for `imagenet`, or what is between commas.

    Raises:
        DogcamError: if the file cannot be read.
    """
    if text == "imagenet":
        from dogcam.models.imagenet import imagenet_categories

        return imagenet_categories()
    names = (
        read_text(Path(text), ConfigError).splitlines() if text and Path(text).is_file() else text.split(",")
    )
    return tuple(name.strip() for name in names if name.strip())
