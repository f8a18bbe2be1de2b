"""Turn a record into its report: prose templates, rendered once for HTML and once for Markdown."""

import difflib
import functools
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from dogcam.errors import ConfigError, RecordError
from dogcam.files import atomic_write
from report.record import ClaimPart, Results
from report.record.base import Model
from report.record.comparison import RunComparison
from report.record.diff import RunDiff
from report.record.files import read_file
from report.record.photographs import Photographs
from report.record.refs import Ref, entries, find, follow, path_of, raw
from report.render import choices, links
from report.render.assets import data_uri, inline_svg, script_hash
from report.render.compiled import CompiledTemplates
from report.render.formats import Formatter, has_width
from report.render.links import anchor_of
from report.render.loader import Templates, open_templates
from report.render.trace import Shown, Trace, audit, without_marks

SCRIPTS = ("explorer.js", "report.js", "gallery.js")
"""The page's scripts, in the order in which they run."""

HTML_NAME, MARKDOWN_NAME = "report.html", "report.md"

_BLOCK = re.compile(r'<div data-block="(\d+)"></div>')
_TABLE = re.compile("<table")
_COLUMN = re.compile("<th(?=[ >])")
_HEADING = re.compile(r"<h3>(.*?)</h3>")


_COMPILED = CompiledTemplates()


@dataclass(frozen=True)
class Section:
    """One section of the report: its anchor, its heading, and its text in the output format."""

    anchor: str
    title: str
    body: str


@dataclass
class _Output:
    """What templates are given for one format.

    Prose is Markdown in both. Figures and the gallery, which Markdown lacks, come from a template of the
    format; in HTML such a block is put aside while the prose is turned into HTML, and put back after.
    """

    name: str
    record: Results | RunDiff | RunComparison | Photographs
    run: Path
    templates: Templates
    formatter: Formatter = field(init=False)
    environment: jinja2.Environment = field(init=False)
    blocks: list[str] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)

    def __post_init__(self) -> None:
        self.formatter = formatter = Formatter(self.name, self.trace)
        self.environment = jinja2.Environment(
            loader=self.templates.loader(),
            bytecode_cache=_COMPILED,
            # Folding of constants takes as long as it saves.
            optimized=False,
            undefined=jinja2.StrictUndefined,
            # Since it takes the context, jinja cannot apply it early to literals, which would seem escaped.
            finalize=jinja2.pass_context(lambda _, value: formatter.finalize(value)),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            # What a macro returns is then known to be escaped already; `finalize` does the escaping itself.
            autoescape=True,
        )
        self.environment.filters |= formatter.filters()
        self.environment.filters["coordinate"] = _coordinate
        self.environment.globals |= {
            "record": Ref(self.record),
            "find": find,
            "entries": entries,
            "block": self.block,
            "claim": self.claim,
            "stated": lambda name: name in set(self._claim_ids()),
            "lead": self.lead,
            "svg": lambda name: inline_svg(self._file(name), raw(name)),
            "picture": lambda name: data_uri(self._file(name), raw(name)),
            **choices.of(self.record),
            "inline": lambda text: Markup(_markdown().renderInline(str(formatter.finalize(text)))),
            "raw": raw,
            "has_width": has_width,
            "slug": lambda words: anchor_of(str(raw(words)))[:60] or "x",
            "format": self.name,
        }

    def render(self, name: str, /, **values: object) -> str:
        """Render a template; its faults are named with file and line."""
        try:
            return self.environment.get_template(name).render(**values)
        except jinja2.TemplateNotFound as error:
            folders = " or ".join(str(folder) for folder in self.templates.folders)
            raise ConfigError(f"there is no template {error.name!r} in {folders}") from error
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{error.filename}:{error.lineno}: {error.message}") from error
        except (jinja2.TemplateError, RecordError, ArithmeticError, TypeError, ValueError) as error:
            # A template may be the user's, and can go wrong in any way that an expression can.
            raise ConfigError(f"{self.templates.path(name)}: {error}") from error

    def block(self, name: str, /, **values: object) -> Markup:
        """Render a block of this format, `templates/<format>/<name>.j2`."""
        text = self.render(f"{self.name}/{name}.j2", **values)
        if self.name == "markdown":
            return Markup(text)
        self.blocks.append(text)
        return Markup(f'\n\n<div data-block="{len(self.blocks) - 1}"></div>\n\n')

    def _claim_ids(self) -> list[str]:
        # A comparison of runs makes no claims.
        return [claim.id for claim in getattr(self.record, "claims", ())]

    def claim(self, name: str) -> Markup:
        """Show the sentence of a claim, without a full stop.

        Raises:
            RecordError: if the record has no such claim.
        """
        claims = Ref(self.record).claims
        made = self._claim_ids()
        if name not in made:
            near = difflib.get_close_matches(name, made) or made
            raise RecordError(f"the record makes no claim {name!r}; it makes {', '.join(near) or 'none'}")
        stated = claims[made.index(name)]
        parts = {part.name: part for part in raw(stated).parts}
        # Splitting at {names} gives words and names in turn.
        pieces = re.split(r"\{(\w+)\}", raw(stated).sentence)
        words = [self.formatter.text(Ref(piece, path_of(stated.sentence))) for piece in pieces[::2]]
        shown = [self._part(parts[piece]) for piece in pieces[1::2]]
        return Markup("").join(itertools.chain(*itertools.zip_longest(words, shown, fillvalue="")))

    def _file(self, name: Ref | str) -> bytes:
        files = self.record.files if isinstance(self.record, Results | Photographs) else {}
        return read_file(self.run, str(raw(name)), files)

    def lead(self, name: str) -> Markup:
        """Show the short answer of a claim; empty for none."""
        claims = Ref(self.record).claims
        return self.formatter.text(find(claims, id=name).lead)

    def _part(self, part: ClaimPart) -> Markup:
        digits = {} if part.digits is None else {"digits": part.digits}
        return getattr(self.formatter, part.form)(follow(Ref(self.record), part.path), **digits)

    def section(self, name: str) -> Section | None:
        """Render one section, in HTML turned into HTML; None if the record has nothing for it."""
        text = self.render(name).strip()
        if not text:
            return None
        heading, _, body = text.partition("\n")
        title = heading.removeprefix("## ").strip()
        if not heading.startswith("## ") or not title:
            raise ConfigError(f"{self.templates.path(name)}: a section begins with `## Title`")
        if self.name == "html":
            body = _HEADING.sub(_with_anchor, _markdown().render(body))
            places = itertools.count(1)
            body = _TABLE.sub(lambda match: f'{match[0]} id="{anchor_of(title)}-table-{next(places)}"', body)
            body = _COLUMN.sub('<th scope="col"', body)
            body = _BLOCK.sub(lambda match: self.blocks[int(match[1])], body)
        return Section(anchor_of(title), title, body.strip())


@dataclass(frozen=True)
class Rendered:
    """One file of the report, with what it shows of the record in the order in which it is read."""

    text: str
    shown: list[Shown]


def render(record: Results | Photographs, run: Path, templates: Templates | None = None) -> dict[str, str]:
    """Render a record.

    Args:
        record: what the run found.
        run: the run's folder, which holds the figures and pictures that the record names.
        templates: None for the program's own.

    Returns:
        The text of each file of the report, by its name; equal records give equal texts.

    Raises:
        ConfigError: if a template is missing or faulty, shows what is not in the record, or brings in a
            number past the formatters.
    """
    return {name: each.text for name, each in render_traced(record, run, templates).items()}


def render_traced(
    record: Results | Photographs, run: Path, templates: Templates | None = None
) -> dict[str, Rendered]:
    """Render a record, as `render` does, and return for each file the values that it shows."""
    templates = templates or open_templates()
    allowed = [entry.text for entry in templates.allowed()]
    rendered = {}
    for name, output_format in ((HTML_NAME, "html"), (MARKDOWN_NAME, "markdown")):
        made = _Output(output_format, record, run, templates)
        if isinstance(record, Photographs):
            text = _plain(made, "photographs.md.j2")
        else:
            text = _page(made) if output_format == "html" else _markdown_page(made)
        rendered[name] = Rendered(without_marks(text), audit(name, text, made.trace, allowed))
    return rendered


def write_report(record: Results | Photographs, run: Path, templates: Templates | None = None) -> Path:
    """Render a record and write the report's files into the run's folder; return the page's path."""
    for name, text in render(record, run, templates).items():
        atomic_write(run / name, text)
    return run / HTML_NAME


def render_diff(diff: RunDiff | RunComparison, templates: Templates | None = None) -> dict[str, str]:
    """Render what is different between two runs, or the comparison of several.

    Args:
        diff: the record of the difference or of the comparison.
        templates: None for the program's own.

    Returns:
        The page under `html`, the Markdown version under `markdown`.

    Raises:
        ConfigError: as `render` does.
    """
    templates = templates or open_templates()
    allowed = [entry.text for entry in templates.allowed()]
    texts = {}
    template = "diff.md.j2" if isinstance(diff, RunDiff) else "compare.md.j2"
    for name, file in (("html", "diff.html"), ("markdown", "diff.md")):
        output = _Output(name, diff, Path(), templates)
        text = _plain(output, template)
        audit(file, text, output.trace, allowed)
        texts[name] = without_marks(text)
    return texts


def _plain(output: _Output, template: str) -> str:
    """Render a record without sections from one template, in the plain frame of its format."""
    prose = output.render(template)
    if output.name == "markdown":
        return _tidy(f"# {output.formatter.text(Ref(output.record).title)}\n\n{prose}")
    style = Markup(output.templates.text("style.css"))
    embedded = Markup(_json_for_script(output.record))
    body = _BLOCK.sub(lambda match: output.blocks[int(match[1])], _markdown().render(prose))
    return output.render("html/diff.j2", body=body, style=style, embedded=embedded)


def _page(output: _Output) -> str:
    script = "\n".join(["", *(output.templates.text(name) for name in SCRIPTS)])
    page = {
        "sections": _sections(output),
        "style": Markup(output.templates.text("style.css") + _method_styles(output.record)),
        "script": Markup(script),
        "script_hash": Markup(script_hash(script)),
        "embedded": Markup(_json_for_script(output.record)),
    }
    text = output.render("html/page.j2", **page)
    return links.page_without_dead_links(text)


def _method_styles(record: Model) -> str:
    """Return the style of each method: the colour and the dash of its lines in the figures."""
    methods = record.detection.methods if isinstance(record, Results) else []
    return "".join(
        f"\n.m-{each.name.replace('_', '-')} {{ --method: var(--series-{each.colour + 1}); "
        f"--dash: var(--dash-{each.dash}); --border: var(--border-{each.dash}); }}"
        for each in methods
        if re.fullmatch(r"[a-z_]+", each.name)
    )


def _markdown_page(output: _Output) -> str:
    text = output.render("markdown/page.j2", sections=_sections(output))
    return _tidy(links.markdown_without_dead_links(text))


def _tidy(markdown: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n"


def _sections(output: _Output) -> list[Section]:
    rendered = (output.section(name) for name in output.templates.sections())
    return [section for section in rendered if section is not None]


@functools.cache
def _markdown() -> MarkdownIt:
    # Raw HTML is let through: it comes from the formatters alone, which escape whatever they are given.
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _with_anchor(heading: re.Match) -> str:
    return f'<h3 id="{anchor_of(heading[1])}">{heading[1]}</h3>'


def _coordinate(value: float) -> Markup:
    """Show a length or place of a drawing: for attributes, whose numbers are not read."""
    return Markup(f"{value:.6g}")


def _json_for_script(record: Model) -> str:
    """Return the record as JSON that no sign in it can close the script element around."""
    text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
