"""Refuse a report that does not follow from its record."""

from html.parser import HTMLParser
from pathlib import Path

from dogcam.errors import RecordError
from report.record.claim_rules import verify_claims
from report.record.io import read_results
from report.record.refs import resolve
from report.render.lint import require_clean
from report.render.loader import Templates, open_templates
from report.render.render import HTML_NAME, render


class _Numbers(HTMLParser):
    """Collect the value and the place of every number of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "data":
            values = dict(attrs)
            self.found.append((values.get("value") or "", values.get("data-ref") or ""))


def check_report(run: Path, templates: Templates | None = None) -> int:
    """Check that a run's report is what its record renders to, number by number and as a whole.

    Args:
        run: the folder of a finished run.
        templates: those that it was rendered with; None for the program's own.

    Returns:
        How many numbers of the page were found again in the record.

    Raises:
        RecordError: where a claim does not follow from the record, a number is not that of the record, or a
            file is not what the record renders to.
        ConfigError: where a template states by hand what must come from the record.
    """
    templates = templates or open_templates()
    require_clean(templates)
    record = read_results(run)
    verify_claims(record)
    document = record.model_dump(mode="json")
    page = _Numbers()
    page.feed(_read(run / HTML_NAME))
    for value, path in page.found:
        expected = resolve(document, path)
        if repr(expected) != value:
            raise RecordError(f"{run / HTML_NAME} says {value} where the record has {path} = {expected!r}")
    if not page.found:
        raise RecordError(f"{run / HTML_NAME} holds no number of the record; render it again")
    for name, text in render(record, run, templates).items():
        if _read(run / name) != text:
            raise RecordError(
                f"{run / name} is not what the record and the templates of this version render to; it was "
                "changed by hand, or either is newer: look at the difference, then run `dogcam-report render`"
            )
    return len(page.found)


def _read(path: Path) -> str:
    try:
        # As bytes first: neither line ends that were changed nor a damaged sign may pass as the same text.
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); run `dogcam-report render`") from error
