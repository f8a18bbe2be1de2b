"""Walk the finished report, both its files, and find each of its numbers in the record again."""

import html
import re
import unicodedata
from pathlib import Path

import pytest

from report.record.io import read_results
from report.render.choices import readable
from report.render.formats import MINUS, THIN_SPACE, TIMES
from report.render.loader import open_templates
from report.render.render import Rendered, render_traced
from report.render.trace import Shown
from tests.support.pages import Page
from tests.support.runs import record_of

READ = {"report.html": "the page", "report.md": "the Markdown version"}
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@pytest.fixture(scope="module")
def traced(finished) -> dict[str, Rendered]:
    return render_traced(read_results(finished), finished)


def find(document, path: str):
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def number_in(words: str) -> tuple[float, float]:
    """The number that words say, and by how much it may differ from what was rounded to it."""
    plain = words.replace(MINUS, "-").replace(THIN_SPACE, "").replace("%", "").removesuffix("s").strip()
    mantissa, times, power = plain.partition(TIMES)
    exponent = int(power.removeprefix("10").translate(_SUPERSCRIPTS)) if times else 0
    digits = len(mantissa.partition(".")[2])
    return float(mantissa) * 10.0**exponent, 0.5001 * 10.0 ** (exponent - digits)


def says(shown: Shown, value: float) -> bool:
    said, slack = number_in(shown.plain)
    # A fraction is shown as it is, in percent or in points.
    return any(abs(said - shown_as) <= slack + 1e-9 for shown_as in (value, 100 * value))


@pytest.mark.parametrize("name", READ)
def test_every_number_that_was_shown_is_in_the_record(finished, traced, name):
    document = record_of(finished)
    numbers = [shown for shown in traced[name].shown if shown.number]
    assert len(numbers) > 100
    for shown in numbers:
        value = find(document, shown.path)
        assert type(value) in (int, float), shown
        assert says(shown, value), (shown, value)


@pytest.mark.parametrize("name", READ)
def test_all_words_with_a_number_in_them_are_in_the_record(finished, traced, name):
    document = record_of(finished)
    for shown in traced[name].shown:
        if not shown.number and re.search(r"\d", shown.plain):
            found = find(document, shown.path)
            either = [str(found).replace("_", " "), str(found), shown.path.split(".")[-1]]
            if ".rests_on." in shown.path:
                either.append(readable(read_results(finished), str(found)))
            # Long words are shown shortened, with an ellipsis at the end.
            words = " ".join(shown.plain.split()).removesuffix("…")
            assert any(words in " ".join(each.split()) for each in either), shown


def numeric_signs(text: str) -> str:
    return "".join(sign for sign in text if unicodedata.numeric(sign, None) is not None)


def without_allowed(text: str) -> str:
    for entry in open_templates().allowed():
        text = text.replace(entry.text, " ")
    return text


def gaps(text: str, parts: list[str]) -> str:
    """What stands between the parts, which come in their order."""
    rest, place = [], 0
    for part in parts:
        start = text.index(part, place)
        rest.append(text[place:start])
        place = start + len(part)
    return "\n".join([*rest, text[place:]])


def test_the_twin_holds_no_other_number(finished, traced):
    text = (finished / "report.md").read_text(encoding="utf-8")
    rest = gaps(text, [shown.text for shown in traced["report.md"].shown])
    rest = re.sub(r"\]\([^)]*\)", "]", rest)
    rest = re.sub(r'\s(?:href|src|srcset|id|media|width)="[^"]*"', "", rest)
    assert numeric_signs(without_allowed(rest)) == ""


def test_the_page_holds_no_other_number(finished, traced):
    """Drawings, scripts and styles are left out; what is read aloud of attributes is not."""
    source = (finished / "report.html").read_text(encoding="utf-8")
    source = re.sub(r'="data:[^"]*"', "", source)
    source = re.sub(r"<(script|style|svg)\b.*?</\1>", "", source, flags=re.DOTALL)
    aloud = re.compile(r'<[^>]*?\b(?:alt|title|aria-label)="([^"]*)"[^>]*>')
    text = re.sub(r"<[^>]*>", "", aloud.sub(r"\1", source))
    parts = [shown.plain for shown in traced["report.html"].shown]
    rest = gaps(
        " ".join(html.unescape(text).split()), [" ".join(part.split()) for part in parts if part.strip()]
    )
    assert numeric_signs(without_allowed(rest)) == ""


def test_numbers_of_the_page_are_elements_that_know_their_place(finished, traced):
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    elements = {(path, shown) for _, path, shown in page.numbers}
    assert elements <= {(shown.path, shown.plain) for shown in traced["report.html"].shown if shown.number}
    assert len(page.numbers) > 100


def test_what_is_written_is_what_was_traced(finished, traced):
    for name, rendered in traced.items():
        assert Path(finished / name).read_bytes() == rendered.text.encode()
        assert not re.search("[\ufdd0-\ufdef]", rendered.text)
