"""Pictures and drawings of a run, in the form in which a page can carry them inside itself."""

import base64
from pathlib import Path

from markupsafe import Markup

from dogcam.errors import RecordError

_TYPES = {".webp": "image/webp", ".png": "image/png"}


def data_uri(path: Path) -> Markup:
    """Return a picture as a `data:` address.

    Raises:
        RecordError: where the file is missing or of a kind that is not expected.
    """
    if path.suffix not in _TYPES:
        raise RecordError(f"{path} is not a picture that a report can hold; expected {', '.join(_TYPES)}")
    return Markup(f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(_read(path)).decode()}")


def inline_svg(path: Path) -> Markup:
    """Return a drawing as an element to put into a page."""
    return Markup(_read(path).decode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}, which the record names, cannot be read: {error.strerror}") from error
