"""The page in a real browser: what moves, what a keyboard reaches, what is read out, what is printed."""

import csv
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
from tests.support.processes import wait_until
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
    """A page that is being read, and what it asked for and complained of meanwhile.

    The page is loaded when it is first used: a test that opens another part of it loads it once.
    """

    def __init__(self, page, address: str) -> None:
        self._page, self._loaded, self.address = page, False, address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    @property
    def page(self):
        return self._page if self._loaded else self.open()

    def open(self, behind: str = "", **viewport: int):
        if viewport:
            self._page.set_viewport_size(viewport)
        self._page.goto("about:blank")
        self._page.goto(self.address + behind)
        self._loaded = True
        return self._page

    def begin_again(self, color_scheme: str = "light") -> None:
        """Forget what a test did; the next use loads the page."""
        if self._loaded:
            self._page.evaluate("localStorage.clear()")
        self._page.set_viewport_size(DESK)
        self._page.emulate_media(media="null", color_scheme=color_scheme)
        self._loaded = False
        self.requests.clear()
        self.complaints.clear()

    def require_quiet(self) -> None:
        """Fail if anything but files was asked for, or a script failed."""
        allowed = ("file:", "data:", "blob:", "about:")
        assert [url for url in self.requests if not url.startswith(allowed)] == []
        assert self.complaints == []


@contextmanager
def reading(browser, run: Path, **how):
    """Open a finished run's page as a file; nothing but files may be asked for, and no script may fail."""
    context = browser.new_context(**{"viewport": DESK} | how)
    context.route(re.compile("^https?:"), lambda route: route.abort())
    reader = Reader(context.new_page(), (run / "report.html").as_uri())
    try:
        yield reader
    finally:
        context.close()
    reader.require_quiet()


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


@pytest.fixture(scope="module")
def one_page(browser, finished):
    """A page that many tests read one after the other: a context of its own takes half a second."""
    with reading(browser, finished) as reader:
        yield reader


@pytest.fixture
def desk(one_page):
    """The report as nobody has used it."""
    one_page.begin_again()
    yield one_page
    one_page.require_quiet()


def counts_of(page) -> dict[str, float]:
    """What the readout says, at full precision."""
    cells = page.eval_on_selector_all(
        ".readout dd[data-measure]", "cells => cells.map((cell) => [cell.dataset.measure, cell.dataset.now])"
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
    return [item for row in failures["types"] for item in row["items"]] + failures["successes"]


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
    named = desk.page.locator(".charts .large .named").text_content()
    assert named == f"{point['score_threshold']:.3f}", "the ring has its own score (review, A22)"
    # There the page shows the record's own numbers, with their places.
    refs = desk.page.eval_on_selector_all(".readout data", "all => all.map((each) => each.dataset.ref)")
    assert "operating_point.f1.value" in refs


def test_the_slider_moves_the_point_and_the_counts(desk, record):
    page = desk.page
    slider = page.locator("#score-threshold")
    before = page.locator(".moving").get_attribute("cx")
    slider.focus()
    page.keyboard.press("Home")
    assert counts_of(page) == pytest.approx(expected_at(record, 0.0))
    assert page.locator(".moving").get_attribute("cx") != before
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    score = counts_of(page)["threshold"]
    assert score == pytest.approx(7 * 0.05)
    now = expected_at(record, score)
    assert counts_of(page) == pytest.approx(now)
    spoken = slider.get_attribute("aria-valuetext")
    assert f"{now['right']} correct, {now['wrong']} false positives, {now['missed']} missed" in spoken
    page.keyboard.press("End")
    assert counts_of(page) == pytest.approx(expected_at(record, 1.0))
    page.locator("[data-back]").click()
    assert counts_of(page)["threshold"] == record["operating_point"]["score_threshold"]
    assert page.evaluate("document.activeElement.type") == "range"


def test_every_round_score_counts_as_the_table_says(desk, record):
    follow = """address => new Promise((followed) => {
        addEventListener("hashchange", () => requestAnimationFrame(followed), { once: true });
        location.hash = address;
    })"""
    page = desk.page
    for row in record["detection"]["thresholds"]:
        page.evaluate(follow, f"#precision-and-recall&score={row['score_threshold']:.3f}")
        if row["score_threshold"] == record["operating_point"]["score_threshold"]:
            continue
        now = counts_of(page)
        assert (now["right"], now["wrong"], now["missed"]) == (
            row["true_positives"], row["false_positives"], row["false_negatives"],
        )  # fmt: skip


def test_the_choice_stands_in_the_address_and_comes_back(desk, record):
    page = desk.page
    page.locator("#score-threshold").focus()
    page.keyboard.press("End")
    failure_type = items_of(record)[0]["type"]
    page.locator(".filters select[name=type]").select_option(failure_type)
    assert page.evaluate("location.hash") == f"#score=1.000&type={failure_type}"
    page.click('.contents a[href="#failure-gallery"]')
    wait_until(lambda: page.evaluate("location.hash.startsWith('#failure-gallery&')"))
    address = page.evaluate("location.hash")
    assert address == f"#failure-gallery&score=1.000&type={failure_type}"
    counts, cards = counts_of(page), shown_cards(page)
    desk.open(address)
    assert (counts_of(page), shown_cards(page)) == (counts, cards)
    top = page.evaluate("document.getElementById('failure-gallery').getBoundingClientRect().top")
    assert abs(top) < 60
    page.locator("[data-reset]").click()
    assert page.evaluate("location.hash") == "#failure-gallery"


@pytest.mark.parametrize(
    "behind", ["#score=abc&type=nothing&size=vast", "#score=7", "#&&=", "#%E0%A4%A", "#type"]
)
def test_an_address_that_says_nothing_changes_nothing(desk, record, behind):
    page = desk.open(behind)
    assert counts_of(page)["threshold"] == record["operating_point"]["score_threshold"]
    assert len(shown_cards(page)) == len(items_of(record))


def cases_at(record: dict, score: float) -> list[dict]:
    evidence = record["evidence"]
    level = min(range(len(evidence["levels"])), key=lambda index: abs(evidence["levels"][index] - score))
    return [case for case in evidence["cases"] if case["first"] <= level <= case["last"]]


def bars(page) -> dict[str, tuple[int, int]]:
    rows = page.eval_on_selector_all(
        "#failures-by-type tbody tr",
        "rows => rows.map((row) => [row.dataset.type, ...[...row.querySelectorAll('[data-count]')]"
        ".map((cell) => Number(cell.dataset.now))])",
    )
    return {failure_type: (fp, fn) for failure_type, fp, fn in rows}


def counted(cases: list[dict]) -> dict[str, tuple[int, int]]:
    return {
        failure_type: tuple(
            sum(case["type"] == failure_type and case["subject"] == subject for case in cases)
            for subject in ("detection", "ground_truth")
        )
        for failure_type in {case["type"] for case in cases}
    }


@pytest.mark.parametrize("score", [0.0, 0.2, 0.6, 0.95])
def test_the_slider_changes_bars_counts_headings_and_cards_alike(desk, record, score):
    """Above and below the operating point (review, C1 and C2)."""
    page = desk.open(f"#failure-gallery&score={score:.3f}")
    cases = cases_at(record, score)
    shown = {failure_type: counts for failure_type, counts in bars(page).items() if any(counts)}
    typed = {
        failure_type: counts for failure_type, counts in counted(cases).items() if failure_type in bars(page)
    }
    assert shown == typed
    now = expected_at(record, score)
    assert sum(case["subject"] == "detection" for case in cases) == now["wrong"]
    assert sum(case["subject"] == "ground_truth" for case in cases) == now["missed"]
    status = page.locator(".filters [role=status]").inner_text()
    if shown_cards(page):
        assert f"of {len(cases)} failures and {now['right']} correct boxes" in status
    else:
        assert "No picture matches" in status
    page.locator("#all-failures summary").click()
    assert page.locator("#all-failures [data-total]").inner_text() == str(len(cases))
    for card in shown_cards(page):
        if card["type"] != "success":
            assert any(case["image_id"] == card["image"] and case["type"] == card["type"] for case in cases)
        else:
            assert float(card["score"]) >= score
    for line in page.locator("#failure-gallery h3:visible + p:visible").all_inner_texts():
        if " false positive, " in line:
            found = re.search(r": (\d+) false positive, (\d+) missed", line)
            assert (int(found[1]), int(found[2])) in counted(cases).values()


def test_the_gallery_is_filtered_by_type_and_size(desk, record):
    page, items = desk.page, items_of(record)
    assert len(shown_cards(page)) == len(items)
    types = list(dict.fromkeys(item["type"] for item in items))
    assert len(types) > 2
    for failure_type in types:
        page.locator(".filters select[name=type]").select_option(failure_type)
        assert {card["type"] for card in shown_cards(page)} == {failure_type}
        assert page.locator("#failure-gallery h3:visible").count() == 1
    page.locator("[data-reset]").click()
    size = items[-1]["size"]
    page.locator(".filters select[name=size]").select_option(size)
    assert len(shown_cards(page)) == sum(item["size"] == size for item in items)


def test_a_bar_is_a_filter(desk, record):
    page = desk.page
    link = page.locator("#failures-by-type [data-filter]").first
    failure_type = link.get_attribute("data-filter")
    link.click()
    assert {card["type"] for card in shown_cards(page)} == {failure_type}
    assert page.locator(".filters select[name=type]").input_value() == failure_type


def test_gallery_and_list_are_filtered_by_class(browser, several):
    """The page opens with the main class; every other class has its cards, counts and list."""
    record = record_of(several)
    others = {each["name"]: each for each in record["classes"]["failures"]}
    with reading(browser, several) as reader:
        page = reader.page
        select, total = (
            page.locator(".filters select[name=class]"),
            page.locator("#all-failures [data-total]"),
        )
        page.locator("#all-failures summary").click()
        listed = page.locator("#all-failures tbody tr")
        classes_of = "rows => rows.map((row) => row.cells[1].textContent)"
        n_main = len(cases_at(record, record["operating_point"]["score_threshold"]))
        assert select.input_value() == "dog" and total.inner_text() == str(n_main)
        assert len(shown_cards(page)) == len(items_of(record))
        for name, each in others.items():
            select.select_option(name)
            assert len(shown_cards(page)) == len(each["items"])
            assert total.inner_text() == str(len(each["cases"]))
            assert set(listed.evaluate_all(classes_of)) == ({name} if each["cases"] else set())
            shown = bars(page)
            expected = {row["type"]: (row["n_detections"], row["n_missed"]) for row in each["types"]}
            assert shown == {failure_type: expected[failure_type] for failure_type in shown}
            assert sum(map(sum, shown.values())) == len(each["cases"])
            status = page.locator(".filters [role=status]").inner_text()
            assert (
                f"{len(each['cases'])} failures and {each['n_success']} correct" in status
                or not each["items"]
            )
            slider, threshold = page.locator(".filters [type=range]"), f"{each['score_threshold']:.3f}"
            assert slider.is_disabled() and slider.get_attribute("aria-valuetext") == threshold
            assert page.locator(".filters [data-score]").inner_text() == threshold
        assert f"class={name}" in page.evaluate("decodeURIComponent(location.hash)")
        select.select_option("")
        assert total.inner_text() == str(n_main + sum(len(each["cases"]) for each in others.values()))
        page.locator("[data-reset]").click()
        assert select.input_value() == "dog" and total.inner_text() == str(n_main)
        # A link to a picture of another class shows it.
        named = next(each for each in others.values() if each["items"])
        card = page.locator(f".card[data-class='{named['name']}']").first
        reader.open(f"#{card.get_attribute('id')}")
        assert card.is_visible() and select.input_value() == named["name"]
        reader.open("#class=nothing")
        assert select.input_value() == "dog"


def test_a_type_or_a_correct_box_of_another_class_alone_can_be_filtered(browser, several, tmp_path):
    """The main class of the changed record has neither; its correct boxes are those of another class."""
    others = record_of(several)["classes"]["failures"]
    types = [item["type"] for each in others for item in each["items"]]
    alone = next(each for each in types if each not in ("success", "missed"))

    def change(record) -> None:
        other = record["classes"]["failures"][0]
        other["items"] += [item | {"target": other["name"]} for item in record["failures"]["successes"]]
        record["failures"]["successes"] = []
        for row in record["failures"]["types"]:
            if row["type"] == alone:
                row |= {"n_detections": 0, "n_missed": 0, "items": []}

    run = Path(shutil.copytree(several, tmp_path / "run"))
    with reading_anew(browser, run, change) as page:
        record = record_of(run)
        items = [item for each in record["classes"]["failures"] for item in each["items"]]
        page.locator(".filters select[name=class]").select_option("")
        for kind in (alone, "success"):
            page.locator(".filters select[name=type]").select_option(kind)
            shown = shown_cards(page)
            assert len(shown) == sum(item["type"] == kind for item in items) > 0
            assert {card["type"] for card in shown} == {kind}
        point = record["operating_point"]["score_threshold"]
        cases = [case for each in record["classes"]["failures"] for case in each["cases"]]
        assert bars(page)[alone] == counted([*cases, *cases_at(record, point)])[alone]
        assert f"correct boxes of {record['data']['target']}" in page.locator("main").inner_text()


def test_a_link_to_a_picture_that_the_threshold_hides_shows_it(desk, record):
    page = desk.open("#score=1.000")
    card = page.locator(".gallery .card[data-type=success]").first
    address = card.get_attribute("id")
    assert not card.is_visible()
    page.evaluate(f"location.hash = {address!r}")
    wait_until(lambda: page.evaluate(f"!document.getElementById({address!r}).hidden"))
    assert card.is_visible()
    assert counts_of(page)["threshold"] == record["operating_point"]["score_threshold"]


@pytest.mark.parametrize("width", [700, 1280])
def test_a_bar_of_a_failure_type_is_level_with_its_number(desk, width):
    """A meaning of two lines makes its row higher."""
    middles, heights = desk.open(width=width, height=800).evaluate(
        """() => {
          const rows = [...document.querySelectorAll("#failures-by-type tbody tr")];
          const middle = (element) => {
            const at = element.getBoundingClientRect();
            return (at.top + at.bottom) / 2;
          };
          const cells = rows.flatMap((row) => [...row.querySelectorAll("td.number")]);
          const middles = cells.map((cell) => [...cell.children].map(middle));
          return [middles, rows.map((row) => row.offsetHeight)];
        }"""
    )
    assert len(middles) == 2 * len(heights) > 0
    if width == 700:
        assert max(heights) > min(heights)
    for bar, number in middles:
        assert bar == pytest.approx(number, abs=2)


def test_without_a_script_the_pictures_of_all_classes_are_shown(browser, several):
    record = record_of(several)
    n_items = sum(len(each["items"]) for each in record["classes"]["failures"]) + len(items_of(record))
    with reading(browser, several, java_script_enabled=False) as reader:
        cards = reader.page.locator("#failure-gallery .card")
        assert cards.count() == n_items and all(card.is_visible() for card in cards.all())
        named = next(each for each in record["classes"]["failures"] if each["items"])
        assert f"({named['name']}, " in reader.page.locator("#failure-gallery").inner_text()


def test_every_failure_can_be_listed_sorted_and_opened(desk, record):
    page = desk.page
    cases = cases_at(record, record["operating_point"]["score_threshold"])
    page.locator("#all-failures summary").click()
    rows = page.locator("#all-failures tbody tr")
    assert rows.count() == len(cases)
    column = "rows => rows.map((row) => row.cells[5].textContent)"
    page.locator("#all-failures thead button").nth(5).click()
    sizes = [float(text.split("\u202f")[0]) for text in rows.evaluate_all(column)]
    assert sizes == sorted(sizes, reverse=True)
    reasons = rows.evaluate_all("rows => rows.map((row) => row.cells[6].textContent)")
    assert sorted(reasons) == sorted(case["reason"] for case in cases)
    link = page.locator("#all-failures tbody a").first
    link.click()
    assert page.locator("dialog.viewer").is_visible() or page.evaluate("location.hash").startswith("#")


def test_a_picture_without_a_card_is_read_from_the_folder(desk, record):
    page = desk.page
    carded = {item["image_id"] for item in items_of(record)}
    cases = cases_at(record, record["operating_point"]["score_threshold"])
    others = [case for case in cases if case["image_id"] not in carded]
    if not others:
        pytest.skip("every failing image of this small run has a card")
    page.locator("#all-failures summary").click()
    page.locator("#all-failures tbody a", has_text=others[0]["image_id"]).first.click()
    # The picture is a file, which the browser reads after the dialog has opened.
    page.locator("dialog img.alone").wait_for()
    place, caption = page.locator("dialog [data-place]"), page.locator("dialog figcaption")
    here, total = (int(number) for number in place.inner_text().split(" of "))
    assert total == sum(case["picture"] is not None for case in cases) > 1
    assert caption.inner_text() == f"{others[0]['image_id']}: {others[0]['reason']}"
    before = page.locator("dialog img.alone").get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert place.inner_text() == f"{here % total + 1} of {total}"
    page.keyboard.press("End")
    assert page.locator("dialog img.alone").get_attribute("src") != before
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == others[0]["image_id"]


def test_a_link_opens_what_is_folded(desk):
    page = desk.page
    assert not page.locator("#thresholds table").is_visible()
    desk.open("#thresholds")
    wait_until(lambda: page.evaluate("document.getElementById('thresholds').open"))
    assert page.locator("#thresholds table").is_visible()
    table = page.locator("#method-tables table").first.get_attribute("id")
    desk.open(f"#{table}")
    wait_until(lambda: page.evaluate("document.getElementById('method-tables').open"))


def test_every_table_has_an_address(desk):
    ids = desk.page.eval_on_selector_all("main table", "tables => tables.map((table) => table.id)")
    assert len(set(ids)) == len(ids) > 10 and all(ids)


def test_a_picture_has_an_address(desk):
    page = desk.page
    card = page.locator(".gallery .card").last.get_attribute("id")
    desk.open(f"#{card}")
    wait_until(lambda: page.evaluate("scrollY > 500"))
    top = page.evaluate(f"document.getElementById({card!r}).getBoundingClientRect().top")
    assert 0 <= top < DESK["height"]


def test_a_table_is_copied_as_tab_separated_values(desk, record):
    page = desk.open("#thresholds")
    wait_until(lambda: page.evaluate("document.getElementById('thresholds').open"))
    button = page.locator("#thresholds [data-copy]").first
    button.click()
    wait_until(lambda: page.evaluate("document.querySelector('#thresholds [data-copy]').dataset.copied"))
    lines = button.get_attribute("data-copied").split("\n")
    assert len(lines) == 1 + len(record["detection"]["thresholds"])
    assert {line.count("\t") for line in lines} == {6}


def test_a_figure_is_saved_as_svg(desk, tmp_path):
    page = desk.page
    figure = page.locator("#figure-estimates")
    with page.expect_download() as download:
        figure.locator("[data-save-svg]").click()
    download.value.save_as(tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg") and "var(--" not in text


def test_the_failures_are_saved_as_the_run_wrote_them(desk, finished, tmp_path):
    with desk.page.expect_download() as download:
        desk.page.locator("[data-save=failures]").click()
    download.value.save_as(tmp_path / "failures.csv")
    rows = [
        list(csv.reader((folder / "failures.csv").open(encoding="utf-8"))) for folder in (tmp_path, finished)
    ]
    assert rows[0][0] == rows[1][0]
    assert sorted(row[:4] for row in rows[0]) == sorted(row[:4] for row in rows[1])


def test_layers_are_switched_in_the_dialog(desk):
    page = desk.page
    page.locator(".gallery .enlarge:visible").nth(1).click()
    dialog = page.locator("dialog.viewer")
    dialog.locator("[data-layer=map]").uncheck()
    assert dialog.locator(".map:visible").count() == 0
    assert not page.locator(".filters [data-layer=map]").is_checked()
    dialog.locator("[data-layer=map]").check()
    assert dialog.locator(".map:visible").count() == 1


def test_the_dialog_follows_a_swipe(desk):
    page = desk.page
    page.locator(".gallery .enlarge:visible").first.click()
    place = page.locator("dialog [data-place]")
    box = page.locator("dialog .viewer-card").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 300, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, y)
    page.mouse.up()
    assert place.inner_text().startswith("2 of ")


def test_methods_are_switched_in_the_explorer(desk, record):
    page = desk.page
    lines = page.locator(".charts .large .line")
    before = lines.count()
    page.locator(".methods input[value=layer_cam_earlier]").check()
    assert lines.count() == before + 1
    page.locator(".methods input[value=grad_cam]").uncheck()
    assert page.locator(".charts .band").count() == 0


def test_constant_score_baselines_are_dots_that_differ(desk, record):
    page, names = desk.page, ["centerbox", "cheating_centerbox"]
    for name in names:
        page.locator(f".methods input[value={name}]").check()
    fills, fill_of = {}, "e => { const s = getComputedStyle(e); return [s.fill, s.backgroundColor]; }"
    for part in (".methods input[value={0}] + .sample", ".charts .large .m-{1}"):
        each = [page.locator(part.format(name, name.replace("_", "-"))) for name in names]
        assert all("spot" in one.get_attribute("class").split() for one in each)
        fills[part] = [one.evaluate(fill_of) for one in each]
    assert all(first != second for first, second in fills.values()), fills


def test_one_colour_belongs_to_a_method_in_drawings_and_explorer(desk, record):
    from report.pipeline.stages.figures import STYLES

    for method in record["detection"]["methods"]:
        name = f"m-{method['name'].replace('_', '-')}"
        colour = desk.page.evaluate(
            "name => { const each = document.createElement('i'); each.className = name;"
            " document.body.append(each); return getComputedStyle(each).getPropertyValue('--method'); }",
            name,
        )
        series = desk.page.evaluate(
            "n => getComputedStyle(document.documentElement).getPropertyValue(`--series-${n}`)",
            STYLES[method["name"]].colour + 1,
        )
        assert colour == series != ""


def test_the_policy_allows_the_page_s_own_scripts_by_hash(finished, copied, browser):
    text = (finished / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    scripts = policy.split("script-src ")[1].split(";")[0]
    assert "unsafe" not in scripts and scripts.startswith("'sha256-")
    planted = text.replace("</body>", "<script>document.title = 'taken'</script></body>")
    (copied / "report.html").write_text(planted, encoding="utf-8")
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.goto((copied / "report.html").as_uri())
    assert page.title() != "taken"
    assert page.locator(".explorer").is_visible(), "the page's own script runs"
    context.close()


def test_the_dialog_is_worked_by_keyboard(desk, record):
    page = desk.page
    first = page.locator(".gallery .enlarge").first
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.viewer")
    assert dialog.is_visible()
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
    assert label == page.locator(".gallery .enlarge").last.get_attribute("aria-label")


def test_the_dialog_steps_through_what_is_shown(desk, record):
    page, items = desk.page, items_of(record)
    failure_type = items[0]["type"]
    page.locator(".filters select[name=type]").select_option(failure_type)
    page.locator(".gallery .enlarge:visible").first.click()
    n = sum(item["type"] == failure_type for item in items)
    assert page.locator("dialog [data-place]").inner_text() == f"1 of {n}"
    page.locator("dialog [data-close]").click()
    assert not page.locator("dialog.viewer").is_visible()


def test_layers_are_taken_off_and_put_back(desk):
    page = desk.page
    for name in ("map", "boxes"):
        box = page.locator(f".filters [data-layer={name}]")
        box.uncheck()
        assert page.locator(f".gallery .{name}:visible").count() == 0
        box.check()
        assert page.locator(f".gallery .{name}:visible").count() > 0


def test_tables_are_sorted_down_up_and_back(desk):
    table = desk.open("#method-tables").locator("#method-tables table").first
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
    table = desk.open("#method-tables").locator("#method-tables table").first
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
        page.evaluate("document.getElementById('thresholds').open = true")
        table = page.locator("#thresholds table")
        first = "rows => rows.map((row) => Number(row.cells[0].querySelector('data').value))"
        table.locator("thead button").first.click()
        scores = table.locator("tbody tr").evaluate_all(first)
        assert scores == sorted(scores, reverse=True)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        types = page.locator("#types table").first
        for _ in range(2):
            types.locator("thead button").nth(2).click()
            assert types.locator("tbody td:first-child").last.inner_text() == "total"


@pytest.mark.parametrize(
    ("left_out", "stays"), [("20-precision-recall", ".filters"), ("30-failures", ".explorer")]
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
            failure_type = shown_cards(page)[-1]["type"]
            page.locator(".filters select[name=type]").select_option(failure_type)
            assert {card["type"] for card in shown_cards(page)} == {failure_type}


def test_without_pictures_the_gallery_says_so(browser, copied):
    def take_pictures_away(record):
        for each in record["failures"]["types"]:
            each["items"] = []
        record["failures"]["successes"] = []

    with reading_anew(browser, copied, take_pictures_away) as page:
        assert "No picture matches" in page.locator(".filters [role=status]").inner_text()
        assert page.locator("#failure-gallery h3").count() == 0


def test_the_place_of_a_number_is_told_to_finger_and_keyboard(desk):
    page, said = desk.page, desk.page.locator(".place-of")
    number = page.locator("#answer data").first
    place = number.evaluate("number => `${number.dataset.ref} = ${number.value}`")
    assert not said.is_visible()
    number.click()
    assert said.inner_text() == place
    page.keyboard.press("Escape")
    assert not said.is_visible()
    assert page.locator("data[tabindex]").count() == 0
    toggle = page.get_by_role("button", name="Make numbers focusable")
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
    toggle.click()
    assert page.locator("data[tabindex]").count() == 0
    page.locator(".gallery .enlarge").first.click()
    page.locator("dialog figcaption data").first.click()
    assert page.locator("dialog .place-of").is_visible()


def test_the_record_is_saved_as_it_is(desk, record, tmp_path):
    with desk.page.expect_download() as download:
        desk.page.locator("[data-save=record]").click()
    download.value.save_as(tmp_path / "saved.json")
    assert json.loads((tmp_path / "saved.json").read_text(encoding="utf-8")) == record


BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def test_dark_is_as_the_system_says_until_the_reader_says_otherwise(desk):
    seen = {}
    for scheme in ("light", "dark"):
        desk.begin_again(scheme)
        page = desk.page
        seen[scheme] = page.evaluate(BACKGROUND)
        page.get_by_role("button", name="Switch between light and dark").click()
        other = page.evaluate(BACKGROUND)
        assert other != seen[scheme]
        page.reload()
        assert page.evaluate(BACKGROUND) == other
    assert seen["light"] != seen["dark"]


LOOKS = [(scheme, name) for scheme in ("light", "dark") for name in ("desk", "phone")]


@pytest.mark.gate
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


@pytest.mark.gate
def test_no_fault_of_accessibility_in_what_opens(desk):
    page = desk.page
    page.locator(".gallery .enlarge").first.press("Enter")
    assert page.locator("dialog.viewer").is_visible()
    assert accessibility_faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make numbers focusable").press("Enter")
    page.locator("#answer data").first.focus()
    assert page.locator(".place-of").is_visible()
    assert accessibility_faults(page) == []


def test_nothing_scrolls_sideways(desk):
    for width in (320, 360, 390, 768, 1024, 1280, 1920):
        page = desk.open(width=width, height=800)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        page.evaluate("scrollTo(500, 0)")
        assert page.evaluate("scrollX") == 0, width


def test_every_table_fits_on_a_desk(desk):
    desk.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    wide = "[...document.querySelectorAll('table')].map(each => each.parentElement)"
    cut = f"{wide}.filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
    assert desk.page.evaluate(f"{wide}.length") > 10 and desk.page.evaluate(cut) == []


def test_every_figure_is_seen_whole_on_a_phone(browser, finished, several):
    """Drawings have a second form for a narrow page, and rows of pictures are broken.

    Only the confusion matrix, as wide as there are classes, moves sideways in its box.
    """
    opened = "document.querySelectorAll('details').forEach(each => each.open = true)"
    cut = """[...document.querySelectorAll('.figure .drawing, .grid')]
        .filter(each => each.scrollWidth > each.clientWidth).map(each => each.closest('.figure').id)"""
    for run, wide in ((finished, {"estimates", "sweeps", "sanity_pixels"}), (several, {"class_curves"})):
        with reading(browser, run, viewport=PHONE) as reader:
            page = reader.page
            page.evaluate(opened)
            assert set(page.evaluate(cut)) <= {"figure-class_confusion"}
            for size, seen in ((PHONE, [False, True]), (DESK, [True, False])):
                page.set_viewport_size(size)
                for name in wide:
                    drawings = page.locator(f"#figure-{name} svg[role=img]").all()
                    assert [each.is_visible() for each in drawings] == seen
            for name in wide:
                assert page.locator(f"#figure-{name} [data-save-svg]").count() == 1


def test_tables_of_four_columns_fit_on_a_phone(desk):
    """With three intervals in a row, a table moves sideways."""
    few = "[...document.querySelectorAll('table')].filter(each => each.rows[0].cells.length < 5 &&"
    few += " each.rows[1].querySelectorAll('td:has(data ~ data)').length < 3).map(each => each.parentElement)"
    cut = f"{few}.filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
    page = desk.open(**PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(f"{few}.length") > 5 and page.evaluate(cut) == []


def screen_of(page, selector: str) -> float:
    """On which screen an element begins; 1 is the first."""
    return 1 + page.evaluate(
        "selector => (document.querySelector(selector).getBoundingClientRect().top + scrollY) / innerHeight",
        selector,
    )


def test_the_first_screen_answers(desk):
    bottom = "selector => document.querySelector(selector).getBoundingClientRect().bottom"
    for selector in ("h1", "#answer blockquote", ".strip", ".keyfacts", ".goto"):
        assert desk.page.evaluate(bottom, selector) <= DESK["height"], selector
    level = desk.page.locator(".keyfacts .interval").first.inner_text()
    assert level.startswith("95\N{NARROW NO-BREAK SPACE}% CI "), "how sure it is"
    assert screen_of(desk.page, "#precision-and-recall") < 2.5
    assert screen_of(desk.page, "#failure-gallery") < 4


def test_with_several_classes_the_gallery_begins_as_early(browser, several):
    with reading(browser, several) as reader:
        assert screen_of(reader.page, "#failure-gallery") < 4
        assert screen_of(reader.page, "#failure-gallery") < screen_of(reader.page, "#several-classes")
        assert not reader.page.locator("#several-classes table:visible").count(), "the figure is not repeated"
        n_classes = record_of(several)["classes"]["n_classes"]
        assert f"dog, the main one of {n_classes}" in reader.page.locator(".facts").inner_text()


def test_the_first_screen_of_a_telephone_answers(desk):
    page = desk.open(**PHONE)
    bottom = "selector => document.querySelector(selector).getBoundingClientRect().bottom"
    for selector in ("h1", "#answer blockquote", ".strip", ".keyfacts", ".goto"):
        assert page.evaluate(bottom, selector) <= PHONE["height"], selector


def test_the_pictures_keep_to_their_budget(finished):
    pictures = [path for path in (finished / "gallery").glob("*.webp") if "drawn" not in path.name]
    assert pictures
    assert max(path.stat().st_size for path in pictures) <= PICTURE_BUDGET
    assert (finished / "report.html").stat().st_size < 4_000_000


def test_paper_has_everything_and_no_controls(desk):
    page = desk.open("#failure-gallery&score=1.000&type=success&size=large")
    hidden = page.locator(".gallery .card[hidden]").count()
    assert hidden > 0
    page.emulate_media(media="print")
    assert page.locator(".gallery .card:visible").count() == page.locator(".gallery .card").count()
    assert page.locator("#failure-gallery h3:visible").count() == page.locator("#failure-gallery h3").count()
    for control in (".explorer", ".filters", ".tools", ".theme", ".contents", ".goto", ".places"):
        assert page.locator(f"{control}:visible").count() == 0, control
    assert page.locator(".static svg").first.is_visible()
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 3


def test_without_a_script_nothing_is_lost_and_nothing_is_dead(browser, finished, record):
    with reading(browser, finished, java_script_enabled=False) as reader:
        page = reader.page
        assert page.locator(".gallery .card:visible").count() == len(items_of(record))
        assert page.locator(".static svg").first.is_visible()
        assert not page.locator(".places").is_visible()
        page.locator("#thresholds summary").click()
        table = page.locator("#thresholds table")
        assert table.is_visible()
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
