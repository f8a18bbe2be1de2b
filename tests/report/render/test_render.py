"""The report as it is rendered: traceable, the same twice, escaped, and nothing without its record."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from dogcam.errors import ConfigError
from report.diff import compare_runs
from report.record.io import read_results
from report.render import loader as templates
from report.render.loader import templates_folder
from report.render.render import render, render_diff
from tests.support.runs import HOSTILE, change_record, invoke, record_of

REPOSITORY = Path(__file__).resolve().parents[3]


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


def rendered(run: Path) -> dict[str, str]:
    return render(read_results(run), run)


def copy_templates(tmp_path: Path, monkeypatch) -> Path:
    """Let templates be read from a copy that a test may damage."""
    copy = Path(shutil.copytree(templates_folder(), tmp_path / "templates"))
    monkeypatch.setattr(templates, "templates_folder", lambda: copy)
    return copy


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
    assert len(methods) == len(document["detection"]["methods"])


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
    shown = re.findall(r"!\[[^\n]*?\]\(([^)\n]+)\)", text)
    assert len(shown) > 8
    assert all((finished / name).is_file() for name in shown)


def test_both_flavours_say_the_same_numbers(finished, page):
    """Every section's prose comes from one template, so a number that prose shows stands in both."""
    twin = (finished / "report.md").read_text(encoding="utf-8")
    point = record_of(finished)["operating_point"]
    for ref in ("precision", "recall", "f1"):
        shown = {shown for _, path, shown in page.numbers if path == f"operating_point.{ref}.value"}
        assert any(each in twin for each in shown), ref
    assert f"| {point['true_positives']} | {point['false_positives']} | {point['false_negatives']} |" in twin


def test_only_the_sample_is_called_one(copied):
    banner = "a demonstration and not a benchmark"
    assert not any(banner in text for text in rendered(copied).values())

    def become_the_sample(record):
        record["data"].update(kind="sample", name="sample", sample_seed=2007)

    change_record(copied, become_the_sample)
    for text in rendered(copied).values():
        assert banner in text
        assert text.index(banner) < text.index("average precision of")


def test_whose_labels_the_network_learned_from_is_said_of_the_samples_own_alone(copied):
    words = "the small network that looks at them was trained on the labels of such pictures alone"
    sample = {"kind": "sample", "name": "sample", "sample_seed": 2007}
    change_record(copied, lambda record: record["data"].update(sample))
    assert words not in rendered(copied)["report.md"], "it has a checkpoint of its own"
    change_record(copied, lambda record: record["config"].update(checkpoint=None))
    assert words in rendered(copied)["report.md"]
    change_record(copied, lambda record: record["model"].update(name="efficientnet_lite0"))
    assert words not in rendered(copied)["report.md"]


CUTS = {
    "chosen": (
        "The cut of the maps and the score threshold were chosen on other images",
        "the map being cut where other images said",
        "so that nothing here was tuned to please",
    ),
    "given": (
        "The cut of the maps was given, and the score threshold chosen on other images",
        "the map being cut where the run was told to",
        "The cut was given to the run, whatever it was chosen on",
    ),
    "default": ("the map being cut where it is customary",),
}


@pytest.mark.parametrize("how", CUTS)
def test_who_chose_the_cut_is_said_as_it_was(copied, how):
    def change(record):
        if how == "given":
            record["config"]["cam_threshold"] = 0.45
        if how == "default":
            record["data"]["tuning"] = record["sanity"]["permuted"] = None
        for each in record["tuning"]:
            each["chosen"] = how == "chosen"

    change_record(copied, change)
    text = Page(rendered(copied)["report.html"]).text
    for name, sentences in CUTS.items():
        assert [each in text for each in sentences] == [name == how] * len(sentences)


def test_a_closer_look_is_said_where_one_was_taken(copied, page):
    words = "It also looks high_resolution, at a copy of 64 × 96 pixels"
    assert words not in page.text

    def high_resolution_logits(record):
        record["model"]["high_resolution_pass"] = {"height": 64, "width": 96, "share": 0.1}

    change_record(copied, high_resolution_logits)
    assert words in Page(rendered(copied)["report.html"]).text


@pytest.mark.parametrize(
    ("split", "words"), [("test", "Seen before."), ("tuning", "Thresholds from images seen before.")]
)
def test_it_is_said_where_the_classifier_has_learned_from_the_images(copied, page, split, words):
    assert words not in page.text
    change_record(copied, lambda record: record["data"][split].update(learned_from=True))
    text = Page(rendered(copied)["report.html"]).text
    other = {"Seen before.", "Thresholds from images seen before."} - {words}
    assert words in text and not any(each in text for each in other)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (("merged", "detection", 2), "in an image with 2; its IoU with the nearest is 0.25"),
        (("merged", "ground_truth", 2), "in an image with 2; its IoU with the one that is missed is 0.25"),
        (("background", "detection", 0), "to be about it; there is no {target} in the image"),
        (("background", "detection", 1), "to be about it; annotated in the image as {target}: 1 object."),
        (("background", "detection", 2), "to be about it; annotated in the image as {target}: 2 objects."),
    ],
)
def test_a_caption_says_what_its_box_is_about(copied, facts, words):
    kind, subject, n_truths = facts

    def become_the_case(record):
        item = next(item for each in record["failures"]["kinds"] for item in each["items"])
        item.update(kind=kind, subject=subject, n_truths=n_truths, iou=0.25, score=0.5)

    target = change_record(copied, become_the_case)["data"]["target"]
    assert words.format(target=target) in Page(rendered(copied)["report.html"]).text


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
        assert "n/a (" not in text and "n/a of the boxes" not in text
        assert "no box scores that high and 0.0" in text
        assert "On the test images no box scores that high, so that there is no precision to state" in text


def become_aeroplanes(record: dict) -> None:
    record["data"]["target"] = "aeroplane"


def test_a_class_has_its_article(copied):
    change_record(copied, become_aeroplanes)
    texts = rendered(copied)
    page = Page(texts["report.html"])
    aloud = [value or "" for _, each in page.elements for value in each.values()]
    for text in (page.text, texts["report.md"], *aloud):
        assert not re.search(r"\ba aeroplane", text)
    assert "there is an aeroplane somewhere" in page.text
    change_record(copied, lambda record: record["data"].update(target="dog"))
    assert not re.search(r"\ban dog", Page(rendered(copied)["report.html"]).text)


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
        assert re.findall(rf"(?<![\w.,])1 (?:(?:right|wrong|missed) )?(?:{MANY})\b", text) == []
        for words in ("1 box is wrong and 1 object is missed", "1 wrong box, 1 missed object", "1 thread"):
            assert words in text
    assert "1 image has an empty Grad-CAM map" in texts["report.md"]


def test_one_image_that_fails_is_not_many(finished):
    same = compare_runs(finished, finished)
    said = {(1, 2): "1 image failed; after, 2 do.", (2, 1): "2 images failed; after, 1 does."}
    for (before, after), words in said.items():
        diff = same.model_copy(update={"n_failing_before": before, "n_failing_after": after})
        assert words in render_diff(diff)["markdown"]


def test_empty_maps_are_spoken_of_where_there_are_some(copied):
    change_record(copied, lambda record: set_of(record, "cam", n_empty_a=0))
    assert "an empty Grad-CAM map" not in rendered(copied)["report.md"]
    change_record(copied, lambda record: set_of(record, "cam", n_empty_a=2))
    assert "2 images have an empty Grad-CAM map" in rendered(copied)["report.md"]


def set_of(record: dict, b: str, **values: object) -> None:
    """Change the comparison of a method's maps with another's."""
    next(each for each in record["map_comparisons"] if each["b"] == b).update(values)


def test_how_many_are_shown_is_said_as_it_is(copied):
    shown = "Shown are the first, the middle one and the last of the ranking"
    assert f"{shown}. " in rendered(copied)["report.md"]
    examples = next(each for each in record_of(copied)["map_comparisons"] if each["b"] == "cam")["examples"]
    change_record(copied, lambda record: set_of(record, "cam", examples=examples[:1]))
    assert f"{shown}, as far as it has so many. " in rendered(copied)["report.md"]
    for name in ("cam", "grad_cam_earlier", "layer_cam_earlier"):
        change_record(copied, lambda record, name=name: set_of(record, name, examples=[]))
    assert shown not in rendered(copied)["report.md"]


def test_a_difference_over_no_images_is_not_spoken_of(copied):
    words = "here the largest difference between them, over 24 images, is "
    assert words in rendered(copied)["report.md"]
    change_record(copied, lambda record: set_of(record, "cam", n_images=0))
    text = rendered(copied)["report.md"]
    assert "here the largest difference" not in text
    assert "so that both give one map. What remains" in text


def test_one_threshold_is_not_held_against_itself(copied):
    assert "the same boxes have an average precision of" in rendered(copied)["report.md"]

    def keep_one(record):
        detection = record["detection"]
        detection["iou_thresholds"] = detection["iou_thresholds"][-1:]
        for method in detection["methods"]:
            method["rows"], method["curves"] = method["rows"][-1:], method["curves"][-1:]

    change_record(copied, keep_one)
    text = rendered(copied)["report.md"]
    assert "the same boxes have an average precision of" not in text
    assert "Both numbers hang on what *right* means.\n" in text


def test_kinds_are_worded_as_the_rules_have_them(page):
    assert "Missed: no box explains why the object was not found" in page.text
    assert "Background: a box that meets no annotated object, or too little to be about it" in page.text
    assert "says anything" not in page.text and "on nothing that is annotated" not in page.text


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
    for example in (each for pair in record["map_comparisons"] for each in pair["examples"]):
        example["image_id"] = HOSTILE
    failures = record["failures"]
    for item in [*failures["successes"], *(item for kind in failures["kinds"] for item in kind["items"])]:
        item["image_id"] = HOSTILE
        item["other_class"] = HOSTILE if item["kind"] == "other_object" else None
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
    plain = rendered(copied)["report.md"]
    change_record(copied, hostile)
    text = rendered(copied)["report.md"]
    assert structure(text) == structure(plain)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    html = parser.render(text)
    assert "<script" not in html
    assert "javascript:" not in "".join(re.findall(r'(?:href|src)="[^"]*"', html))
    assert Page(html).text.count(HOSTILE) > 40
    raw = {leaf.content for leaf in leaves(parser.parse(text)) if leaf.type.startswith("html_")}
    assert raw <= {"<code>", "</code>"}


@pytest.mark.parametrize("words", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028\u2029"])
def test_words_cannot_end_the_embedded_record(copied, words):
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
    section = copy_templates(tmp_path, monkeypatch) / "sections" / "10-summary.md.j2"
    section.write_text(section.read_text(encoding="utf-8") + planted, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        rendered(finished)
    where = "templates" if "block" in fault or "figure" in fault else "10-summary.md.j2"
    assert str(tmp_path / "templates") in str(caught.value)
    assert where in str(caught.value)


def test_a_section_without_a_heading_is_named(finished, tmp_path, monkeypatch):
    section = copy_templates(tmp_path, monkeypatch) / "sections" / "10-summary.md.j2"
    section.write_text("Words without a heading.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"10-summary\.md\.j2.*## Title"):
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
    assert "numbers of the page stand in the record" in done.stdout


def test_the_command_renders_the_same_again(copied):
    before = (copied / "report.html").read_bytes()
    (copied / "report.html").unlink()
    result = invoke(["render", str(copied)])
    assert (result.exit_code, result.stdout) == (0, f"The report is at {copied / 'report.html'}\n")
    assert (copied / "report.html").read_bytes() == before
