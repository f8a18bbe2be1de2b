"""Refuse a report that does not follow from its record."""

from pathlib import Path

from dogcam.errors import RecordError
from dogcam.files import read_bytes
from report.record import Results
from report.record.claim_rules import verify_claims
from report.record.files import read_file
from report.record.io import read_record
from report.record.refs import resolve
from report.render.loader import Templates, open_templates
from report.render.markup import read_page
from report.render.render import HTML_NAME, render


def check_report(run: Path, templates: Templates | None = None) -> int:
    """Check that a run's report is what its record renders to, number by number and as a whole.

    Args:
        run: the folder of a finished run.
        templates: those that it was rendered with; None for the program's own.

    Returns:
        How many numbers of the page were found again in the record.

    Raises:
        RecordError: if a claim does not follow from the record, a picture or table is not that of the record,
            a number is not, or a file is not what the record renders to.
        ConfigError: if a template shows a number past the formatters.
    """
    templates = templates or open_templates()
    record = read_record(run)
    if isinstance(record, Results):
        verify_claims(record)
    for name in record.files:  # the tables, too, which are not in the page
        read_file(run, name, record.files)
    document = record.model_dump(mode="json")
    numbers = read_page(_read(run / HTML_NAME)).numbers
    for value, path in numbers:
        expected = resolve(document, path)
        if repr(expected) != value:
            raise RecordError(f"{run / HTML_NAME} states {value}, but the record has {path} = {expected!r}")
    if not numbers:
        raise RecordError(f"{run / HTML_NAME} holds no number of the record; render it again")
    for name, text in render(record, run, templates).items():
        if _read(run / name) != text:
            raise RecordError(
                f"{run / name} is not what the record and the templates of this version render to; it was "
                "changed by hand, or either is newer: compare them, then run `dogcam-report render`"
            )
    return len(numbers)


def _read(path: Path) -> str:
    # As bytes first: neither line ends that were changed nor a damaged sign may pass as the same text.
    return read_bytes(path, error=RecordError).decode("utf-8", "replace")
