"""Notice files that change, by their state: while they are read, and between two runs."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dogcam.errors import DataError

State = tuple[int, ...]
"""Device, inode, size, and the times of the last change of content and of metadata, in nanoseconds.

Writing to a file changes the last one, even if content and other times are put back later.
"""

CLOCK_TICK = 0.05
"""Seconds after which two changes of one file differ in their times, on every usual file system."""


class Sources:
    """The files that a command reads, as they were when it began.

    Args:
        paths: the files; take the state before they are hashed.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._states = {path: state_of(path) for path in paths}

    def require_unchanged(self, paths: Iterable[Path] | None = None) -> None:
        """Refuse files that changed since the command began.

        Args:
            paths: some of the files; None for all of them.

        Raises:
            DataError: if one did. What was computed from it cannot be reused.
        """
        for path in self._states if paths is None else paths:
            if path in self._states and state_of(path) != self._states[path]:
                raise DataError(
                    f"{path} changed while it was read; run again when the data is complete and at rest"
                )


def state_of(path: Path) -> State | None:
    """Return the state of a file, links followed; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def states_below(paths: Iterable[Path]) -> dict[str, State | None]:
    """Return the states of files, and of all files in folders at any depth, by their paths.

    If a file changed less than a `CLOCK_TICK` ago, its next change might not be seen: the states are then
    taken again after that time.

    Args:
        paths: files and folders; links are followed, hidden and missing files count.
    """
    paths = list(paths)
    found = {str(path): state_of(path) for path in _files_of(paths)}
    youngest = max((state[-1] for state in found.values() if state), default=0)
    wait = CLOCK_TICK - (time.time_ns() - youngest) / 1e9
    if 0 < wait <= CLOCK_TICK:
        time.sleep(wait)
        return states_below(paths)
    return found


def _files_of(paths: Iterable[Path]) -> Iterator[Path]:
    entered: set[tuple[int, int]] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if not path.is_dir():
            yield path
            continue
        folder = path.stat()
        # A link may lead back into a folder above it.
        if (folder.st_dev, folder.st_ino) not in entered:
            entered.add((folder.st_dev, folder.st_ino))
            with os.scandir(path) as entries:
                waiting.extend(Path(entry.path) for entry in entries)
