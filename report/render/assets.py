"""Pictures and drawings of a run, in the form in which a page can carry them inside itself."""

import base64
import hashlib
import re
from xml.etree import ElementTree as ET

from markupsafe import Markup

from dogcam.errors import RecordError

_DRAWN = frozenset({
    "svg", "g", "defs", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan",
    "use", "clipPath", "title",
})  # fmt: skip
"""The elements that a drawing of a run consists of."""

_TEXTS = frozenset({"aria-label"})
"""The attributes that hold text for people, such as the name of a class; no browser takes them for more."""

_UNSAFE = re.compile(r"(?i)^on|^(?:xlink:)?href$")


def data_uri(content: bytes, name: str) -> Markup:
    """Return a picture of a run as a `data:` address.

    Raises:
        RecordError: if it is no WebP picture.
    """
    if not (content.startswith(b"RIFF") and content[8:12] == b"WEBP"):
        raise RecordError(
            f"{name} is not a picture that a report can hold; expected WebP: run `dogcam-report run` again"
        )
    return Markup(f"data:image/webp;base64,{base64.b64encode(content).decode()}")


def inline_svg(content: bytes, name: str) -> Markup:
    """Return a drawing of a run as an element to put into a page.

    Raises:
        RecordError: if it has an element or an attribute that no drawing of a run has, such as a script or a
            link to another file.
    """
    text = content.decode("utf-8", "replace")
    if "<!" in text or "<?" in text:
        raise RecordError(
            f"{name} has a declaration; expected a drawing as `dogcam-report run` makes it: run it again"
        )
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise RecordError(f"{name} is not a drawing: {error}; run `dogcam-report run` again") from error
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag not in _DRAWN:
            raise RecordError(f"{name} has the element {tag!r}; expected a drawing as the run makes it")
        for key, value in element.attrib.items():
            bare = key.rpartition("}")[2]
            if _UNSAFE.match(bare) and not (bare == "href" and value.startswith("#")):
                raise RecordError(f"{name} has the attribute {bare}={value!r}; expected no script, no link")
            address = re.search(r"url\((?!#)|@import|javascript:", value, re.IGNORECASE)
            if address and bare not in _TEXTS:
                raise RecordError(f"{name} has {bare}={value!r}; expected no address outside of the drawing")
    return Markup(text)


def script_hash(text: str) -> str:
    """Return the source expression by which a content security policy allows a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
