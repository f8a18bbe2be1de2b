"""Write files atomically; read only regular files of limited size."""

import hashlib
import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from dogcam.errors import ConfigError, DataError, DogcamError, OutputError, RecordError

MAX_MEGABYTES = 1000
"""Maximum size of a file that is read; the annotations of COCO's training images have 450 MB."""

MAX_DEPTH = 64
"""Maximum nesting of lists and objects in a JSON file."""

MAX_UNFOLDED = 100_000_000
"""Bytes by which the content of a zip archive may exceed its size; weights and arrays are not compressed."""

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)

_PART = re.compile(r"\..+\.[0-9]+\.part")
"""The name of a temporary file of `atomic_write`."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape of JSON that is half of a character; without its other half it is none."""


def atomic_write(path: Path, content: str | bytes, *, durable: bool = False) -> Path:
    """Write a file atomically: write a temporary file in the same folder, then rename it.

    Args:
        path: the file; missing folders are created.
        content: text (written as UTF-8) or bytes.
        durable: flush the content to the disk before renaming, so that a power failure cannot leave an
            incomplete file.

    Returns:
        The path.

    Raises:
        OutputError: if space or permission is missing, the path is a folder or a device, or the text is not
            UTF-8; what exists is kept.
    """
    _refuse_special(path)
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
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path} cannot be written ({reason}); free some space, remove what is in its place, or choose "
            "another name or folder"
        ) from error
    return path


def _refuse_special(path: Path) -> None:
    """Refuse to replace a device, FIFO or socket by a file, which an administrator is permitted to do.

    Raises:
        OutputError: if the path, or the end of its links, is one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a {_kind_of(mode)}; expected a file: choose another name")


def require_writable(folder: Path) -> None:
    """Create a folder, and verify that files can be written to it.

    Raises:
        OutputError: if they cannot.
    """
    atomic_write(folder / ".writable", b"").unlink(missing_ok=True)


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a file whose name was read from a file, which may be untrusted.

    Args:
        folder: the folder that must contain the file.
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
            "figures/scores.svg: the folder was edited, or was not written by dogcam"
        )
    try:
        path, root = (folder / name).resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:
        raise RecordError(
            f"{folder / name} is a link that cannot be followed ({error}); remove the link"
        ) from error
    if not path.is_relative_to(root) or path == root:
        raise RecordError(f"{folder / name} is a link to {path}, outside {root}; remove the link")
    return path


UNSHOWN = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Control characters and signs that change the reading direction, as a part of a character class."""


def printable(name: str) -> str:
    """Return the name of a file as text that can be written: bytes that are not UTF-8 become escapes."""
    return name.encode(errors="backslashreplace").decode()


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_values(values: Any) -> str:
    """Return the SHA-256 of plain values as JSON, whatever the order of their keys."""
    return sha256_of(json.dumps(values, sort_keys=True).encode())


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while writing to a folder."""
    for part in folder.glob(".*.part"):
        if _PART.fullmatch(part.name):
            part.unlink(missing_ok=True)


def _write_and_move(part: Path, path: Path, content: bytes, durable: bool) -> None:
    try:
        # A folder from elsewhere may have a link of this name: only a new file is written to.
        part.unlink(missing_ok=True)
        part.touch(exist_ok=False)
        part.write_bytes(content)
        if durable:
            with part.open("rb") as written:
                os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_plain(path: Path, error: type[DogcamError] = DataError) -> BinaryIO:
    """Open a regular file for reading; anything else is refused before a byte is read.

    Args:
        path: the file; symbolic links are followed.
        error: class of the error to raise.

    Returns:
        The open file, which the caller must close.

    Raises:
        DogcamError: if it cannot be opened, or is a folder, FIFO, socket or device.
    """
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as fault:  # ValueError: a null byte in the name
        reason = getattr(fault, "strerror", None) or fault
        raise error(
            f"{path} cannot be read: {reason}; correct the name or the permissions, or restore the file"
        ) from fault
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise error(f"{path} is a {_kind_of(mode)}; expected a regular file: name or put one there")
    return os.fdopen(descriptor, "rb")


def _kind_of(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "special file")


def read_bytes(path: Path, limit: int | None = None, error: type[DogcamError] = DataError) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: the file.
        limit: maximum size in bytes; by default `MAX_MEGABYTES`, or the environment variable
            DOGCAM_MAX_MEGABYTES.
        error: class of the error to raise.

    Raises:
        DogcamError: if it is not a regular file, is larger than the limit, or cannot be read.
    """
    most = _most_bytes(limit)
    with open_plain(path, error) as file:
        require_size(file, path, limit, error)
        try:
            content = file.read(most + 1)
        except (OSError, MemoryError) as fault:
            raise error(
                f"{path} cannot be read: {getattr(fault, 'strerror', None) or 'no memory'}; restore the "
                "file, or correct its permissions"
            ) from fault
    if len(content) > most:
        raise error(f"{path} grew beyond {most:,} bytes while it was read; read it when it is complete")
    return content


def require_size(
    file: BinaryIO, path: Path, limit: int | None = None, error: type[DogcamError] = DataError
) -> None:
    """Refuse an open file that is larger than a limit, as `read_bytes`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    require_few_bytes(size, path, limit, error)


def require_few_bytes(
    size: int, name: Path | str, limit: int | None = None, error: type[DogcamError] = DataError
) -> None:
    """Refuse a size in bytes that is above a limit, as `read_bytes`; the message states the name."""
    most = _most_bytes(limit)
    if size > most:
        remedy = "set DOGCAM_MAX_MEGABYTES to read more" if limit is None else "use a smaller file"
        raise error(f"{name} has {size:,} bytes; at most {most:,} are read: {remedy}")


def _most_bytes(limit: int | None) -> int:
    return limit_from("DOGCAM_MAX_MEGABYTES", MAX_MEGABYTES) * 1_000_000 if limit is None else limit


def unfolds(archive: Path | BinaryIO) -> bool:
    """Return whether a zip archive holds more than its size and `MAX_UNFOLDED`: compressed, or overlapping.

    Args:
        archive: a file, which may also be damaged or of another kind; an open one is then at its start.
    """
    size = archive.stat().st_size if isinstance(archive, Path) else archive.seek(0, os.SEEK_END)
    try:
        with ZipFile(archive) as file:
            return sum(each.file_size for each in file.infolist()) > size + MAX_UNFOLDED
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    finally:
        if not isinstance(archive, Path):
            archive.seek(0)


def limit_from(variable: str, default: int) -> int:
    """Return a limit: the value of an environment variable, or the default.

    Raises:
        ConfigError: if the variable is not a whole number above 0.
    """
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text)):
        raise ConfigError(f"{variable} is {text!r}; expected a whole number from 1 to 999999999999")
    return int(text)


def read_text(path: Path, error: type[DogcamError] = DataError) -> str:
    """Read a regular file as UTF-8, without the byte order mark that some editors write.

    Raises:
        DogcamError: as `read_bytes`, or if the file is not UTF-8.
    """
    try:
        return read_bytes(path, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is not UTF-8 ({fault}); save it as UTF-8") from fault


def read_json(path: Path, error: type[DogcamError] = DataError, limit: int | None = None) -> Any:
    """Read a JSON file: finite numbers, unique keys in each object, at most `MAX_DEPTH` levels.

    Raises:
        DogcamError: as `read_bytes`, or if the file is not JSON of this kind.
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
    # The parser itself keeps the last of two equal keys and would lose data silently.
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
