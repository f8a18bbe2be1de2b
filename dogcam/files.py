"""Write files whole or not at all, so that an interrupted program leaves the old one, or none."""

import os
from pathlib import Path

from dogcam.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under another name beside its place, then move it there.

    Args:
        path: where the file shall stand; missing folders are made.
        content: text (written as UTF-8) or bytes.

    Returns:
        The path.

    Raises:
        OutputError: where there is no space, no permission or a folder in the way; the old file stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    encoded = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_move(part, path, encoded)
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
    write_whole(folder / ".writable", b"").unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what processes that were killed while writing to a folder left of their files."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def _write_and_move(part: Path, path: Path, content: bytes) -> None:
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
