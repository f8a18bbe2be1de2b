"""Write files whole or not at all, so that an interrupted program leaves the old one, or none."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without such locks; there, folders are not held
    fcntl = None

from dogcam.errors import OutputError

_log = logging.getLogger(__name__)


def atomic_write(path: Path, content: str | bytes, *, durable: bool = False) -> Path:
    """Write a file under another name beside its place, then move it there.

    Args:
        path: where the file shall stand; missing folders are made.
        content: text (written as UTF-8) or bytes.
        durable: wait until the content is on the disk before it takes the old one's place, so that it is
            whole after a power cut too.

    Returns:
        The path.

    Raises:
        OutputError: where there is no space, no permission or a folder in the way; the old file stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    encoded = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_move(part, path, encoded, durable)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); make room, or name another folder"
        ) from error
    return path


def require_writable(folder: Path) -> None:
    """Make a folder, and prove that files can be written there.

    Raises:
        OutputError: where they cannot.
    """
    atomic_write(folder / ".writable", b"").unlink(missing_ok=True)


@contextmanager
def dir_lock(folder: Path) -> Iterator[None]:
    """Keep a folder from other processes that want to hold it; it is free when the process ends in any way.

    Args:
        folder: made where it is missing.

    Raises:
        OutputError: where another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}); name another folder") from error
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _is_locked_now(descriptor):
            raise OutputError(
                f"another program is writing to {folder}; wait until it has ended, or name another folder"
            )
        yield
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until no other process or thread makes a file or folder, and make them wait in the same way.

    What was missing before the wait may be there after it, so it is to be looked for again. The lock is a
    file beside `path`, `.NAME.lock`, which is removed; one that a killed process left keeps nobody waiting.

    Args:
        path: what is to be made, in a folder that is there; it may exist, and is not touched.

    Raises:
        OSError: where nothing can be written beside `path`.
    """
    if fcntl is None:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _take_turn(lock)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is held: who waits for it notices, and makes another
        os.close(descriptor)


def _take_turn(lock: Path) -> int:
    """Return a descriptor of the lock's file that holds it until it is closed."""
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            if not _is_locked_now(descriptor):
                _log.warning("another program holds %s; waiting until it has ended", lock)
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed by the one before: it no longer keeps anybody away


def _is_locked_now(descriptor: int) -> bool:
    """Lock what a descriptor is of; tell whether that went, which it does not while another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network drives have no locks: there, as on such systems, nobody is kept away.
        return True
    return True


def remove_temporary_files(folder: Path) -> None:
    """Remove what processes that were killed while writing to a folder left of their files."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def _write_and_move(part: Path, path: Path, content: bytes, durable: bool) -> None:
    try:
        part.write_bytes(content)
        if durable:
            with part.open("rb") as written:
                os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
