"""Trace every number of a report to its formatter, so that no template can write one by hand.

While a report is rendered, each formatted value is enclosed in marks that identify it. The marks are
Unicode noncharacters; formatters remove them from words. `audit` then reads the rendered text: between marks
there must be exactly what the formatter wrote, and outside of them no number. The marks are removed
afterwards. So neither arithmetic nor filters nor concatenation can bring a number into a report.

Not read: scripts, styles, drawings (`<svg>`, made by the run from the same numbers), attributes that are not
read out, and targets of links.
"""

import re
import unicodedata
from dataclasses import dataclass

from dogcam.errors import ConfigError
from dogcam.files import UNSHOWN
from report.render.markup import read_page

_OPEN, _SHOWN, _CLOSE, _DATA, _END_DATA = map(chr, range(0xFDD0, 0xFDD5))
_DIGITS = {digit: chr(0xFDE0 + number) for number, digit in enumerate("0123456789")}
_NUMBER_OF = {ord(sign): digit for digit, sign in _DIGITS.items()}
_MARKS = re.compile(r"[\uFDD0-\uFDEF]")
_UNSHOWN = re.compile(rf"[\uFDD0-\uFDEF{UNSHOWN}\ufff9-\ufffb]")
_MARKED = re.compile(f"{_OPEN}([\ufde0-\ufde9]+){_SHOWN}([^{_OPEN}{_SHOWN}{_CLOSE}]*){_CLOSE}")
_STRIPPED = re.compile(f"{_OPEN}[\ufde0-\ufde9]+{_SHOWN}|{_CLOSE}")
_PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"
_RUN = re.compile("[^\\s|<>\ufff9\ufffc]+")

_TARGET = re.compile(r"""\]\([^)\s]*\)|\s(?:href|src|srcset|id|media)="[^"]*\"""")


@dataclass(frozen=True)
class Shown:
    """One thing that a formatter showed.

    Attributes:
        path: in the record.
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
    """Replace what could pass for a mark, control characters, and signs that change the reading direction."""
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", words)


def first_number(text: str) -> re.Match | None:
    """Find a number in any notation: digits, fractions, superscripts."""
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
            f"{name} would state {number[0]!r} ({_around(rest, number.start())!r}), a number without a "
            "formatter; take it from the record, through a formatter such as `| percent` or `| count`"
        )
    return found


def _visible_in(page: str) -> str:
    parts = []
    for piece in read_page(page).pieces:
        if piece.kind == "read_out":
            # An attribute holds no elements, so a number in it needs none.
            parts.append(f"\n{piece.text.replace(_SHOWN, _SHOWN + chr(0))}\n")
        else:
            parts.append({"data": _DATA, "end": _END_DATA}.get(piece.kind, piece.text))
    return "".join(parts)


def _squeezed(words: str) -> str:
    return " ".join(words.split())


def _around(text: str, place: int) -> str:
    return _squeezed(_MARKS.sub("", text[max(place - 30, 0) : place + 40]).replace(_PLACEHOLDER, "…"))
