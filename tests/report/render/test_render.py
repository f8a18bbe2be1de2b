"""The report as it is rendered: traceable, the same twice, escaped, and nothing without its record."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from dogcam.errors import ConfigError
from report.diff import compare_runs
from report.render.render import render_diff
from tests.support.pages import Page, copy_templates, rendered, written
from tests.support.runs import HOSTILE, change_record, invoke, record_of

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def page(finished) -> Page:
    return Page((finished / "report.html").read_text(encoding="utf-8"))


def test_the_same_record_gives_the_same_bytes(finished):
    first, second = rendered(finished), rendered(finished)
    assert first == second
    for name, text in first.items():
        assert (finished / name).read_bytes() == text.encode()


def test_every_number_of_the_page_is_where_it_says_in_the_record(finished, page):
    document = record_of(finished)
    for value, path, shown in page.numbers:
        found = document
        for name in path.split("."):
            found = found[int(name)] if isinstance(found, list) else found[name]
        assert type(found) in (int, float), path
        assert json.loads(value) == found, path
        assert shown.strip(), path
    methods = {path.split(".")[2] for _, path, _ in page.numbers if path.startswith("detection.methods")}
    # Methods whose maps are those of the main one are named, and not shown again.
    same = [pair for pair in document["map_comparisons"] if pair["same"]]
    assert len(methods) == len(document["detection"]["methods"]) - len(same)


def test_the_record_is_embedded_whole(finished, page):
    embedded = [script for script in page.scripts if script.startswith('{"schema_version"')]
    assert [json.loads(script) for script in embedded] == [record_of(finished)]


def test_the_page_asks_nobody_for_anything(finished, page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "xlink:href"):
            address = attributes.get(name) or ""
            assert address.startswith(("data:", "#")) or not address, (tag, address[:80])
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)", text)
    assert "default-src 'none'" in text


def test_links_within_the_page_arrive(page):
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a" and attributes.get("href")}
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_pictures_of_the_page_have_words(page):
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert pictures
    assert all("alt" in attributes for attributes in pictures)
    assert sum(bool(attributes["alt"]) for attributes in pictures) >= len(pictures) / 2


def test_files_that_the_twin_shows_are_there(finished):
    text = (finished / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\n]*?\]\(([^)\n]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert len(shown) > 8
    assert all((finished / name).is_file() for name in shown)


def test_both_formats_state_the_same_numbers(finished, page):
    """Every section's prose comes from one template, so a number that prose shows stands in both."""
    markdown = (finished / "report.md").read_text(encoding="utf-8")
    point = record_of(finished)["operating_point"]
    for ref in ("precision", "recall", "f1"):
        shown = {shown for _, path, shown in page.numbers if path == f"operating_point.{ref}.value"}
        assert any(each in markdown for each in shown), ref
    assert (
        f"| {point['true_positives']} | {point['false_positives']} | {point['false_negatives']} |" in markdown
    )


def nothing_scores_that_high(record: dict) -> None:
    """Raise the operating point above all boxes."""
    point = record["operating_point"]
    point.update(score_threshold=0.999, true_positives=0, false_positives=0, false_negatives=10)
    point["precision"]["value"] = None
    point["recall"]["value"] = point["f1"]["value"] = 0.0


def test_where_no_box_scores_that_high_no_precision_is_stated(copied):
    change_record(copied, nothing_scores_that_high)
    texts = rendered(copied)
    for text in (Page(texts["report.html"]).text, texts["report.md"]):
        assert "n/a (" not in text
        assert "No box reaches this score; precision is undefined" in text


def become_aeroplanes(record: dict) -> None:
    record["data"]["target"] = "aeroplane"


def test_a_class_has_its_article(copied):
    change_record(copied, become_aeroplanes)
    texts = rendered(copied)
    page = Page(texts["report.html"])
    aloud = [value or "" for _, each in page.elements for value in each.values()]
    for text in (page.text, texts["report.md"], *aloud):
        assert not re.search(r"\ba aeroplane", text)
    assert "Is there an aeroplane?" in page.text and "aeroplanes" in page.text


def test_a_dog_has_the_other_article(page):
    assert not re.search(r"\ban dog", page.text)


def become_ones(part) -> None:
    """Let all that was counted be one."""
    counts = re.compile("n_(?!resamples|bins).*|.*_(positives|negatives)")
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list):
            become_ones(value)
        elif isinstance(value, int) and counts.fullmatch(str(name)):
            part[name] = 1


MANY = "images|boxes|objects|maps|ones|threads|draws|parameters|permutations|places|are|have|do"


def test_one_is_not_many(copied):
    change_record(copied, become_ones)
    texts = rendered(copied)
    for text in (Page(texts["report.html"]).text, texts["report.md"]):
        assert re.findall(rf"(?<![\w.,/])1 (?:{MANY})\b", text) == []
        assert "1 false positive" in text and "1 thread" in text


def test_one_image_that_fails_is_not_many(finished):
    same = compare_runs(finished, finished)
    said = {(1, 2): "1 image failed; after, 2 do.", (2, 1): "2 images failed; after, 1 does."}
    for (before, after), words in said.items():
        diff = same.model_copy(update={"n_failing_before": before, "n_failing_after": after})
        assert words in render_diff(diff)["markdown"]


def hostile(record: dict) -> None:
    """Put hostile words wherever a user's words can stand."""
    record["title"] = f"Where is {HOSTILE}?"
    record["data"].update(target=HOSTILE, name=HOSTILE)
    record["data"]["reported"]["name"] = record["data"]["tuning"]["name"] = HOSTILE
    record["operating_point"]["chosen_on"] = HOSTILE
    record["model"].update(name=HOSTILE, source=HOSTILE, target_layer=HOSTILE)
    record["run"].update(command=HOSTILE, commit=HOSTILE, platform=HOSTILE, device=HOSTILE)
    record["run"]["versions"][HOSTILE] = HOSTILE
    del record["run"]["versions"]["python"]
    record["run"]["stages"][0].update(reason=HOSTILE, title=HOSTILE)
    for each in record["classification"]["classes"]:
        each["name"] = HOSTILE
    for method in record["detection"]["methods"]:
        method["title"] = HOSTILE
    for figure in record["figures"]:
        figure["alt"] = HOSTILE
    # Images stay distinct: the page shows each of them once in its strip.
    ids: dict[str, str] = {}
    renamed = record["evidence"]["cases"] + record["pictures"]["grid"] + record["pictures"]["masks"]
    for each in renamed:
        each["image_id"] = ids.setdefault(each["image_id"], HOSTILE + "x" * len(ids))
    failures = record["failures"]
    for item in [*failures["successes"], *(item for row in failures["types"] for item in row["items"])]:
        item["image_id"] = ids.setdefault(item["image_id"], HOSTILE + "x" * len(ids))
        item["other_class"] = HOSTILE if item["type"] == "other_object" else None
        for box in item["boxes"]:
            box["label"] = HOSTILE


def test_hostile_words_in_the_page_are_words(copied, page):
    change_record(copied, hostile)
    text = rendered(copied)["report.html"]
    assert "<script>alert" not in text
    other = Page(text)
    assert other.text.count(HOSTILE) > 40
    # The same elements as without them, and of their attributes only what is shown.
    assert [tag for tag, _ in other.elements] == [tag for tag, _ in page.elements]
    assert [attributes.keys() for _, attributes in other.elements] == [
        attributes.keys() for _, attributes in page.elements
    ]
    assert [json.loads(script)["title"] for script in other.scripts if script.startswith("{")] == [
        f"Where is {HOSTILE}?"
    ]


RAW = r"</?code>|(?:</?(?:details|summary|picture)\b[^<>]*>|<(?:source|img)\b[^<>]*>|[^<>]*)+"
"""The only elements of the Markdown version."""


def leaves(tokens) -> list:
    return [leaf for token in tokens for leaf in (leaves(token.children) if token.children else [token])]


def structure(markdown: str) -> list[str]:
    """The kinds of everything in a text but its words."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    silent = {"text", "text_special", "softbreak"}
    # Code with a pipe in it is an element, which counts as the code that it stands for.
    code = {"code_inline", "html_inline"}
    kinds = [token.type for token in [*tokens, *leaves(tokens)] if token.type not in silent | code]
    return [kind for kind in kinds if kind != "inline"]


def test_hostile_words_in_the_twin_are_words(copied):
    plain = written(copied)["report.md"]
    change_record(copied, hostile)
    text = rendered(copied)["report.md"]
    assert structure(text) == structure(plain)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    html = parser.render(text)
    assert "<script" not in html
    assert "javascript:" not in "".join(re.findall(r'(?:href|src)="[^"]*"', html))
    assert Page(html).text.count(HOSTILE) > 40
    raw = {leaf.content for leaf in leaves(parser.parse(text)) if leaf.type.startswith("html_")}
    assert all(re.fullmatch(RAW, each.strip()) for each in raw)
    known = {"class", "id", "href", "src", "srcset", "media", "alt", "style", "start"}
    assert {name for _, attributes in Page(html).elements for name in attributes} <= known


def test_words_cannot_end_the_embedded_record(copied):
    words = "</script><script>alert(1)</script> <!--<script> \u2028\u2029"
    change_record(copied, lambda record: record["run"].update(command=words))
    other = Page(rendered(copied)["report.html"])
    assert len(other.scripts) == 2
    assert json.loads(other.scripts[1])["run"]["command"] == words


PLANTED = {
    "a bare number of the record": ("{{ record.operating_point.true_positives }}", "give it a formatter"),
    "a literal number": ("{{ 0.48 }}", "give it a formatter"),
    "a computed number": ("{{ raw(record.operating_point.true_positives) + 1 }}", "give it a formatter"),
    "a formatted literal": ("{{ 0.48 | percent }}", "is not from the record"),
    "a whole part": ("{{ record.data }}", "give it a formatter"),
    "an undefined name": ("{{ recrod.title }}", "'recrod' is undefined"),
    "an undefined name in a test": ("{% if recrod %}x{% endif %}", "'recrod' is undefined"),
    "a misspelt field": ("{{ record.detection.method }}", "the record has no 'detection.method'"),
    "a misspelt field in a test": ("{% if record.titel %}x{% endif %}", "the record has no 'titel'"),
    "no such item": ("{{ find(record.detection.methods, name='kam').title }}", "has no item with"),
    "an unknown filter": ("{{ record.title | shout }}", "No filter named 'shout'"),
    "a tag that is not closed": ("{% if record.title %}", "Unexpected end of template"),
    "a block that is not there": ("{{ block('nothing') }}", "there is no template"),
    "a figure that is not there": ("{{ block('figure', name='x', caption='y') }}", "no item with"),
    "words as a number": ("{{ record.title | percent }}", "expected a number"),
    "a number as words": ("{{ record.run.n_threads | text }}", "only words can be shown"),
    "too much for a filter": ("{{ record.title | words(1) }}", "positional argument"),
    "an argument of the wrong kind": ("{{ record.run.n_threads | decimal('x') }}", "ormat spec"),
    "nothing to divide by": ("{{ raw(record.run.n_threads) / 0 }}", "division by zero"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_faulty_template_is_named(finished, tmp_path, monkeypatch, fault):
    planted, message = PLANTED[fault]
    section = copy_templates(tmp_path, monkeypatch) / "sections" / "10-answer.md.j2"
    section.write_text(section.read_text(encoding="utf-8") + planted, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        rendered(finished)
    where = "templates" if "block" in fault or "figure" in fault else "10-answer.md.j2"
    assert str(tmp_path / "templates") in str(caught.value)
    assert where in str(caught.value)


def test_a_section_without_a_heading_is_named(finished, tmp_path, monkeypatch):
    section = copy_templates(tmp_path, monkeypatch) / "sections" / "10-answer.md.j2"
    section.write_text("Words without a heading.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"10-answer\.md\.j2.*## Title"):
        rendered(finished)


def test_a_missing_page_is_named(finished, tmp_path, monkeypatch):
    (copy_templates(tmp_path, monkeypatch) / "html" / "page.j2").unlink()
    with pytest.raises(ConfigError, match=r"html/page\.j2"):
        rendered(finished)


def test_rendering_and_checking_need_no_torch(copied):
    (copied / "report.html").unlink()
    code = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "matplotlib", "scipy", "sklearn"):
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Blocker())
from report.cli import main
for command in ("render", "check"):
    main([command, {str(copied)!r}], standalone_mode=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"The report is at {copied / 'report.html'}" in done.stdout
    assert "numbers of the page are in the record" in done.stdout


def test_the_command_renders_the_same_again(copied):
    before = (copied / "report.html").read_bytes()
    (copied / "report.html").unlink()
    result = invoke(["render", str(copied)])
    assert (result.exit_code, result.stdout) == (0, f"The report is at {copied / 'report.html'}\n")
    assert (copied / "report.html").read_bytes() == before
