"""Write files whole or not at all; read plain files of limited size and nothing else."""

import hashlib
import json
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # a system without such locks; there, folders are not held
    fcntl = None  # type: ignore[assignment]

from dogcam.errors import ConfigError, DataError, DogcamError, OutputError, RecordError

MAX_MEGABYTES = 1000
"""Longer files are not read: an annotation of COCO's training images has 450 MB."""

MAX_DEPTH = 64
"""Levels of lists and objects in a JSON file."""

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape of JSON that is half of a character; without its other half it is none."""

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
        OutputError: if there is no space, no permission or a folder in the way, or the text is not UTF-8; the
            old file stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        encoded = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 100) : error.end + 100]
        raise OutputError(
            f"{path} would hold {text!r}, which is not UTF-8; rename the file or class"
        ) from error
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


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a file whose name comes from a file of the folder, which may be anybody's.

    Args:
        folder: the folder that the file must be in.
        name: a relative path with forward slashes.

    Returns:
        The path, with links resolved. The file may be missing.

    Raises:
        RecordError: if the name is absolute, contains `..`, a backslash or a null byte, or leads out of the
            folder through a link.
    """
    parts = name.split("/")
    if "\\" in name or "\0" in name or ":" in parts[0] or not set(parts).isdisjoint({"", ".", ".."}):
        raise RecordError(
            f"{folder} names the file {name!r}; expected a relative name inside the folder, such as "
            "figures/scores.svg: the folder was changed by hand or comes from elsewhere"
        )
    try:
        path, root = (folder / name).resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:
        raise RecordError(f"{folder / name} is a link that cannot be followed ({error})") from error
    if not path.is_relative_to(root) or path == root:
        raise RecordError(f"{folder / name} is a link to {path}, outside {root}; remove the link")
    return path


def printable(name: str) -> str:
    """Return the name of a file as text that can be written: bytes that are not UTF-8 become escapes."""
    return name.encode(errors="backslashreplace").decode()


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


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


def open_plain(path: Path, error: type[DogcamError] = DataError) -> BinaryIO:
    """Open a plain file for reading; anything else is refused before a byte is read.

    Args:
        path: the file; symbolic links are followed.
        error: the class of the error.

    Returns:
        The open file, which the caller closes.

    Raises:
        DogcamError: if it cannot be opened, or is a folder, FIFO, socket or device.
    """
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as fault:  # the last for a name with a null byte
        raise error(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from fault
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in _KINDS if test(mode)), "special file")
        raise error(f"{path} is a {kind}; expected a plain file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, limit: int | None = None, error: type[DogcamError] = DataError) -> bytes:
    """Read a plain file of limited size.

    Args:
        path: the file.
        limit: bytes; by default `MAX_MEGABYTES`, or what DOGCAM_MAX_MEGABYTES of the environment states.
        error: the class of the error.

    Raises:
        DogcamError: if it is no plain file, is longer than the limit, or cannot be read.
    """
    most = limit_from("DOGCAM_MAX_MEGABYTES", MAX_MEGABYTES) * 1_000_000 if limit is None else limit
    with open_plain(path, error) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            content = file.read(most + 1) if size <= most else b""
        except (OSError, MemoryError) as fault:
            raise error(
                f"{path} cannot be read: {getattr(fault, 'strerror', None) or 'no memory'}"
            ) from fault
    size = max(size, len(content))
    if size > most:
        remedy = "set DOGCAM_MAX_MEGABYTES to read more" if limit is None else "use a smaller file"
        raise error(f"{path} has {size:,} bytes; at most {most:,} are read: {remedy}")
    return content


def limit_from(variable: str, default: int) -> int:
    """Return a limit, which a variable of the environment may change.

    Raises:
        ConfigError: if the variable holds no whole number above 0.
    """
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text)):
        raise ConfigError(f"{variable} is {text!r}; expected a whole number from 1 to 999999999999")
    return int(text)


def read_text(path: Path, error: type[DogcamError] = DataError) -> str:
    """Read a plain file of UTF-8, without the byte order mark that some editors write.

    Raises:
        DogcamError: as `read_bytes`, or if the file is not UTF-8.
    """
    try:
        return read_bytes(path, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is not UTF-8 ({fault}); save it as UTF-8") from fault


def read_json(path: Path, error: type[DogcamError] = DataError, limit: int | None = None) -> Any:
    """Read a JSON file: finite numbers, no key twice in an object, at most `MAX_DEPTH` levels.

    Raises:
        DogcamError: as `read_bytes`, or if the file is not such JSON.
    """
    return parse_json(read_bytes(path, limit, error), str(path), error)


def parse_json(text: str | bytes, source: str, error: type[DogcamError] = DataError) -> Any:
    """Parse JSON by the rules of `read_json`.

    Args:
        text: the JSON; bytes are UTF-8.
        source: where it is from, for the message.
        error: the class of the error.

    Raises:
        DogcamError: if the text is not such JSON.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_no_constant)
        _check_depth(document)
        if _SURROGATE.search(text if isinstance(text, bytes) else text.encode()):
            json.dumps(document, ensure_ascii=False).encode()  # halves of pairs cannot be written
    except (ValueError, TypeError, RecursionError) as fault:
        raise error(f"{source} is not valid JSON: {fault}; restore the file or make it again") from fault
    return document


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The parser alone keeps the last of two equal keys, and half of the boxes are lost silently.
    document = dict(pairs)
    if len(document) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key[:80]!r} occurs twice in one object")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


def _check_depth(document: Any) -> None:
    """Raise ValueError if lists and objects are nested deeper than `MAX_DEPTH`."""
    level: list[Any] = [[document]]
    for _ in range(MAX_DEPTH + 1):
        children = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for siblings in children for child in siblings if isinstance(child, list | dict)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
