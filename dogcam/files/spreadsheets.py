"""Text in CSV cells that no spreadsheet takes for a formula."""

import re

_FORMULA = re.compile("'*[=+@\\t\\r-]")
_MARKED = re.compile("'+[=+@\\t\\r-]")


def as_text(name: str) -> str:
    """Put an apostrophe before a name that a spreadsheet would take for a formula."""
    return f"'{name}" if _FORMULA.match(name) else name


def as_written(cell: str) -> str:
    """Remove the apostrophe of `as_text`."""
    return cell[1:] if _MARKED.match(cell) else cell
