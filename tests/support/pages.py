"""A rendered report as the tests read it, independently of the reader in `report.render.markup`."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

from report.record.claim_rules import with_claims
from report.record.io import read_results
from report.render import loader as templates
from report.render.loader import templates_folder
from report.render.render import render


class Page(HTMLParser):
    """What the tests look at in a page: elements with their attributes, numbers, visible text, scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.numbers: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        if tag == "data":
            self.numbers.append((dict(attrs)["value"], dict(attrs)["data-ref"], ""))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)
            if self._inside == "data":
                value, ref, shown = self.numbers[-1]
                self.numbers[-1] = value, ref, shown + data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def written(run: Path) -> dict[str, str]:
    """Return the files of the report as the run wrote them: what `rendered` gives, without the work."""
    return {name: (run / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")}


def rendered(run: Path) -> dict[str, str]:
    return render(read_results(run), run)


def copy_templates(tmp_path: Path, monkeypatch) -> Path:
    """Let templates be read from a copy that a test may damage."""
    copy = Path(shutil.copytree(templates_folder(), tmp_path / "templates"))
    monkeypatch.setattr(templates, "templates_folder", lambda: copy)
    return copy


def restated(run: Path) -> dict[str, str]:
    """Render a run whose record a test changed, with the claims that its numbers now decide."""
    return render(with_claims(read_results(run)), run)
