"""The page in a real browser: what moves, what a keyboard reaches, what is read out, what is printed."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from report.pipeline.stages.draw import PICTURE_BUDGET
from report.record.io import read_results
from report.render.loader import open_templates
from report.render.render import write_report
from tests.support.runs import change_record, record_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
SCREENSHOTS = Path(__file__).resolve().parents[3] / "build" / "screenshots"


def missing(reason: str) -> None:
    """Skip where a user has no browser; the gate has one, and must not pass without having looked."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; the gate needs one (Debian's package is called chromium)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else None
    if playwright is None:
        from playwright import sync_api as playwright
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        missing(f"there is no browser on the PATH: looked for {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


class Reader:
    """A page that is being read, and what it asked for and complained of meanwhile."""

    def __init__(self, page, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def open(self, behind: str = ""):
        self.page.goto("about:blank")
        self.page.goto(self.address + behind)
        return self.page


@contextmanager
def reading(browser, run: Path, **how):
    """Open a finished run's page as a file; nothing but files may be asked for, and no script may fail."""
    context = browser.new_context(**{"viewport": DESK} | how)
    context.route(re.compile("^https?:"), lambda route: route.abort())
    reader = Reader(context.new_page(), (run / "report.html").as_uri())
    reader.open()
    try:
        yield reader
    finally:
        context.close()
    outside = [url for url in reader.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]
    assert outside == []
    assert reader.complaints == []


@contextmanager
def reading_anew(browser, run: Path, change=lambda record: None, templates: Path | None = None):
    """Change the record of a copied run, render it again and open it."""
    change_record(run, change)
    write_report(read_results(run), run, templates and open_templates(templates))
    with reading(browser, run) as reader:
        yield reader.page


@pytest.fixture(scope="module")
def record(finished) -> dict:
    return record_of(finished)


@pytest.fixture
def desk(browser, finished):
    with reading(browser, finished) as reader:
        yield reader


def counts_of(page) -> dict[str, float]:
    """What the readout says, at full precision."""
    cells = page.eval_on_selector_all(
        ".readout dd", "cells => cells.map((cell) => [cell.dataset.measure, cell.dataset.now])"
    )
    return {name: float(value) if value else None for name, value in cells}


def expected_at(record: dict, score: float) -> dict[str, float]:
    """The counts at a score, by counting."""
    point = record["operating_point"]
    kept = [each["correct"] for each in record["detection"]["points"] if each["score"] >= score]
    n_objects = point["true_positives"] + point["false_negatives"]
    right = sum(kept)
    return {
        "threshold": score,
        "right": right,
        "wrong": len(kept) - right,
        "missed": n_objects - right,
        "precision": right / len(kept) if kept else None,
        "recall": right / n_objects,
        "f1": 2 * right / (len(kept) + n_objects),
    }


def shown_cards(page) -> list[dict]:
    return page.eval_on_selector_all(
        ".gallery .card:not([hidden])",
        "cards => cards.filter((card) => card.offsetParent).map((card) => ({...card.dataset}))",
    )


def accessibility_faults(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']][:3]}" for each in found]


def items_of(record: dict) -> list[dict]:
    failures = record["failures"]
    return [item for kind in failures["kinds"] for item in kind["items"]] + failures["successes"]


def test_at_the_operating_point_the_counts_are_the_records(desk, record):
    point = record["operating_point"]
    assert desk.page.locator(".explorer").is_visible()
    assert counts_of(desk.page) == {
        "threshold": point["score_threshold"],
        "right": point["true_positives"],
        "wrong": point["false_positives"],
        "missed": point["false_negatives"],
        "precision": point["precision"]["value"],
        "recall": point["recall"]["value"],
        "f1": point["f1"]["value"],
    }
    # There the page shows the record's own numbers, with their places.
    refs = desk.page.eval_on_selector_all(".readout data", "all => all.map((each) => each.dataset.ref)")
    assert "operating_point.f1.value" in refs


def test_the_slider_moves_the_point_and_the_counts(desk, record):
    page = desk.page
    slider = page.get_by_role("slider", name="Score threshold", exact=True)
    before = page.locator(".moving").get_attribute("cx")
    slider.focus()
    page.keyboard.press("Home")
    assert counts_of(page) == pytest.approx(expected_at(record, 0.0))
    assert page.locator(".moving").get_attribute("cx") != before
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    score = counts_of(page)["threshold"]
    assert score == pytest.approx(7 * 0.005)
    now = expected_at(record, score)
    assert counts_of(page) == pytest.approx(now)
    spoken = slider.get_attribute("aria-valuetext")
    assert f"{now['right']} right, {now['wrong']} wrong, {now['missed']} missed" in spoken
    page.keyboard.press("End")
    assert counts_of(page) == pytest.approx(expected_at(record, 1.0))
    page.get_by_role("button", name="Back to the operating point").click()
    assert counts_of(page)["threshold"] == record["operating_point"]["score_threshold"]
    assert page.evaluate("document.activeElement.type") == "range"


def test_every_round_score_counts_as_the_table_says(desk, record):
    for row in record["detection"]["thresholds"]:
        desk.open(f"#precision-and-recall&score={row['score_threshold']:.3f}")
        if row["score_threshold"] == record["operating_point"]["score_threshold"]:
            continue
        now = counts_of(desk.page)
        assert (now["right"], now["wrong"], now["missed"]) == (
            row["true_positives"], row["false_positives"], row["false_negatives"],
        )  # fmt: skip


def test_the_choice_stands_in_the_address_and_comes_back(desk, record):
    page = desk.page
    page.get_by_role("slider", name="Score threshold", exact=True).focus()
    page.keyboard.press("End")
    kind = items_of(record)[0]["kind"]
    page.locator("select[name=kind]").select_option(kind)
    assert page.evaluate("location.hash") == f"#score=1.000&kind={kind}"
    page.click('.contents a[href="#failure-gallery"]')
    page.wait_for_function("location.hash.startsWith('#failure-gallery&')")
    address = page.evaluate("location.hash")
    assert address == f"#failure-gallery&score=1.000&kind={kind}"
    counts, cards = counts_of(page), shown_cards(page)
    desk.open(address)
    assert (counts_of(page), shown_cards(page)) == (counts, cards)
    top = page.evaluate("document.getElementById('failure-gallery').getBoundingClientRect().top")
    assert abs(top) < 60
    page.get_by_role("button", name="Show all").click()
    assert page.evaluate("location.hash") == "#failure-gallery"


@pytest.mark.parametrize(
    "behind", ["#score=abc&kind=nothing&size=vast", "#score=7", "#&&=", "#%E0%A4%A", "#kind"]
)
def test_an_address_that_says_nothing_changes_nothing(desk, record, behind):
    page = desk.open(behind)
    assert counts_of(page)["threshold"] == record["operating_point"]["score_threshold"]
    assert len(shown_cards(page)) == len(items_of(record))


def test_the_gallery_is_filtered_by_kind_size_and_score(desk, record):
    page, items = desk.page, items_of(record)
    assert len(shown_cards(page)) == len(items)
    kind, size = items[0]["kind"], items[-1]["size"]
    page.locator("select[name=kind]").select_option(kind)
    assert len(shown_cards(page)) == sum(item["kind"] == kind for item in items)
    headings = page.locator("#failure-gallery h3").all_inner_texts()
    kinds = list(dict.fromkeys(item["kind"] for item in items))
    assert len(headings) == len(kinds) > 2
    for kind, heading in zip(kinds, headings, strict=True):
        page.locator("select[name=kind]").select_option(kind)
        assert {card["kind"] for card in shown_cards(page)} == {kind}
        assert page.locator("#failure-gallery h3:visible").all_inner_texts() == [heading]
        assert page.locator("#failure-gallery h3:visible + p:visible + .gallery:visible").count() == 1
    page.locator("select[name=kind]").select_option("")
    page.locator("select[name=size]").select_option(size)
    wanted = [item for item in items if item["size"] == size]
    assert len(shown_cards(page)) == len(wanted)
    assert page.locator(".filters [role=status]").inner_text() == f"{len(wanted)} of {len(items)} pictures"
    page.get_by_role("button", name="Show all").click()
    scores = sorted(item["score"] for item in items if item["score"] is not None)
    middle = round(scores[len(scores) // 2], 2) + 0.005
    desk.open(f"#score={middle:.3f}")
    kept = [item for item in items if item["score"] is None or item["score"] >= round(middle, 3)]
    assert 0 < len(kept) < len(items)
    assert len(shown_cards(page)) == len(kept)


def test_the_dialog_is_worked_by_keyboard(desk, record):
    page = desk.page
    first = page.locator(".enlarge").first
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.viewer")
    assert dialog.is_visible()
    assert accessibility_faults(page) == []
    place = dialog.locator("[data-place]")
    everything = len(items_of(record))
    assert place.inner_text() == f"1 of {everything}"
    caption = dialog.locator("figcaption").inner_text()
    page.keyboard.press("ArrowRight")
    assert place.inner_text() == f"2 of {everything}"
    assert dialog.locator("figcaption").inner_text() != caption
    for key, where in (("ArrowLeft", 1), ("ArrowLeft", everything), ("Home", 1), ("End", everything)):
        page.keyboard.press(key)
        assert place.inner_text() == f"{where} of {everything}"
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == page.locator(".enlarge").last.get_attribute("aria-label")


def test_the_dialog_steps_through_what_is_shown(desk, record):
    page, items = desk.page, items_of(record)
    kind = items[0]["kind"]
    page.locator("select[name=kind]").select_option(kind)
    page.locator(".enlarge:visible").first.click()
    n = sum(item["kind"] == kind for item in items)
    assert page.locator("dialog [data-place]").inner_text() == f"1 of {n}"
    page.locator("dialog [data-close]").click()
    assert not page.locator("dialog.viewer").is_visible()


def test_layers_are_taken_off_and_put_back(desk):
    page = desk.page
    for name, layer in (("map", ".map"), ("boxes", ".boxes")):
        box = page.get_by_role("checkbox", name=name, exact=True)
        box.uncheck()
        assert page.locator(f".gallery {layer}:visible").count() == 0
        box.check()
        assert page.locator(f".gallery {layer}:visible").count() > 0


def test_tables_are_sorted_down_up_and_back(desk):
    table = desk.page.locator("#results table").first
    column = "rows => rows.map((row) => Number(row.cells[1].querySelector('data').value))"
    before = table.locator("tbody tr").evaluate_all(column)
    button = table.locator("thead button").nth(1)
    button.focus()
    desk.page.keyboard.press("Enter")
    assert table.locator("tbody tr").evaluate_all(column) == sorted(before, reverse=True)
    desk.page.keyboard.press("Enter")
    assert table.locator("tbody tr").evaluate_all(column) == sorted(before)
    desk.page.keyboard.press("Enter")
    assert table.locator("tbody tr").evaluate_all(column) == before


def test_words_are_sorted_as_is_said(desk):
    table = desk.page.locator("#results table").first
    heading = table.locator("thead th").first
    arrow = "heading => getComputedStyle(heading.querySelector('button'), '::after').content.trim()"
    before = table.locator("tbody td:first-child").all_inner_texts()
    up = desk.page.evaluate("words => [...words].sort((a, b) => a.localeCompare(b, 'en'))", before)
    for order, sign, words in (("ascending", "\u2191", up), ("descending", "\u2193", up[::-1])):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == order
        assert sign in heading.evaluate(arrow)
        assert table.locator("tbody td:first-child").all_inner_texts() == words
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert table.locator("tbody td:first-child").all_inner_texts() == before


def test_only_a_sum_stays_at_the_bottom(browser, copied):
    def end_with_the_operating_point(record):
        score = record["operating_point"]["score_threshold"]
        record["detection"]["thresholds"].sort(key=lambda row: row["score_threshold"] == score)

    with reading_anew(browser, copied, end_with_the_operating_point) as page:
        table = page.locator("#precision-and-recall table").last
        first = "rows => rows.map((row) => Number(row.cells[0].querySelector('data').value))"
        table.locator("thead button").first.click()
        scores = table.locator("tbody tr").evaluate_all(first)
        assert scores == sorted(scores, reverse=True)
        kinds = page.locator("#failure-gallery table").first
        for _ in range(2):
            kinds.locator("thead button").nth(1).click()
            assert kinds.locator("tbody td:first-child").last.inner_text() == "together"


@pytest.mark.parametrize(
    ("left_out", "stays"), [("40-precision-recall", ".filters"), ("50-failures", ".explorer")]
)
def test_curves_and_filters_live_without_each_other(browser, copied, tmp_path, left_out, stays):
    (tmp_path / "own" / "sections").mkdir(parents=True)
    (tmp_path / "own" / "sections" / f"{left_out}.md.j2").touch()
    with reading_anew(browser, copied, templates=tmp_path / "own") as page:
        assert page.locator(stays).is_visible()
        if stays == ".explorer":
            page.locator("#score-threshold").press("Home")
            assert counts_of(page)["threshold"] == 0.0
        else:
            kind = shown_cards(page)[-1]["kind"]
            page.locator("select[name=kind]").select_option(kind)
            assert {card["kind"] for card in shown_cards(page)} == {kind}


def test_without_pictures_there_are_no_layers(browser, copied):
    def take_pictures_away(record):
        for each in record["failures"]["kinds"]:
            each["items"] = []
        record["failures"]["successes"] = []

    with reading_anew(browser, copied, take_pictures_away) as page:
        assert page.locator(".layers, .filters:visible").count() == 0
        assert "boxes that are right" not in page.locator("#failure-gallery").inner_text()


def test_a_control_is_called_what_is_written_beside_it(desk):
    slider = desk.page.get_by_role("slider", name="score at least", exact=True)
    assert slider.count() == 1
    assert "score at least" in desk.page.locator(".filters label.wide").inner_text()


def test_the_place_of_a_number_is_told_to_finger_and_keyboard(desk):
    page, said = desk.page, desk.page.locator(".place-of")
    number = page.locator("#summary data").first
    place = number.evaluate("number => `${number.dataset.ref} = ${number.value}`")
    assert not said.is_visible()
    number.click()
    assert said.inner_text() == place
    page.keyboard.press("Escape")
    assert not said.is_visible()
    assert page.locator("data[tabindex]").count() == 0
    toggle = page.get_by_role("button", name="Let the Tab key stop at numbers")
    toggle.focus()
    page.keyboard.press("Enter")
    assert toggle.get_attribute("aria-pressed") == "true"
    page.evaluate("document.getElementById('content').focus()")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "DATA":
            break
    assert said.inner_text() == page.evaluate(
        "`${document.activeElement.dataset.ref} = ${document.activeElement.value}`"
    )
    assert accessibility_faults(page) == []
    toggle.click()
    assert page.locator("data[tabindex]").count() == 0
    page.locator(".enlarge").first.click()
    page.locator("dialog figcaption data").first.click()
    assert page.locator("dialog .place-of").is_visible()


def test_the_record_is_saved_as_it_is(desk, record, tmp_path):
    with desk.page.expect_download() as download:
        desk.page.locator(".download a").click()
    download.value.save_as(tmp_path / "saved.json")
    assert json.loads((tmp_path / "saved.json").read_text(encoding="utf-8")) == record


BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def test_dark_is_as_the_system_says_until_the_reader_says_otherwise(browser, finished):
    seen = {}
    for scheme in ("light", "dark"):
        with reading(browser, finished, color_scheme=scheme) as reader:
            page = reader.page
            seen[scheme] = page.evaluate(BACKGROUND)
            page.get_by_role("button", name="Switch between light and dark").click()
            other = page.evaluate(BACKGROUND)
            assert other != seen[scheme]
            page.reload()
            assert page.evaluate(BACKGROUND) == other
    assert seen["light"] != seen["dark"]


LOOKS = [(scheme, name) for scheme in ("light", "dark") for name in ("desk", "phone")]


@pytest.mark.parametrize(("scheme", "where"), LOOKS)
def test_no_fault_of_accessibility(browser, finished, scheme, where):
    with reading(
        browser, finished, color_scheme=scheme, viewport=DESK if where == "desk" else PHONE
    ) as reader:
        assert accessibility_faults(reader.page) == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        reader.page.screenshot(path=SCREENSHOTS / f"top-{where}-{scheme}.png")
        for section in ("precision-and-recall", "failure-gallery"):
            picture = SCREENSHOTS / f"{section}-{where}-{scheme}.png"
            reader.page.locator(f"#{section}").screenshot(path=picture)


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1024, 1280, 1920])
def test_nothing_scrolls_sideways(browser, finished, width):
    with reading(browser, finished, viewport={"width": width, "height": 800}) as reader:
        page = reader.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("scrollTo(500, 0)")
        assert page.evaluate("scrollX") == 0


def test_the_first_screen_says_what_was_asked_and_what_came_out(desk, record):
    bottom = "selector => document.querySelector(selector).getBoundingClientRect().bottom"
    for selector in ("h1", "#summary blockquote", ".keyfacts"):
        assert desk.page.evaluate(bottom, selector) <= DESK["height"], selector


def test_the_pictures_keep_to_their_budget(finished):
    pictures = list((finished / "gallery").glob("*.webp"))
    assert pictures
    assert max(path.stat().st_size for path in pictures) <= PICTURE_BUDGET
    assert (finished / "report.html").stat().st_size < 4_000_000


def test_paper_has_everything_and_no_controls(desk):
    page = desk.open("#failure-gallery&score=1.000&kind=success&size=large")
    hidden = page.locator(".gallery .card[hidden]").count()
    assert hidden > 0
    page.emulate_media(media="print")
    assert page.locator(".gallery .card:visible").count() == page.locator(".gallery .card").count()
    assert page.locator("#failure-gallery h3:visible").count() == page.locator("#failure-gallery h3").count()
    for control in (".explorer", ".filters", ".layers", ".theme", ".contents", ".enlarge", ".places"):
        assert page.locator(f"{control}:visible").count() == 0, control
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 3


def test_without_a_script_nothing_is_lost_and_nothing_is_dead(browser, finished, record):
    with reading(browser, finished, java_script_enabled=False) as reader:
        page = reader.page
        assert page.locator(".gallery .card:visible").count() == len(items_of(record))
        assert page.locator("#figure-precision-recall svg").is_visible()
        assert not page.locator(".places").is_visible()
        table = page.locator("#precision-and-recall table").last
        assert table.locator("tbody tr").count() == len(record["detection"]["thresholds"])
        for control in ("button", "input", "select", "dialog"):
            assert page.locator(f"{control}:visible").count() == 0, control


def test_a_keyboard_reaches_everything_that_can_be_used(desk):
    page = desk.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    unreachable = page.eval_on_selector_all(
        "a[href], button, input, select",
        "all => all.filter((each) => each.offsetParent && each.tabIndex < 0).length",
    )
    assert unreachable == 0
