"""`dogcam-report compare`: several runs side by side, each compared with the first."""

from pathlib import Path

import pytest

from dogcam.errors import ConfigError
from report.compare import compare_all
from report.diff import compare_runs
from tests.support.pages import Page
from tests.support.runs import change_record, change_table, copy_tables, invoke


@pytest.fixture
def three(finished, tmp_path) -> list[Path]:
    """The finished run; without the first image's boxes; and as another network with other images."""
    runs = [copy_tables(finished, tmp_path / name) for name in ("first", "second", "third")]
    change_table(
        runs[1] / "detections.csv", lambda rows: [row for row in rows if row["image"] != "test00000"]
    )
    change_record(runs[1], lambda record: record["detection"]["methods"][0]["rows"][0].update(ap=0.0))
    change_record(runs[2], lambda record: record["model"].update(name="another"))
    return runs


def test_two_runs_differ_as_diff_states(three):
    compared, diff = compare_all(three[:2]), compare_runs(*three[:2])
    rows = {(row.what, row.iou): row for row in compared.measures}
    assert len(rows) == diff.n_metrics and diff.metrics
    for change in diff.metrics:
        first, second = rows[change.what, change.iou].cells
        assert (first.value, second.value) == (change.before, change.after)
        assert (second.difference, second.verdict) == (change.difference, change.verdict)
        assert (first.difference, first.verdict) == (None, "reference")


def test_every_run_is_compared_with_the_first(three):
    compared = compare_all([three[0], three[2], three[0]])
    assert compared.same_images and [side.network for side in compared.runs][1] == "another"
    for row in compared.measures:
        values = [cell.value for cell in row.cells]
        assert values[0] == values[1] == values[2]
        for cell in row.cells[1:]:
            assert cell.difference.value in (0.0, None)
    assert len(set(compared.labels)) == 3 or compared.labels[1] == "another"


def test_other_images_are_not_paired(three):
    change_record(three[2], lambda record: record["data"]["reported"].update(manifest="0" * 64))
    compared = compare_all(three)
    assert not compared.same_images and "images" in compared.why_not_paired
    assert {cell.verdict for row in compared.measures for cell in row.cells[1:]} == {"not paired"}


def test_the_command_prints_markdown_and_writes_a_page(three, tmp_path):
    page = tmp_path / "page.html"
    result = invoke(["compare", *map(str, three), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("# 3 runs compared") and "| another |" in result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| Grad-CAM: average precision |")]
    assert len(rows) == 3 and all(row.count("|") == 6 for row in rows)
    assert Page(page.read_text(encoding="utf-8")).numbers


def test_a_single_run_is_refused(three):
    with pytest.raises(ConfigError, match="1 runs"):
        compare_all(three[:1])
