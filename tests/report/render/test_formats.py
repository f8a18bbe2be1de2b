"""How numbers and words of the record are shown, in both formats."""

import html
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from markupsafe import Markup

from dogcam.errors import RecordError
from report.record import Estimate, Interval
from report.record.refs import Ref
from report.render.formats import MINUS, THIN_SPACE, TIMES, TO, Formatter
from tests.support.runs import HOSTILE

PLAIN, PAGE = Formatter("markdown"), Formatter("html")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("percent", 0.4884, f"48.8{THIN_SPACE}%"),
        ("percent", 0, f"0.0{THIN_SPACE}%"),
        ("percent", 1.0, f"100.0{THIN_SPACE}%"),
        ("percent", -0.0001, f"0.0{THIN_SPACE}%"),
        ("percent", -0.25, f"{MINUS}25.0{THIN_SPACE}%"),
        ("points", 0.032, "+3.2"),
        ("points", -0.032, f"{MINUS}3.2"),
        ("points", 0.0004, "0.0"),
        ("points", -0.0004, "0.0"),
        ("points", 0.0, "0.0"),
        ("count", 0, "0"),
        ("count", 999, "999"),
        ("count", 12345, f"12{THIN_SPACE}345"),
        ("count", 1234567, f"1{THIN_SPACE}234{THIN_SPACE}567"),
        ("identifier", 2007, "2007"),
        ("decimal", 0.005, "0.01"),
        ("decimal", -0.001, "0.00"),
        ("decimal", -1.5, f"{MINUS}1.50"),
        ("decimal", -1221.25, f"{MINUS}1{THIN_SPACE}221.25"),
        ("power", 6.9e-07, f"6.9{TIMES}10⁻⁷"),
        ("power", -6.9e-07, f"{MINUS}6.9{TIMES}10⁻⁷"),
        ("power", 1e-12, f"1.0{TIMES}10⁻¹²"),
        ("power", 25000.0, f"2.5{TIMES}10⁴"),
        ("power", 9999.0, f"1.0{TIMES}10⁴"),
        ("power", 0.0625, "0.0625"),
        ("power", 1234, f"1.2{TIMES}10³"),
        ("power", 990, "990"),
        ("power", 0.0, "0"),
        ("seconds", 12.345, f"12.3{THIN_SPACE}s"),
        ("seconds", 3600, f"3{THIN_SPACE}600.0{THIN_SPACE}s"),
    ],
)
def test_a_number_is_shown(name, value, shown):
    assert getattr(PLAIN, name)(Ref(value, "x.y")) == shown
    page = getattr(PAGE, name)(Ref(value, "x.y"))
    assert page == f'<data value="{value!r}" data-ref="x.y">{shown}</data>'


def test_a_sentence_begins_with_a_capital():
    meaning = Ref("box on *no* object", "data.target")
    assert PLAIN.sentence(meaning) == r"Box on \*no\* object" and PAGE.sentence("no box") == "No box"


@pytest.mark.parametrize("name", ["percent", "points", "count", "identifier", "decimal", "power", "seconds"])
@pytest.mark.parametrize("formatter", [PLAIN, PAGE], ids=["markdown", "html"])
def test_what_is_not_defined_is_said_to_be_so(formatter, name):
    assert getattr(formatter, name)(Ref(None, "x")) == "n/a"


@pytest.mark.parametrize("name", ["percent", "points", "count", "identifier", "decimal", "power", "seconds"])
def test_only_numbers_of_the_record_are_shown(name):
    show = getattr(PLAIN, name)
    for stray in (0.5, 3, None, "0.5"):
        with pytest.raises(RecordError, match=re.escape(repr(stray))):
            show(stray)
    for wrong in ("0.5", True, [1], {}):
        with pytest.raises(RecordError, match=r"x\.y\b"):
            show(Ref(wrong, "x.y"))


def test_intervals_and_estimates():
    ref = Ref(Estimate(value=0.488, interval=Interval(low=-0.001, high=0.57, level=0.95)), "e")
    assert PLAIN.span(ref.interval) == f"{MINUS}0.1{TO}57.0{THIN_SPACE}%"
    assert PLAIN.estimate(ref) == f"48.8{THIN_SPACE}% ({MINUS}0.1{TO}57.0{THIN_SPACE}%)"
    assert PLAIN.gap(ref) == f"+48.8 points ({MINUS}0.1{TO}+57.0)"
    assert PAGE.estimate(ref).count("<data ") == 3


def test_an_interval_without_a_width_is_not_shown():
    """Resamples that all agree come from too few cases, not from a sure value (review, A5)."""
    ref = Ref(Estimate(value=0.5, interval=Interval(low=0.5, high=0.5, level=0.95)), "e")
    assert PLAIN.estimate(ref) == f"50.0{THIN_SPACE}%"
    assert PLAIN.gap(ref) == "+50.0 points"


@pytest.mark.parametrize("interval", [None, Interval(low=None, high=None, level=0.95)])
def test_an_interval_that_is_not_defined(interval):
    ref = Ref(Estimate(value=None, interval=interval), "e")
    assert PLAIN.span(ref.interval) == "n/a"
    assert PLAIN.estimate(ref) == "n/a"


def test_a_number_whose_interval_is_not_defined():
    ref = Ref(Estimate(value=1.0, interval=Interval(low=None, high=None, level=0.95)), "e")
    assert PLAIN.estimate(ref) == f"100.0{THIN_SPACE}%"
    assert PLAIN.gap(ref) == "+100.0 points (n/a)"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 boxes are"), (1, "1 box is"), (2, "2 boxes are"), (None, "n/a boxes are")]
)
def test_what_is_counted_is_one_or_many(value, shown):
    assert PLAIN.counted(Ref(value, "x.y"), "box is", "boxes are") == shown
    assert shown_text(PAGE.counted(Ref(value, "x.y"), "box is", "boxes are")) == shown


@pytest.mark.parametrize(
    ("article", "words"),
    [("a", "dog horse unicorn user ewe one tvmonitor"), ("an", "aeroplane hourglass umbrella onion")],
)
def test_a_word_has_its_article(article, words):
    for word in words.split():
        for formatter in (PLAIN, PAGE):
            assert formatter.article(Ref(word)) == f"{article} {word}"
            assert formatter.article(Ref(word.title())) == f"{article} {word.title()}"
    assert "<script>" not in PAGE.article(HOSTILE)


def shown_text(page: str) -> str:
    """What a reader of a page sees, with runs of spaces as one."""
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_data = seen.append
    parser.feed(page)
    return " ".join("".join(seen).split())


HOSTILE_WORDS = [
    HOSTILE, "<script>alert(1)</script>", "*bold* __too__", "a|b", "``code``", "`", "\"'", "](javascript:x)",
    "![x](http://x)", "<!-- x -->", "&lt;b&gt;", "\\*", "~~x~~", "<http://x.y>", "two\n\n# lines",
]  # fmt: skip


@pytest.mark.parametrize("how", ["text", "code", "words"])
@pytest.mark.parametrize("words", HOSTILE_WORDS)
def test_hostile_words_are_shown_as_they_are_written(words, how):
    expected = " ".join((words.replace("_", " ") if how == "words" else words).split())
    page = getattr(PAGE, how)(Ref(words))
    assert shown_text(page) == expected
    # In the page the words pass through Markdown that lets raw HTML pass; in Markdown a code host does that.
    for formatted in (page, getattr(PLAIN, how)(Ref(words))):
        for place in ("Before {} after.", "| a | b |\n|--|--|\n| {} | c |\n"):
            parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
            rendered = parser.render(place.format(formatted))
            assert expected in shown_text(rendered)
            tags = ("script", "a ", "img", "em", "strong", "s>", "h1")
            assert not any(f"<{tag}" in rendered for tag in tags)
            assert rendered.count("<td>") in (0, 2)


def test_words_are_told_from_numbers():
    assert PLAIN.words(Ref("other_object")) == "other object"
    for wrong in (1, None, ["x"]):
        with pytest.raises(RecordError, match="text"):
            PLAIN.text(Ref(wrong, "x"))


def test_an_address_cannot_leave_its_link():
    assert PLAIN.address(Ref("gallery/a b)](x.webp")) == "gallery/a%20b%29%5D%28x.webp"
    assert PAGE.address(Ref('"><b>')) == "%22%3E%3Cb%3E"


def test_an_attribute_cannot_be_left():
    assert '"' not in PAGE.text(Ref('" onload="x'))
    assert html.unescape(PAGE.text(Ref('" onload="x'))) == '" onload="x'


def test_expressions_put_out_words_and_what_is_formatted_only():
    assert PAGE.finalize(Ref("a<b")) == "a&lt;b"
    assert PAGE.finalize(Markup("<b>")) == "<b>"
    for wrong in (Ref(0.5, "x"), 0.5, Ref([1], "x"), Ref(None, "x"), Ref(True, "x")):
        with pytest.raises(RecordError, match="formatter"):
            PAGE.finalize(wrong)


def test_what_rests_on_few_cases_is_faint_and_still_there():
    few, many = Ref(True), Ref(False)
    share = PAGE.percent(Ref(0.5))
    assert PAGE.faint(share, few) == f'<span class="few">{share}</span>'
    assert PAGE.faint(share, many) == share
    assert PLAIN.faint(PLAIN.percent(Ref(0.5)), few) == f"*50.0{THIN_SPACE}%*"
    assert PLAIN.faint("a*b", few) == r"*a\*b*"
    assert "<script>" not in PAGE.faint(HOSTILE, few)
