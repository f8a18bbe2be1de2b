"""`dogcam-report run` on a folder of photographs without annotations."""

import csv
import shutil

import pytest

import dogcam
import report
from dogcam.data.reading import read_split
from report.pipeline import photographs
from report.record.io import read_record, read_results
from report.record.photographs import Photographs
from tests.support.runs import BATCH, assert_one_line, invoke


@pytest.fixture(scope="module")
def folder(small_data, tmp_path_factory):
    target = tmp_path_factory.mktemp("photographs")
    for image in read_split(small_data, "test").images[:6]:
        shutil.copy(image.path, target)
    return target


@pytest.fixture(scope="module")
def done(folder, small_checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    result = invoke(
        ["run", "--data", str(folder), "--model", "sample_net", "--checkpoint", str(small_checkpoint),
         "--target", "dog", "--target", "person", "--batch-size", str(BATCH), "--device", "cpu",
         "--out", str(out)]
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out


def test_the_boxes_are_those_of_detect(done, folder, small_checkpoint):
    classifier = dogcam.load_classifier("sample_net", small_checkpoint, device="cpu")
    paths = sorted(folder.glob("*.jpg"))
    expected = []
    for path, result in zip(paths, dogcam.detect(paths, classifier, ["dog", "person"]), strict=True):
        for name, box, score in zip(result.labels, result.boxes, result.scores, strict=True):
            if score >= 0.05:
                expected.append((name, path.stem, *box.tolist(), score))
    with (done / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [
        (row["class"], row["image"], *(float(row[key]) for key in ("x0", "y0", "x1", "y1"))) for row in rows
    ]
    assert found == [each[:6] for each in expected]
    assert [float(row["score"]) for row in rows] == pytest.approx([each[6] for each in expected], rel=1e-5)


def test_a_photograph_that_changes_during_the_run_is_refused(folder, small_checkpoint, tmp_path, monkeypatch):
    path, draw = min(folder.glob("*.jpg")), photographs._draw

    def changes(*given):
        content = path.read_bytes()
        path.write_bytes(b"other")
        path.write_bytes(content)
        return draw(*given)

    monkeypatch.setattr(photographs, "_draw", changes)
    words = ["--model", "sample_net", "--checkpoint", str(small_checkpoint), "--device", "cpu"]
    result = invoke(["run", "--data", str(folder), "--limit", "2", *words, "--out", str(tmp_path / "run")])
    assert_one_line(result, 1, str(path))
    assert not (tmp_path / "run" / "results.json").exists()


def test_the_record_counts_what_the_table_lists(done):
    record = read_record(done)
    with (done / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert isinstance(record, Photographs)
    assert record.n_images == 6 and record.n_boxes == len(rows)
    assert record.n_empty == 6 - len({row["image"] for row in rows})
    for each in record.classes:
        of = [row for row in rows if row["class"] == each.name]
        assert (each.n_boxes, each.n_images) == (len(of), len({row["image"] for row in of}))


def test_the_page_states_that_nothing_is_measured(done):
    for name in ("report.html", "report.md"):
        text = (done / name).read_text()
        assert "Nothing is measured" in text
    assert " CI" not in (done / "report.md").read_text()
    assert "data:image/webp" in (done / "report.html").read_text()


def test_its_numbers_are_those_of_the_record_and_it_renders_again(done):
    before = (done / "report.html").read_bytes()
    assert invoke(["render", str(done)]).exit_code == 0
    assert (done / "report.html").read_bytes() == before
    checked = invoke(["check", str(done)])
    assert checked.exit_code == 0, checked.output


def test_what_compares_measures_refuses_it(done, finished):
    result = invoke(["diff", str(done), str(finished)])
    assert result.exit_code == 1 and "without annotations" in result.output
    required = invoke(["check", str(done), "--require", "grad_cam.ap@0.5 >= 0"])
    assert required.exit_code == 1 and "without annotations" in required.output


def test_a_precision_cannot_be_asked_for(folder, small_checkpoint, tmp_path):
    result = invoke(
        ["run", "--data", str(folder), "--model", "sample_net", "--checkpoint", str(small_checkpoint),
         "--precision", "0.9", "--out", str(tmp_path / "run")]
    )  # fmt: skip
    assert result.exit_code == 1 and "--precision" in result.output


def test_python_gets_the_same_record(folder, done, small_checkpoint, tmp_path):
    record = report.run_report(
        folder,
        tmp_path,
        target=["dog", "person"],
        model="sample_net",
        checkpoint=small_checkpoint,
        batch_size=BATCH,
        device="cpu",
    )
    expected = read_record(done)
    assert (record.classes, record.items, record.files) == (expected.classes, expected.items, expected.files)


def test_a_run_on_annotated_images_is_read_as_before(finished):
    assert read_record(finished) == read_results(finished)


def options_of(data, checkpoint, out):
    return ["run", "--data", str(data), "--model", "sample_net", "--checkpoint", str(checkpoint),
            "--batch-size", str(BATCH), "--device", "cpu", "--out", str(out)]  # fmt: skip


def test_a_truncated_photograph_is_refused_before_the_work_or_skipped(folder, small_checkpoint, tmp_path):
    data = shutil.copytree(folder, tmp_path / "data")
    photo = sorted(data.glob("*.jpg"))[-1]
    photo.write_bytes(photo.read_bytes()[:-2000])
    refused = invoke(options_of(data, small_checkpoint, tmp_path / "out"))
    assert refused.exit_code == 1 and photo.name in refused.stderr
    assert "detect" not in refused.stderr
    skipped = invoke([*options_of(data, small_checkpoint, tmp_path / "out"), "--on-error", "skip"])
    assert skipped.exit_code == 0, skipped.output
    record = read_record(tmp_path / "out")
    assert (record.n_images, record.n_skipped_images) == (5, 1)


def test_a_faulty_date_is_refused_before_photographs_are_read(
    folder, small_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "abc")
    refused = invoke(options_of(folder, small_checkpoint, tmp_path / "out"))
    assert refused.exit_code == 1 and "SOURCE_DATE_EPOCH" in refused.stderr
    assert not (tmp_path / "out" / "gallery").exists()
