"""Render again after every change of a template, until Ctrl-C."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dogcam.errors import DogcamError

POLL_SECONDS = 0.3

Stamp = dict[Path, tuple[int, int]]
"""For each file its modification time and its size."""


def watch(render: Callable[[], Path], folders: Iterable[Path], say: Callable[[str], None]) -> None:
    """Render, and again after every change of a file in the folders, until Ctrl-C.

    The fault of a template is printed in one line; the report is unchanged until the template is corrected.

    Args:
        render: renders the report and returns its path.
        folders: are searched for changed files.
        say: prints a line.
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
                # An editor that saves by renaming removed it; the new file is found next time.
                continue
            stamp[path] = state.st_mtime_ns, state.st_size
    return stamp
