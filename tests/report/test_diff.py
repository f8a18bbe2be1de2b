"""Two runs side by side: the tables that they left, paired intervals, images, claims and settings."""

import json
import re
from pathlib import Path

import pytest

from dogcam.errors import RecordError
from dogcam.evaluate import metrics
from dogcam.structures.detections import Detections, GroundTruth
from report.diff import compare_runs
from report.record.tables import RunTables, read_tables
from report.render.render import render_diff
from tests.support.pages import Page
from tests.support.runs import (
    assert_one_line,
    change_record,
    change_table,
    copy_tables,
    invoke,
    record_of,
    reseal,
)


@pytest.fixture
def two(finished, tmp_path):
    """Two copies of the finished run without its pictures, to be changed."""
    return tuple(copy_tables(finished, tmp_path / name) for name in ("first", "second"))


def tables_of(run: Path) -> RunTables:
    return read_tables(run, record_of(run)["files"])


def matches_of(run: Path, method: str):
    tables = tables_of(run)
    rows = tables.found[method]
    found = Detections.from_images(
        [[row[:4] for row in image] for image in rows], [[row[4] for row in image] for image in rows]
    )
    return metrics.match(GroundTruth.from_images(tables.truth, tables.ignored), found)


def test_the_tables_of_a_run_hold_all_that_its_record_says(finished):
    record = record_of(finished)
    for method in record["detection"]["methods"]:
        matches = matches_of(finished, method["name"])
        assert matches.n_images == record["data"]["reported"]["n_images"]
        for row in method["rows"]:
            curve = metrics.precision_recall(matches, row["iou"])
            assert curve.average_precision() == row["ap"], "floats keep all their digits"
            assert matches.n_ground_truth == row["n_ground_truth"]
            assert len(matches.detections) == row["n_detections"]


def test_a_run_does_not_differ_from_itself(finished):
    diff = compare_runs(finished, finished)
    assert diff.same_images
    assert diff.n_metrics > 40
    assert (diff.metrics, diff.claims, diff.settings) == ([], [], [])
    assert (diff.began_to_fail, diff.ceased_to_fail) == ([], [])
    assert diff.n_failing_before == diff.n_failing_after > 0


def without_boxes_of(method: str, image: str):
    return lambda rows: [row for row in rows if (row["method"], row["image"]) != (method, image)]


def test_intervals_are_those_of_the_paired_bootstrap(two):
    """Take the boxes of some images away, and put into the record what would have been measured."""
    before, after = two
    for image in ("test00000", "test00001", "test00002", "test00003"):
        change_table(after / "detections.csv", without_boxes_of("grad_cam", image))
    ours = matches_of(after, "grad_cam")
    found = {iou: metrics.precision_recall(ours, iou).average_precision() for iou in ours.iou_thresholds}
    assert len(ours.detections) < len(matches_of(before, "grad_cam").detections)

    def measure(record):
        for row in record["detection"]["methods"][0]["rows"]:
            row["ap"] = found[row["iou"]]

    change_record(after, measure)
    detection = record_of(after)["detection"]
    drawn = metrics.Resampler(ours.n_images, detection["n_resamples"], seed=detection["bootstrap_seed"])
    expected = drawn.ap_difference(ours, matches_of(before, "grad_cam"))
    precisions = (each for each in compare_runs(before, after).metrics if each.what.endswith("precision"))
    changes = {each.iou: each for each in precisions}
    assert changes
    for iou, change in changes.items():
        interval = expected[ours.iou_thresholds.index(iou)]
        assert change.difference.value == change.after - change.before
        assert change.difference.interval.low == pytest.approx(interval.low, abs=1e-12)
        assert change.difference.interval.high == pytest.approx(interval.high, abs=1e-12)
        assert (change.verdict == "not distinguishable") is not interval.excludes_zero


def test_both_runs_are_drawn_alike_whatever_their_seeds(two):
    before, after = two
    change_record(before, lambda record: record["detection"].update(bootstrap_seed=1, n_resamples=100))
    change_record(after, lambda record: record["detection"]["methods"][0]["rows"][0].update(ap=0.0))
    (change,) = compare_runs(before, after).metrics
    # The tables are the same, so that the same draws differ by nothing at all.
    assert (change.difference.interval.low, change.difference.interval.high) == (0.0, 0.0)


def test_a_wrong_box_lets_its_image_begin_to_fail(two):
    before, after = two
    point = record_of(before)["operating_point"]
    tables = tables_of(before)
    wrong = {"method": point["method"], "x0": 0, "y0": 0, "x1": 1, "y1": 1, "score": 2}

    def add(rows):
        return rows + [{**wrong, "image": image} for image in tables.ids]

    change_table(after / "detections.csv", add)
    diff = compare_runs(before, after)
    assert diff.n_failing_after == len(tables.ids)
    assert len(diff.began_to_fail) == len(tables.ids) - diff.n_failing_before > 0
    assert {(each.n_wrong, each.n_missed) for each in diff.began_to_fail} == {(1, 0)}
    back = compare_runs(after, before)
    assert back.ceased_to_fail == diff.began_to_fail
    assert back.began_to_fail == diff.ceased_to_fail == []


def test_a_box_below_the_operating_point_fails_nothing(two):
    before, after = two
    point = record_of(before)["operating_point"]
    image = tables_of(before).ids[0]
    low = {"method": point["method"], "image": image, "x0": 0, "y0": 0, "x1": 1, "y1": 1, "score": 1e-9}
    change_table(after / "detections.csv", lambda rows: [*rows, low])
    assert compare_runs(before, after).began_to_fail == []


OTHER_IMAGES = {
    "other pictures": (
        lambda run: change_record(run, lambda record: record["data"]["reported"].update(manifest="x")),
        "different images",
    ),
    "other names": (
        lambda run: [
            change_table(run / name, lambda rows: [{**row, "image": f"x{row['image']}"} for row in rows])
            for name in ("images.csv", "ground_truth.csv", "detections.csv")
        ],
        "different images",
    ),
    "another class": (
        lambda run: change_record(run, lambda record: record["data"].update(target="cat")),
        "different targets",
    ),
    "other boxes": (
        lambda run: change_table(run / "ground_truth.csv", lambda rows: rows[1:]),
        "the annotations differ",
    ),
}


@pytest.mark.parametrize("kind", OTHER_IMAGES)
def test_nothing_is_paired_where_the_images_differ(two, kind):
    before, after = two
    change, said = OTHER_IMAGES[kind]
    change_record(after, lambda record: record["detection"]["methods"][0]["rows"][0].update(ap=0.0))
    change(after)
    diff = compare_runs(before, after)
    assert not diff.same_images
    assert said in diff.why_not_paired
    assert [(each.verdict, each.difference.interval) for each in diff.metrics] == [("not paired", None)]
    assert diff.n_failing_before is diff.n_failing_after is None
    text = render_diff(diff)["markdown"]
    assert f"Images are not compared, because {diff.why_not_paired}." in text


def test_changed_claims_and_settings_are_listed(two):
    before, after = two
    change_record(after, lambda record: record["claims"][0].update(status="contradicted"))
    change_record(before, lambda record: record["claims"][0].update(status="supported"))
    change_record(after, lambda record: record["config"].update(batch_size=3))
    diff = compare_runs(before, after)
    (claim,) = diff.claims
    assert (claim.before, claim.now) == ("supported", "contradicted")
    (setting,) = diff.settings
    assert (setting.name, setting.before, setting.after) == ("config.batch_size", "8", "3")


def test_another_look_at_the_same_weights_is_a_setting_too(two):
    before, after = two
    high_resolution = {"height": 64, "width": 96, "share": 0.1}
    change_record(
        after, lambda record: record["model"].update(high_resolution_pass=high_resolution, input_height=33)
    )
    change_record(after, lambda record: record["model"]["backend"].update(used="onnx"))
    names = [each.name for each in compare_runs(before, after).settings]
    assert names == ["model.input_height", "model.high_resolution_pass", "model.backend.used"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("model", "backend", "versions"), "model.backend.versions.onnxruntime"),
        (("run",), "run.n_threads"),
        (("run",), "run.modified"),
        (("data", "tuning"), "data.tuning.manifest"),
    ],
)
def test_what_the_numbers_hang_on_is_a_setting(two, place, name):
    def change(record):
        for part in place:
            record = record[part]
        field = name.rsplit(".", 1)[1]
        before = record.get(field)
        record[field] = not before if isinstance(before, bool) else 99 if field == "n_threads" else "another"

    change_record(two[1], change)
    assert name in [each.name for each in compare_runs(*two).settings]


def different(two) -> tuple[Path, Path]:
    before, after = two
    change_record(after, lambda record: record["operating_point"]["precision"].update(value=0.125))
    change_record(after, lambda record: record["claims"].pop())
    change_record(after, lambda record: record["model"].update(name="<b>*other*</b>"))
    return before, after


def test_the_command_prints_markdown_and_writes_a_page(two, tmp_path):
    before, after = different(two)
    page = tmp_path / "diff.html"
    result = invoke(["diff", str(before), str(after), "--html", str(page)])
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert text.startswith("# From first to second\n")
    assert "| precision at the operating point | 0.5 |" in text
    assert "absent" in text
    parsed = Page(page.read_text(encoding="utf-8"))
    (embedded,) = parsed.scripts
    document = json.loads(embedded)
    assert parsed.numbers
    for value, path, shown in parsed.numbers:
        found = document
        for name in path.split("."):
            found = found[int(name)] if isinstance(found, list) else found[name]
        assert json.loads(value) == found
        assert shown in text
    assert "<b>*other*</b>" in parsed.text
    assert "<b>" not in page.read_text(encoding="utf-8").split("<script")[0]
    assert not re.search(r'(?:src|href)="(?!data:|#)', page.read_text(encoding="utf-8"))


def test_markdown_can_be_written_too(two, tmp_path):
    before, after = different(two)
    file = tmp_path / "diff.md"
    result = invoke(["diff", str(before), str(after), "--markdown", str(file)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_text(encoding="utf-8") == invoke(["diff", str(before), str(after)]).stdout


@pytest.mark.parametrize("name", ["images.csv", "ground_truth.csv", "detections.csv", "results.json"])
def test_a_run_without_its_tables_is_named(two, name):
    before, after = two
    (after / name).unlink()
    assert_one_line(invoke(["diff", str(before), str(after)]), 1, str(after / name), "run")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("images.csv", lambda text: text.replace("probability", "score"), "columns"),
        ("images.csv", lambda text: "", "columns"),
        ("ground_truth.csv", lambda text: text + "nowhere,0,0,1,1,0\n", "do not fit together"),
        ("detections.csv", lambda text: text + "grad_cam,test00000,0,0,1,x,0\n", "do not fit together"),
        ("detections.csv", lambda text: text[:-30], "do not fit together"),
        ("detections.csv", lambda text: text + "grad_cam,test00000,9,0,1,1,0.5\n", "inverted"),
        ("detections.csv", lambda text: text + "grad_cam,test00000,0,0,1,1,0.5,7\n", "7 cells"),
        ("ground_truth.csv", lambda text: text + "test00000,0,0,1,1e300,0,0\n", "coordinate above"),
        ("ground_truth.csv", lambda text: text + "test00000,0,0,1,1,0,yes\n", "yes"),
        ("images.csv", lambda text: text.replace(",133,", ",inf,", 1), "inf"),
        ("images.csv", lambda text: text.rstrip("\n")[:-1] + "e1\n", "do not fit together"),
        ("detections.csv", lambda text: text + "grad_cam,test00000,0,0,1,nan,0\n", "nan"),
        ("detections.csv", lambda text: text + "grad_cam,test00000,0,0,1_0,10,0\n", "1_0"),
        ("images.csv", lambda text: text + text.splitlines()[1] + "\n", "twice"),
        ("images.csv", lambda text: text.replace("0.", "1e999", 1), "1e999"),
    ],
)
def test_a_damaged_table_is_named(two, name, change, said):
    before, after = two
    path = after / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RecordError, match=f"{name} was changed"):
        compare_runs(before, after)
    reseal(after)
    with pytest.raises(RecordError, match=said):
        compare_runs(before, after)
    assert_one_line(invoke(["diff", str(before), str(after)]), 1, said)
