"""Write files whole or not at all, so that an interrupted program leaves the old one, or none."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under another name beside its place, then move it there.

    Args:
        path: where the file shall stand; missing folders are made.
        content: text (written as UTF-8) or bytes.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
