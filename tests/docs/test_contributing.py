"""CONTRIBUTING's table names files that exist, and one place for the texts of each failure type."""

import re
from pathlib import Path

import pytest

from dogcam.data.formats import FORMATS
from dogcam.evaluate.errors import FAILURE_TYPES
from dogcam.structures.categories import TYPE_TEXTS
from report.record.words import TYPE_TITLES, meaning_of

REPOSITORY = Path(__file__).resolve().parents[2]


def rows() -> list[str]:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| I want to ... |") :].split("\n\n")[0]
    return table.splitlines()[2:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip())
def test_files_of_a_change_exist(row):
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", row)
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_table_has_the_typical_changes():
    assert len(rows()) >= 10
    for change in ("CAM method", "data format", "failure type", "section", "metric", "backend", "colour map"):
        assert any(change in row.split("|")[1] for row in rows()), change


@pytest.mark.parametrize("failure_type", FAILURE_TYPES)
def test_a_failure_type_has_all_its_texts(failure_type):
    assert tuple(TYPE_TEXTS) == FAILURE_TYPES and TYPE_TITLES.keys() == {*FAILURE_TYPES, "success"}
    meaning = meaning_of(failure_type, "sheep")
    assert "{" not in meaning and "dog" not in meaning
    text = (REPOSITORY / "templates/failure_types.md.j2").read_text(encoding="utf-8")
    for macro in ("type_advice", "type_caption"):
        part = text[text.index(f"macro {macro}") :].split("{%- endmacro %}")[0]
        assert f'"{failure_type}"' in part, macro


def test_the_table_of_data_formats_lists_each():
    text = (REPOSITORY / "docs/howto/photographs.md").read_text(encoding="utf-8")
    table = text[text.index("| format | files |") :].split("\n\n")[0].splitlines()[2:]
    assert {row.split("`")[1] for row in table} == {each.NAME for each in FORMATS}


FIX_IN_THE_TABLE = {
    "remove": "remove the box",
    "move": "move",
    "one_each": "one box on each",
    "add": "add a detection",
}


def test_the_table_of_failure_types_lists_each_with_its_oracle_fix():
    text = (REPOSITORY / "docs/failure-types.md").read_text(encoding="utf-8")
    table = text[text.index("| type | condition |") :].split("\n\n")[0].splitlines()[2:]
    stated = {row.split("|")[1].strip(" `"): row.split("|")[3].strip() for row in table}
    assert stated.keys() == set(FAILURE_TYPES)
    for failure_type, fix in stated.items():
        assert fix.startswith(FIX_IN_THE_TABLE[TYPE_TEXTS[failure_type].fix]), failure_type
