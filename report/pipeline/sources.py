"""Notice images that change while a run reads them."""

from collections.abc import Iterable
from pathlib import Path

from dogcam.errors import DataError

State = tuple[int, ...]


class Sources:
    """The files that a run reads, as they were when it began.

    The state of a file is its inode, size, and times of the last change of content and of metadata. Writing
    to a file changes the last one, even if the content is put back later.

    Args:
        paths: the files; take the state before they are hashed.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._states = {path: _state(path) for path in paths}

    def require_unchanged(self, paths: Iterable[Path] | None = None) -> None:
        """Refuse files that changed since the run began.

        Args:
            paths: some of the files; None for all of them.

        Raises:
            DataError: if one did. What was computed from it cannot be reused.
        """
        for path in self._states if paths is None else paths:
            if path in self._states and _state(path) != self._states[path]:
                raise DataError(
                    f"{path} changed while the run read it; run again when the data is complete and at rest"
                )


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
