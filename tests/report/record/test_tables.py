"""Tables of a run: what a spreadsheet would run as a formula is text."""

import csv
import io

import pytest

from report.record.tables import table


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", '=HYPERLINK("http://x")'])
def test_no_cell_begins_as_a_formula(words):
    (row,) = list(csv.reader(io.StringIO(table(("image", "score"), [(words, -0.5)]))))[1:]
    assert row == [f"'{words}", "-0.5"]
