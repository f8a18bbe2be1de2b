"""Format numbers and words of the record, in HTML (each number with its path) and in Markdown."""

import html
import re
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from dogcam.errors import RecordError
from report.record.refs import Ref, path_of, raw
from report.record.words import article_of, plural_of
from report.render.trace import Shown, Trace, clean

UNDEFINED = "n/a"
MINUS = "\N{MINUS SIGN}"
TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"
TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKDOWN_SIGNS = re.compile(r"[\\`*_\[\]|~$]|(?<=[a-z]):(?=//)|@(?=\w)", re.IGNORECASE)
"""Signs that begin markup, mathematics, a bare link or a mention on a code host."""

LONGEST_WORDS = 500
"""The most characters of a name that are shown; the record keeps the whole of it."""


def has_width(interval: Ref) -> bool:
    """Return whether an interval can be stated: resamples that all agree do not show how sure a value is."""
    ends = raw(interval)
    return ends is not None and ends.low is not None and ends.low != ends.high


class Formatter:
    """The formatters of one format; templates use them as filters.

    Args:
        format: `html` or `markdown`.
        trace: registers each value of the record that is shown, between marks.
    """

    def __init__(self, format: str, trace: Trace | None = None) -> None:
        self.format = format
        self.trace = trace

    def filters(self) -> dict[str, Any]:
        """Return the formatters by the names that templates use."""
        numbers = "percent", "points", "count", "counted", "identifier", "decimal", "power", "seconds"
        pairs = "span", "within", "estimate", "gap", "shift"
        words = "text", "words", "article", "plural", "sentence", "bare", "code", "address", "faint"
        return {name: getattr(self, name) for name in (*numbers, *pairs, *words, "attribute")}

    def percent(self, ref: Ref, digits: int = 1) -> Markup:
        """Show a fraction in percent: 0.4884 -> 48.8 %."""
        return self._number(ref, lambda value: f"{_signed(100 * value, digits)}{THIN_SPACE}%")

    def points(self, ref: Ref, digits: int = 1) -> Markup:
        """Show a difference of fractions in percentage points, with its sign: 0.032 -> +3.2."""
        return self._number(ref, lambda value: _signed(100 * value, digits, plus=True))

    def count(self, ref: Ref) -> Markup:
        """Show a whole number: 12345 -> 12 345."""
        return self._number(ref, lambda value: _signed(value, 0))

    def counted(self, ref: Ref, one: str, many: str) -> Markup:
        """Show a whole number with the words for what is counted: 1 box is, 2 boxes are."""
        return self.count(ref) + " " + self.text(one if raw(ref) == 1 else many)

    def identifier(self, ref: Ref) -> Markup:
        """Show a whole number that is a name, such as a seed: 2007 -> 2007."""
        return self._number(ref, str)

    def decimal(self, ref: Ref, digits: int = 2) -> Markup:
        """Show a number with a fixed number of digits behind the point."""
        return self._number(ref, lambda value: _signed(value, digits))

    def power(self, ref: Ref) -> Markup:
        """Show a small or large number with a power of ten: 6.9e-07 -> 6.9 × 10⁻⁷."""
        return self._number(ref, _power)

    def seconds(self, ref: Ref) -> Markup:
        """Show a duration in seconds."""
        return self._number(ref, lambda value: f"{_signed(value, 1)}{THIN_SPACE}s")

    def span(self, interval: Ref, digits: int = 1) -> Markup:
        """Show an interval of fractions in percent: 40.1 to 57.0 %."""
        if raw(interval) is None or raw(interval).low is None:
            return Markup(UNDEFINED)
        low = self._number(interval.low, lambda value: _signed(100 * value, digits))
        return low + TO + self.percent(interval.high, digits)

    def within(self, ref: Ref, interval: Ref, digits: int = 1) -> Markup:
        """Show a fraction in percent with the interval that the record has for it, if it is defined."""
        if not has_width(interval):
            return self.percent(ref, digits)
        return self.percent(ref, digits) + " (" + self.span(interval, digits) + ")"

    def estimate(self, ref: Ref, digits: int = 1) -> Markup:
        """Show an estimate in percent with its interval: 48.8 % (40.1 to 57.0 %); n/a if there is none."""
        if raw(ref).value is None:
            return self.percent(ref.value, digits)
        return self.within(ref.value, ref.interval, digits)

    def gap(self, ref: Ref, digits: int = 1) -> Markup:
        """Show an estimated difference in percentage points: +3.2 points (+1.0 to +5.4), or (n/a)."""
        shown = self.points(ref.value, digits) + " points"
        if has_width(ref.interval):
            low, high = (self.points(end, digits) for end in (ref.interval.low, ref.interval.high))
            return shown + " (" + low + TO + high + ")"
        return shown if raw(ref).interval.low is not None else shown + f" ({UNDEFINED})"

    def shift(self, ref: Ref, digits: int = 3) -> Markup:
        """Show an estimated difference as it is, with its signs: +0.041 (+0.028 to +0.057)."""
        value, low, high = (
            self._number(number, lambda each: _signed(each, digits, plus=True))
            for number in (ref.value, ref.interval.low, ref.interval.high)
        )
        ends = low if raw(ref).interval.low is None else low + TO + high
        return value + " (" + ends + ")"

    def text(self, value: Ref | str) -> Markup:
        """Show words of the record or of a user, with every sign that could be markup escaped."""
        if self.format == "html":
            return self.attribute(value)
        words = _one_line(value)
        return self._words(value, words, _MARKDOWN_SIGNS.sub(r"\\\g<0>", html.escape(words, quote=False)))

    def attribute(self, value: Ref | str) -> Markup:
        """Show words in an attribute of an element, which Markdown may have as well: no quote ends it."""
        words = _one_line(value)
        return self._words(value, words, _entities(words))

    def words(self, value: Ref | str) -> Markup:
        """Show a name of the record as words: other_object -> other object."""
        name = str(raw(value)).replace("_", " ")
        return self.text(Ref(name, path_of(value)) if isinstance(value, Ref) else name)

    def article(self, value: Ref | str) -> Markup:
        """Show words with the article that they take: dog -> a dog, aeroplane -> an aeroplane."""
        return Markup(article_of(str(raw(value)))) + " " + self.text(value)

    def plural(self, value: Ref | str, n: Ref | None = None) -> Markup:
        """Show a class in the plural: dog -> dogs; in the singular if `n` is one."""
        word = str(raw(value))
        if n is None or raw(n) != 1:
            word = plural_of(word)
        return self.text(Ref(word, path_of(value)) if isinstance(value, Ref) else word)

    def sentence(self, value: Ref | str) -> Markup:
        """Show words with a capital letter first: no box -> No box."""
        words = str(raw(value))
        words = words[:1].upper() + words[1:]
        return self.text(Ref(words, path_of(value)) if isinstance(value, Ref) else words)

    def bare(self, shown: Markup) -> Markup:
        """Return a formatted number for an attribute, which can hold no element."""
        return Markup(re.sub(r"</?data\b[^>]*>", "", shown))

    def faint(self, shown: Markup | Ref | str, few: Ref) -> Markup:
        """Show what rests on few cases less loudly: grey on the page, in italics in Markdown."""
        words = shown if isinstance(shown, Markup) else self.text(shown)
        if not raw(few):
            return words
        if self.format == "html":
            return Markup('<span class="few">') + words + Markup("</span>")
        return "*" + words + "*"

    def address(self, value: Ref | str) -> Markup:
        """Show the path of a file of the run as an address that a link can hold."""
        return Markup(quote(str(raw(value))))

    def code(self, value: Ref | str) -> Markup:
        """Show words of the record as code: names, hashes, versions and the like."""
        if not isinstance(raw(value), str):
            raise RecordError(f"{value!r} is {raw(value)!r}; only words can be shown as code")
        words = _shortened(clean(" ".join(raw(value).split())))
        if self.format == "html" or not {"|", "<"}.isdisjoint(words):
            # As an element, not between backticks: nothing in the words can end it, or a table's cell, or be
            # an element where Markdown is not read, such as right after one.
            return self._words(value, words, f"<code>{_entities(words)}</code>")
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
        pad = " " if words.startswith("`") or words.endswith("`") else ""
        return self._words(value, words, f"{fence}{pad}{words}{pad}{fence}")

    def finalize(self, value: Any) -> Any:
        """Decide what an expression in a template may put out: words escaped, numbers only formatted.

        Raises:
            RecordError: for a number, a list or a whole part of the record that no formatter has seen.
        """
        if isinstance(value, Markup):
            return value
        if isinstance(raw(value), str):
            return self.text(value)
        raise RecordError(
            f"a template puts out {value!r} ({raw(value)!r}) as it is; give it a formatter such as "
            "`| percent` or `| count`, so that the number can be traced to the record"
        )

    def _number(self, ref: Ref, show: Any) -> Markup:
        if not isinstance(ref, Ref):
            raise RecordError(f"{ref!r} is not from the record; only numbers of the record can be shown")
        value = raw(ref)
        if value is None:
            return Markup(UNDEFINED)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecordError(f"{path_of(ref)} is {value!r}; expected a number")
        shown = show(value)
        if self.format == "markdown":
            return self._marked(ref, shown, shown, number=True)
        data = f'<data value="{value!r}" data-ref="{html.escape(path_of(ref))}">{shown}</data>'
        return self._marked(ref, shown, data, number=True)

    def _words(self, value: Ref | str, plain: str, text: str) -> Markup:
        # Words that a template made up are not of the record, and a number in them must not pass for one.
        return self._marked(value, plain, text, number=False) if isinstance(value, Ref) else Markup(text)

    def _marked(self, ref: Ref, plain: str, text: str, number: bool) -> Markup:
        if self.trace is None:
            return Markup(text)
        return Markup(self.trace.mark(Shown(path_of(ref), plain, text, number)))


def _one_line(value: Ref | str) -> str:
    words = raw(value)
    if not isinstance(words, str):
        raise RecordError(f"{value!r} is {words!r}; only words can be shown as text")
    return _shortened(clean(" ".join(words.splitlines())))


def _shortened(words: str) -> str:
    return words if len(words) <= LONGEST_WORDS else f"{words[:LONGEST_WORDS]}…"


def _signed(value: float, digits: int, plus: bool = False) -> str:
    shown = f"{value:{'+' if plus else ''},.{digits}f}"
    # A difference that rounds to nothing has no sign: -0.0 would claim one.
    if not shown.strip("+-.0"):
        shown = shown.lstrip("+-")
    return shown.replace("-", MINUS).replace(",", THIN_SPACE)


def _power(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    if -3 < int(exponent) < 3:
        return f"{value:.3g}".replace("-", MINUS)
    factor, raised = mantissa.replace("-", MINUS), str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{factor}{TIMES}10{raised}"


def _entities(words: str) -> str:
    """Escape for HTML as well as for Markdown that becomes HTML: an entity is never read as markup."""
    return _MARKDOWN_SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", html.escape(words))
