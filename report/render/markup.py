"""Read a rendered page: the numbers it shows, the ids it has, and what its reader sees."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

READ_OUT = frozenset({"alt", "title", "aria-label", "aria-description", "placeholder"})
"""The attributes of a page that are visible or read aloud."""

UNREAD = frozenset({"script", "style", "svg"})
"""Elements whose text is no prose; drawings were made by the run from the same numbers."""


_PICTURE = re.compile('="data:[^"]*"')


@dataclass(frozen=True)
class Piece:
    """One run of text as a reader gets it, or the edge of a `<data>` element.

    Attributes:
        kind: `text`, `read_out` (of an attribute), `data` (the element begins) or `end` (it ends).
        text: empty for an edge.
    """

    kind: str
    text: str = ""


@dataclass
class Page:
    """What was read of a page.

    Attributes:
        pieces: of its text, in order.
        numbers: value and path of every `<data>` element.
        ids: of all elements.
    """

    pieces: list[Piece] = field(default_factory=list)
    numbers: list[tuple[str, str]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.page.ids.add(values["id"] or "")
        if tag in UNREAD:
            self._unread += 1
        if self._unread:
            return
        if tag == "data":
            self.page.numbers.append((values.get("value") or "", values.get("data-ref") or ""))
            self.page.pieces.append(Piece("data"))
        self.page.pieces.extend(Piece("read_out", value) for key, value in attrs if key in READ_OUT and value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag == "data" and not self._unread:
            self.page.pieces.append(Piece("end"))

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.page.pieces.append(Piece("text", data))


def read_page(text: str) -> Page:
    """Read the text of an HTML page."""
    reader = _Reader()
    reader.feed(_PICTURE.sub('=""', text))
    reader.close()
    return reader.page
