"""Lock folders and files against other processes."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks; folders are not locked there
    fcntl = None  # type: ignore[assignment]

from dogcam.errors import OutputError

_log = logging.getLogger(__name__)


@contextmanager
def dir_lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; the lock is released when the process ends in any way.

    Args:
        folder: is created if it is missing.

    Raises:
        OutputError: if another process has locked it, or it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created ({error.strerror}); choose another folder") from error
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _is_locked_now(descriptor):
            raise OutputError(
                f"another program is writing to {folder}; wait until it has ended, or choose another folder"
            )
        yield
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Lock a file or folder that is about to be created; other processes and threads wait for the lock.

    After the wait, check again whether `path` exists: another process may have created it. The lock is the
    file `.NAME.lock` in the same folder; it is removed. A lock file of a killed process does not block.

    Args:
        path: what will be created, in an existing folder; it may exist, and is not changed.

    Raises:
        OSError: if nothing can be written to the folder of `path`.
    """
    if fcntl is None:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _locked(lock)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is locked: a waiting process detects this and creates another
        os.close(descriptor)


def _locked(lock: Path) -> int:
    """Return a descriptor of the lock file; the lock lasts until the descriptor is closed."""
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            if not _is_locked_now(descriptor):
                _log.warning("another program has locked %s; waiting until it ends", lock)
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the previous owner removed this file, so its lock is void


def _is_locked_now(descriptor: int) -> bool:
    """Lock the file of a descriptor if no other process has; return whether it is locked now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network drives have no locks: as on systems without them, nothing is locked.
        return True
    return True
