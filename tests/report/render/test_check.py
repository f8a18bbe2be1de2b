"""A report that does not follow from its record is refused, whatever was changed by hand."""

import json
import re

import pytest

from dogcam.errors import ConfigError, RecordError
from report.record.io import read_results
from report.render import check
from report.render import loader as installed
from report.render.check import check_report
from report.render.render import render
from tests.support.pages import copy_templates
from tests.support.runs import assert_one_line, change_record, invoke, record_of


@pytest.fixture(scope="module")
def texts() -> dict[tuple, dict[str, str]]:
    """What records were rendered to with the templates of a folder."""
    return {}


@pytest.fixture(autouse=True)
def _rendered_once(texts, monkeypatch):
    """Render a record once: most tests change only what its rendering is compared with."""

    def once(record, run, templates):
        key = record.seal, templates
        if key not in texts:
            texts[key] = render(record, run, templates)
        return texts[key]

    monkeypatch.setattr(check, "render", once)


def edit(path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def first_number(page: str) -> re.Match:
    return re.search(r'<data value="([^"]+)" data-ref="([^"]+)">([^<]+)</data>', page)


def test_an_untouched_report_passes(finished):
    n_numbers = check_report(finished)
    assert n_numbers == (finished / "report.html").read_text(encoding="utf-8").count("<data value=")
    assert n_numbers > 100
    result = invoke(["check", str(finished)])
    assert (result.exit_code, result.output) == (
        0, f"{finished}: all {n_numbers} numbers of the page are in the record\n"
    )  # fmt: skip


def test_a_number_that_was_changed_in_the_page_is_caught(copied):
    page = copied / "report.html"
    number = first_number(page.read_text(encoding="utf-8"))
    edit(page, number[0], number[0].replace(f'value="{number[1]}"', 'value="0.999"'))
    with pytest.raises(RecordError, match=rf"0\.999\b.*{re.escape(number[2])}"):
        check_report(copied)


def test_a_number_whose_words_alone_were_changed_is_caught(copied):
    page = copied / "report.html"
    number = first_number(page.read_text(encoding="utf-8"))
    edit(page, number[0], number[0].replace(f">{number[3]}<", ">99.9<"))
    with pytest.raises(RecordError, match=r"report\.html"):
        check_report(copied)


def test_a_number_that_points_nowhere_is_caught(copied):
    page = copied / "report.html"
    number = first_number(page.read_text(encoding="utf-8"))
    edit(page, number[0], number[0].replace(number[2], "detection.nothing"))
    with pytest.raises(RecordError, match=r"detection\.nothing"):
        check_report(copied)


def test_a_page_without_numbers_is_caught(copied):
    (copied / "report.html").write_text("<!doctype html><p>All is well.")
    with pytest.raises(RecordError, match=r"report\.\w+"):
        check_report(copied)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"Where: ", b"Where, ") + b"\n",
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text[:-20],
        lambda text: text + b"\xff",
        lambda text: text.replace("×".encode(), b"x"),
    ],
    ids=["words", "line ends", "cut short", "no text", "a sign"],
)
def test_any_other_change_of_a_file_is_caught(copied, name, change):
    path = copied / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RecordError, match=re.escape(str(path))):
        check_report(copied)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_missing_file_is_caught(copied, name):
    (copied / name).unlink()
    assert_one_line(invoke(["check", str(copied)]), 1, name, "cannot be read")


def test_a_number_that_was_changed_in_the_record_is_caught_until_it_is_rendered(copied):
    def raise_ap(record):
        record["detection"]["methods"][0]["rows"][2]["ap"] = 0.98765

    change_record(copied, raise_ap)
    with pytest.raises(RecordError, match=r"methods\.0\.rows\.2\.ap\b.*0\.98765"):
        check_report(copied)
    assert invoke(["render", str(copied)]).exit_code == 0
    check_report(copied)


@pytest.mark.parametrize("command", ["render", "check"])
def test_a_number_that_was_changed_by_hand_is_refused(copied, command):
    """Also one on which no claim rests."""
    path, page = copied / "results.json", (copied / "report.html").read_bytes()
    n_objects = record_of(copied)["data"]["reported"]["n_target_objects"]
    text = path.read_text(encoding="utf-8")
    assert f'"n_target_objects": {n_objects},' in text
    path.write_text(text.replace(f'"n_target_objects": {n_objects},', '"n_target_objects": 990,'))
    assert_one_line(invoke([command, str(copied)]), 1, str(path), "changed after it was written")
    assert (copied / "report.html").read_bytes() == page


def test_a_record_without_its_checksum_is_refused(copied):
    record = record_of(copied)
    del record["seal"]
    (copied / "results.json").write_text(json.dumps(record))
    assert_one_line(invoke(["render", str(copied)]), 1, "changed after it was written")


def test_the_page_offers_a_record_that_can_be_read(copied):
    page = (copied / "report.html").read_text(encoding="utf-8")
    embedded = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    (copied / "results.json").write_text(embedded[1], encoding="utf-8")
    assert invoke(["check", str(copied)]).exit_code == 0


def test_words_that_were_changed_in_the_record_are_caught(copied):
    change_record(copied, lambda record: record.update(title="All dogs were found"))
    with pytest.raises(RecordError, match=r"report\.\w+"):
        check_report(copied)


def test_templates_that_changed_since_are_caught(copied, tmp_path, monkeypatch):
    templates = copy_templates(tmp_path, monkeypatch)
    section = templates / "sections" / "10-answer.md.j2"
    section.write_text(section.read_text(encoding="utf-8") + "\nAnd all is well.\n", encoding="utf-8")
    with pytest.raises(RecordError, match="template"):
        check_report(copied)
    assert installed.templates_folder() == templates


@pytest.mark.parametrize("name", ["detections.csv", "failures.csv", "images.csv", "ground_truth.csv"])
def test_a_table_that_was_changed_is_caught(copied, name):
    path = copied / name
    path.write_bytes(path.read_bytes()[:-2] + b"\n")
    assert_one_line(invoke(["check", str(copied)]), 1, name, "changed after the record was written")


def test_a_picture_that_is_gone_is_named(copied):
    layer = sorted((copied / "gallery").glob("*-map.webp"))[0]
    layer.unlink()
    with pytest.raises(ConfigError, match=re.escape(layer.name)):
        render(read_results(copied), copied)
