"""Render again whenever a template is saved, until the user has seen enough."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dogcam.errors import DogcamError

POLL_SECONDS = 0.3

Stamp = dict[Path, tuple[int, int]]
"""Of each file when it was written and how long it is."""


def watch(render: Callable[[], Path], folders: Iterable[Path], say: Callable[[str], None]) -> None:
    """Render, and again after every change of a file in the folders, until Ctrl-C.

    A template with a fault is told in a line; the report stays as it was until the fault is mended.

    Args:
        render: renders the report and returns its path.
        folders: what is looked at.
        say: is told what happened, a line at a time.
    """
    folders = list(folders)
    seen: Stamp | None = None
    try:
        while True:
            now = _stamp(folders)
            if now != seen:
                seen = now
                _render(render, say)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        say("no longer watching")


def _render(render: Callable[[], Path], say: Callable[[str], None]) -> None:
    try:
        say(f"{time.strftime('%H:%M:%S')} rendered {render()}")
    except DogcamError as error:
        say(f"{time.strftime('%H:%M:%S')} {' '.join(str(error).split())}")


def _stamp(folders: list[Path]) -> Stamp:
    stamp = {}
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                state = path.stat()
            except OSError:
                # An editor that saves by renaming has taken it away; what stays is seen the next time.
                continue
            stamp[path] = state.st_mtime_ns, state.st_size
    return stamp
