"""Find what a template states by hand: numbers, words that stand for one, and comparisons.

What a report says of a result must come from its record. So a template, read alone, must hold no digit, no
word that states an amount (`twice`, `half`, `ten`) and no sentence that compares (`better than`): numbers
come through formatters, comparisons are claims. Both the text and the constants in expressions are read. What
states no result after all, such as `ResNet-50`, stands in `allowed.toml` with its reason.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import jinja2
from jinja2 import nodes

from dogcam.errors import ConfigError
from report.render.formats import Formatter
from report.render.loader import Allowed, Templates
from report.render.trace import READ_OUT, first_number

_OUTPUT, _COORDINATE = "\N{OBJECT REPLACEMENT CHARACTER}", "\N{INTERLINEAR ANNOTATION ANCHOR}"

_UNITS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_LARGE = "hundreds?|thousands?|millions?|billions?|dozens?"
_SHARES = "half|halves|thirds?|quarters?|fifths?|sixths?|tenths?|hundredths?|per ?cent"
_TIMES = r"twice|thrice|doubl(?:e[sd]?|ing)|tripl(?:e[sd]?|ing)|halv(?:e[sd]?|ing)|\w+fold"
_MOST = (
    r"(?:almost|nearly|virtually) (?:all|every|none|never|always|no)|hardly any|majority|minority"
    r"|a (?:couple|handful) of|most (?:of|images|boxes|objects|detections|maps|failures)"
)
_MORE = (
    "better|worse|higher|lower|larger|smaller|greater|fewer|less|more|stronger|weaker|faster|slower|finer|"
    "coarser|longer|shorter|tighter|surer|high_resolution|sooner|further"
)
_TOP = "best|worst|highest|lowest|largest|smallest|strongest|weakest|fastest|slowest"
_IS = (
    "is|are|was|were|be|been|does|do|did|performs?|performed|works?|worked|has|have|had|gives?|gets?|"
    "comes? out"
)

_RULES = {
    "an amount in words": rf"\b(?:{_UNITS}|{_TENS}|{_LARGE}|{_SHARES}|{_TIMES}|{_MOST})\b",
    "a comparison": "|".join(
        (
            rf"\b(?:{_MORE})\b[^.;:|]{{0,60}}?\bthan\b",
            rf"\b(?:{_IS})\s+(?:\w+\s+){{0,2}}?(?:{_MORE})\b",
            rf"\b(?:{_IS})\s+(?:\w+\s+){{0,2}}?(?:{_TOP})\b",
            r"\b(?:better|worse|superior|inferior)\b",
            r"\b(?:out\w*(?:performs?|performed|performing|does|did)|surpass\w*|beats?|beaten|exceed\w*|wins?|won)\b",
            r"\b(?:improv(?:es|ed|ement)|degrad(?:es|ed)|significant(?:ly)?|as good as)\b",
            r"\b(?:not distinguishable|ahead of|on (?:a )?par|(?:falls?|fell|lags?) behind|dominat\w+)\b",
        )
    ),
}
_FOUND = {what: re.compile(pattern, re.IGNORECASE) for what, pattern in _RULES.items()}
_CONTENT, _STRING = re.compile(r"\bcontent\s*:([^;}]*)"), re.compile(r"""["']([^"']*)["']""")
_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,5})\s?")
_JOINERS = re.compile("[*_`~\\\\\u00ad\u200b-\u200d\u2060\ufeff]")
"""Signs that part a word for a machine and not for a reader: Markdown's, and those of no width."""

_GATHERING = {
    "first", "last", "list", "length", "sort", "groupby", "reverse", "unique", "batch", "selectattr",
    "rejectattr",
}  # fmt: skip
_FORMATTERS = {*Formatter("markdown").filters()}
_PARTIALS_ONLY = {"coordinate", "safe", "striptags", "replace"}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a template, and where."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def require_clean(templates: Templates) -> None:
    """Refuse templates with a fault.

    Raises:
        ConfigError: it names every fault with file and line, one a line.
    """
    faults = lint(templates)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(
            f"the templates state by hand what must come from the record ({_counted(faults)}). Show numbers "
            "with formatters, state comparisons as claims, or say in allowed.toml why a phrase states no "
            f"result:\n{lines}"
        )


def _counted(faults: list[Fault]) -> str:
    return f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"


def lint(templates: Templates) -> list[Fault]:
    """Return the faults of all templates, those of the allow-lists included."""
    allowed = templates.allowed()
    used: set[Allowed] = set()
    faults: list[Fault] = []
    for name in templates.names():
        if name.endswith(".j2"):
            faults.extend(_Template(name, templates, allowed, used).faults())
        elif name.endswith(".css"):
            faults.extend(_Template(name, templates, allowed, used).faults_of_style())
    # An entry of the program's own is used by a template of the program's own, which a user's may replace.
    own = templates.folders[0]
    stale = [entry for entry in allowed if entry.source.parent == own and entry not in used]
    faults.extend(
        Fault(entry.source, 1, f"{entry.text!r} is allowed, but stands in no template") for entry in stale
    )
    return faults


class _Template:
    """One template, read for what a reader will see of it."""

    def __init__(self, name: str, templates: Templates, allowed: list[Allowed], used: set[Allowed]) -> None:
        self.name, self.path = name, templates.path(name)
        self.source = templates.text(name)
        self.allowed = [entry for entry in allowed if entry.file in (None, name)]
        self.used = used
        self.prose = name.endswith(".md.j2")

    def faults(self) -> Iterator[Fault]:
        environment = jinja2.Environment()
        try:
            tree = environment.parse(self.source)
            visible = _visible(environment.lex(self.source))
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{self.path}:{error.lineno}: {error.message}") from error
        texts = _read_html(visible) if self.name.startswith("html/") else [(1, visible)]
        for line, text in texts:
            yield from self._said(line, text)
            if _COORDINATE in text:
                at = line + text[: text.index(_COORDINATE)].count("\n")
                yield Fault(self.path, at, "a coordinate stands in the text; it belongs in an attribute")
        for line, text in _constants(tree):
            yield from self._said(line, text)
        yield from self._computed(tree)

    def faults_of_style(self) -> Iterator[Fault]:
        """Find what a style sheet lets a page say by itself."""
        for match in _CONTENT.finditer(self.source):
            line = 1 + self.source[: match.start()].count("\n")
            for words in _STRING.findall(match[1]):
                yield from self._said(line, _ESCAPE.sub(lambda sign: chr(int(sign[1], 16)), words))

    def _said(self, line: int, text: str) -> Iterator[Fault]:
        """Find what a text says by hand."""
        text = html.unescape(text)
        for entry in self.allowed:
            if entry.text in text:
                self.used.add(entry)
                text = text.replace(entry.text, _OUTPUT)
        place = 0
        while number := first_number(text[place:]):
            yield self._fault(line, text, place + number.start(), "a number", number[0])
            place += number.end()
        words = _JOINERS.sub("", text)
        for what, pattern in _FOUND.items():
            for match in pattern.finditer(words):
                yield self._fault(line, words, match.start(), what, " ".join(match[0].split()))

    def _fault(self, line: int, text: str, place: int, what: str, said: str) -> Fault:
        return Fault(self.path, line + text[:place].count("\n"), f"{what} is written by hand: {said!r}")

    def _computed(self, tree: nodes.Template) -> Iterator[Fault]:
        """Find what computes or compares in prose, and filters that can turn a number into words."""
        for node in tree.find_all(nodes.Filter):
            if node.name not in _GATHERING | _FORMATTERS | (set() if self.prose else _PARTIALS_ONLY):
                yield Fault(
                    self.path, node.lineno,
                    f"the filter {node.name!r} is not for templates; there are formatters "
                    f"({', '.join(sorted(_FORMATTERS))}) and {', '.join(sorted(_GATHERING))}",
                )  # fmt: skip
        if not self.prose:
            return
        for sum_ in tree.find_all((nodes.BinExpr, nodes.Neg, nodes.Pos)):
            if not isinstance(sum_, nodes.And | nodes.Or):
                yield Fault(
                    self.path, sum_.lineno, "arithmetic in a template; the record holds what is shown"
                )
        for comparison in tree.find_all(nodes.Operand):
            if comparison.op in ("gt", "gteq", "lt", "lteq"):
                yield Fault(
                    self.path,
                    comparison.expr.lineno,
                    "a template compares sizes; what follows from them is a claim",
                )


def _visible(tokens: Iterable[tuple[int, str, str]]) -> str:
    """Return a template's text, line by line as it stands, with a sign for each expression."""
    parts: list[str] = []
    names: set[str] | None = None
    line = 1
    for at, kind, value in tokens:
        if kind == "variable_begin":
            names = set()
        elif kind == "variable_end" and names is not None:
            parts.append(_COORDINATE if "coordinate" in names else _OUTPUT)
            names = None
        elif names is not None and kind == "name":
            names.add(value)
        elif kind == "data":
            parts.append("\n" * (at - line) + value)
            line = max(at, line) + value.count("\n")
    return "".join(parts)


class _Html(HTMLParser):
    """Gather the texts and the read-out attributes of an HTML template, with their lines."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._whole: list[str] = []
        self._line = 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.extend((self.getpos()[0], value) for key, value in attrs if key in READ_OUT and value)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            # Elements within a line part no words; text goes on where it was broken off.
            self._whole.append("\n" * (self.getpos()[0] - self._line) + data)
            self._line = self.getpos()[0] + data.count("\n")

    def texts(self) -> list[tuple[int, str]]:
        return [*self.found, (1, "".join(self._whole))]


def _read_html(text: str) -> list[tuple[int, str]]:
    parser = _Html()
    parser.feed(text)
    parser.close()
    return parser.texts()


def _constants(tree: nodes.Node) -> Iterator[tuple[int, str]]:
    """Yield the words in expressions that can come to be read; what is concatenated, as one."""
    for node in _reaching(tree):
        if isinstance(node, nodes.Concat):
            yield (
                node.lineno,
                "".join(
                    part.value if isinstance(part, nodes.Const) and isinstance(part.value, str) else _OUTPUT
                    for part in node.nodes
                ),
            )
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield node.lineno, node.value


def _reaching(node: nodes.Node) -> Iterator[nodes.Node]:
    """Walk a tree without what is only looked up or compared and so never put out."""
    if isinstance(node, nodes.Compare | nodes.Import | nodes.FromImport | nodes.Include | nodes.TemplateData):
        return
    yield node
    for child in node.iter_child_nodes():
        if isinstance(node, nodes.Getitem) and child is node.arg:
            continue
        if isinstance(node, nodes.Pair) and child is node.key:
            continue
        if isinstance(node, nodes.Filter) and node.name in _GATHERING and child is not node.node:
            continue
        if isinstance(node, nodes.Call) and _names_something(node, child):
            continue
        yield from _reaching(child)


def _names_something(call: nodes.Call, part: nodes.Node) -> bool:
    """Whether a part of a call is the name of something, as in `find(..., name="cam")`."""
    called = call.node.name if isinstance(call.node, nodes.Name) else ""
    if called in ("find", "svg", "picture", "claim"):
        return True
    return called == "block" and (
        (call.args and part is call.args[0]) or (isinstance(part, nodes.Keyword) and part.key == "name")
    )
