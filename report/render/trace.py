"""Trace what templates put out: what a formatter showed is marked, so that nothing else can pass for it.

While a report is rendered, every number and every word of the record stands between marks that say which one
it is. The marks are noncharacters of Unicode, which no text should hold; formatters take them out of words.
When all is rendered, `audit` reads the text as a reader would: what stands between marks must be what the
formatter wrote, untouched, and outside of them there must be no number at all. Then the marks go. So neither
arithmetic nor filters nor concatenation can bring a number into a report past the formatters.

Not read, because it is not prose: scripts, styles, drawings (`<svg>`, which the run drew from the same
numbers), attributes other than those that are read out, and the targets of links.
"""

import re
import unicodedata
from dataclasses import dataclass
from html.parser import HTMLParser

from dogcam.errors import ConfigError

_OPEN, _SHOWN, _CLOSE, _DATA, _END_DATA = map(chr, range(0xFDD0, 0xFDD5))
_DIGITS = {digit: chr(0xFDE0 + number) for number, digit in enumerate("0123456789")}
_NUMBER_OF = {ord(sign): digit for digit, sign in _DIGITS.items()}
_MARKS = re.compile(r"[\uFDD0-\uFDEF]")
_MARKED = re.compile(f"{_OPEN}([\ufde0-\ufde9]+){_SHOWN}([^{_OPEN}{_SHOWN}{_CLOSE}]*){_CLOSE}")
_STRIPPED = re.compile(f"{_OPEN}[\ufde0-\ufde9]+{_SHOWN}|{_CLOSE}")
_PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"
_RUN = re.compile("[^\\s|<>\ufff9\ufffc]+")

_UNREAD = re.compile(r"""="data:[^"]*"|<(script|style|svg)\b.*?</\1>""", re.DOTALL)
_TARGET = re.compile(r"\]\([^)\s]*\)")
READ_OUT = frozenset({"alt", "title", "aria-label", "aria-description", "placeholder"})
"""The attributes of a page that a reader may come to hear or see."""


@dataclass(frozen=True)
class Shown:
    """One thing that a formatter showed.

    Attributes:
        path: where in the record it stands.
        plain: what a reader sees of it.
        text: how it is written in the report's source.
        number: whether it is a number and not words.
    """

    path: str
    plain: str
    text: str
    number: bool


class Trace:
    """Everything that formatters showed in one text, in their order."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []

    def mark(self, shown: Shown) -> str:
        """Remember what was shown, and return its text between marks."""
        self.shown.append(shown)
        name = "".join(_DIGITS[digit] for digit in str(len(self.shown) - 1))
        return f"{_OPEN}{name}{_SHOWN}{shown.text}{_CLOSE}"


def without_marks(text: str) -> str:
    """Return a rendered text as it is published."""
    return _STRIPPED.sub("", text)


def clean(words: str) -> str:
    """Take from words what could pass for a mark."""
    return _MARKS.sub("\N{REPLACEMENT CHARACTER}", words)


def first_number(text: str) -> re.Match | None:
    """Find a number written in any signs that stand for one: digits, fractions, superscripts."""
    place = next((i for i, sign in enumerate(text) if unicodedata.numeric(sign, None) is not None), None)
    if place is None:
        return None
    return next(run for run in _RUN.finditer(text) if run.end() > place)


def audit(name: str, text: str, trace: Trace, allowed: list[str]) -> list[Shown]:
    """Refuse a text that shows a number past the formatters, or alters what they showed.

    Args:
        name: of the text's file; `.html` is read as HTML, all else as Markdown.
        text: with its marks.
        trace: of the formatters that it was rendered with.
        allowed: phrases that may hold a number.

    Returns:
        What the text shows of the record, in its order.

    Raises:
        ConfigError: for a number outside of marks, or marks around what no formatter wrote.
    """
    html = name.endswith(".html")
    read = _visible_in(text) if html else text
    found: list[Shown] = []

    def take(match: re.Match) -> str:
        shown = trace.shown[int(match[1].translate(_NUMBER_OF))]
        inside = match[2]
        expected = shown.plain if html else shown.text
        if html and shown.number and inside.startswith(_DATA) and inside.endswith(_END_DATA):
            inside = inside[1:-1]
        elif html and shown.number and not inside.startswith("\0"):
            raise ConfigError(
                f"{name}: {shown.path} is shown as {inside!r}, which has lost its <data> element"
            )
        if _squeezed(inside.lstrip("\0")) != _squeezed(expected):
            raise ConfigError(
                f"{name}: {shown.path} is shown as {inside!r}, but its formatter wrote {expected!r}; "
                "a template altered it"
            )
        found.append(shown)
        return _PLACEHOLDER

    rest = _MARKED.sub(take, read)
    torn = _MARKS.search(rest)
    if torn:
        raise ConfigError(f"{name}: a template cut what a formatter wrote: {_around(rest, torn.start())!r}")
    if not html:
        rest = _TARGET.sub("]", rest)
    for phrase in allowed:
        rest = rest.replace(phrase, " ")
    number = first_number(rest)
    if number:
        raise ConfigError(
            f"{name} would say {number[0]!r} ({_around(rest, number.start())!r}), a number that no formatter "
            "showed; take it from the record, through a formatter such as `| percent` or `| count`"
        )
    return found


class _Visible(HTMLParser):
    """Gather what a reader of a page comes to see or hear."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "data":
            self.parts.append(_DATA)
        for key, value in attrs:
            if key in READ_OUT and value:
                # An attribute holds no elements, so that a number in it needs none.
                self.parts.append(f"\n{value.replace(_SHOWN, f'{_SHOWN}' + chr(0))}\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "data":
            self.parts.append(_END_DATA)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def _visible_in(page: str) -> str:
    parser = _Visible()
    parser.feed(_UNREAD.sub("", page))
    parser.close()
    return "".join(parser.parts)


def _squeezed(words: str) -> str:
    return " ".join(words.split())


def _around(text: str, place: int) -> str:
    return _squeezed(_MARKS.sub("", text[max(place - 30, 0) : place + 40]).replace(_PLACEHOLDER, "…"))
