"""The command `dogcam detect`: files, folders and lists in; COCO, VOC, YOLO and CSV out."""

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

import dogcam
from dogcam.cli.main import main
from dogcam.detection.presets import find_preset, locator
from dogcam.structures.presets import LOCALISER, PRESET_NAMES
from tests.support.localisers import localiser_for
from tests.support.runs import assert_one_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images of noise, one of them in a folder below, and a file that is none."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    (root / "below").mkdir()
    for path in (root / "b.PNG", root / "below" / "a.jpg"):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(path)
    (root / "notes.txt").write_text("below/a.jpg\n\nb.PNG\n")
    return root


@pytest.fixture(scope="module")
def expected(folder):
    classifier = dogcam.load_classifier("sample_net", device="cpu")
    return {
        path.stem: dogcam.detect(path, classifier, ["dog", "cat"])[0]
        for path in (folder / "b.PNG", folder / "below" / "a.jpg")
    }


def detect(*words):
    options = ("--model", "sample_net", "--device", "cpu", "--target", "dog", "--target", "cat")
    return CliRunner().invoke(main, ["detect", *map(str, words), *options, "--score-threshold", "0"])


def test_coco_is_read_by_pycocotools(folder, expected, tmp_path):
    out = tmp_path / "found.json"
    result = detect(folder, "--out", out)
    assert result.exit_code == 0, result.output
    coco = COCO(str(out))
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["dog", "cat"]
    for image in coco.loadImgs(coco.getImgIds()):
        wanted = expected[image["file_name"].rpartition("/")[2].partition(".")[0]]
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert (image["height"], image["width"]) == (60, 90)
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (each["bbox"] for each in found)]
        assert np.array(boxes) == pytest.approx(wanted.boxes)
        assert [each["score"] for each in found] == pytest.approx(wanted.scores.tolist())
        assert [coco.cats[each["category_id"]]["name"] for each in found] == wanted.labels


def test_voc_yolo_and_csv_hold_the_same_boxes(folder, expected, tmp_path):
    for name, out in (("voc", "voc"), ("yolo", "yolo"), ("csv", "boxes.csv")):
        assert detect(folder / "notes.txt", "--format", name, "--out", tmp_path / out).exit_code == 0
    rows = list(csv.DictReader((tmp_path / "boxes.csv").open()))
    assert next(row["image"].rpartition("/")[2] for row in rows if row["image"]) == "a.jpg"
    for stem, wanted in expected.items():
        objects = ET.parse(tmp_path / "voc" / f"{stem}.xml").getroot().iter("object")
        voc = [[float(each.find("bndbox")[n].text) for n in range(4)] for each in objects]
        assert np.array(voc) == pytest.approx(wanted.boxes + [1, 1, 0, 0], abs=0.006)
        lines = (tmp_path / "yolo" / "labels" / f"{stem}.txt").read_text().splitlines()
        yolo = np.array([line.split() for line in lines], dtype=float)
        x, y, w, h = (yolo[:, 1:5] * [90, 60, 90, 60]).T
        assert np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1) == pytest.approx(
            wanted.boxes, abs=1e-4
        )
        assert [["dog", "cat"][int(number)] for number in yolo[:, 0]] == wanted.labels
        mine = [row for row in rows if f"/{stem}." in row["image"]]
        found = [[float(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in mine]
        assert np.array(found) == pytest.approx(wanted.boxes)


def test_all_targets_and_the_score_threshold(folder, tmp_path):
    words = ("detect", folder / "b.PNG", "--model", "sample_net", "--device", "cpu", "--target", "all")
    out = tmp_path / "found.json"
    done = CliRunner().invoke(main, [*map(str, words), "--out", str(out), "--score-threshold", "0.02"])
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert len(document["categories"]) == 9
    assert all(each["score"] >= 0.02 for each in document["annotations"])


def test_what_cannot_be_detected_in_is_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_line(detect(tmp_path / "empty"), 1, "holds no image")
    assert_one_line(detect(folder / "none.jpg", "--out", tmp_path / "x"), 1, "none.jpg cannot be read")
    (tmp_path / "b.jpg").write_bytes((folder / "below" / "a.jpg").read_bytes())
    assert_one_line(detect(folder, tmp_path, "--format", "voc", "--out", tmp_path), 1, "called b", "--out")
    assert_one_line(detect(folder, "--target", "unicorn"), 1, "'unicorn'")


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_preset_finds_the_boxes_of_its_locator(folder, tmp_path, name):
    out = tmp_path / "found.csv"
    classifier = dogcam.load_classifier("sample_net", device="cpu")
    options, localiser = ("--preset", name), None
    if name == LOCALISER:
        localiser, options = localiser_for(classifier), ("--localiser", tmp_path / "localiser.safetensors")
        localiser.save(options[1])
    result = detect(folder / "b.PNG", *options, "--format", "csv", "--out", out)
    assert result.exit_code == 0, result.output
    rows = [[row["class"], *(float(row[key]) for key in ("x0", "y0", "x1", "y1", "score"))]
            for row in csv.DictReader(out.open()) if row["class"]]  # fmt: skip
    located = locator(find_preset(name), classifier, ["dog", "cat"], localiser)(Image.open(folder / "b.PNG"))
    expected = [[target, *box.tolist(), score] for target, (boxes, scores) in zip(("dog", "cat"), located,
                strict=True) for box, score in zip(boxes, scores, strict=True)]  # fmt: skip
    assert rows == expected and len(rows) > 0


def test_a_preset_replaces_the_options_of_the_map(folder):
    result = detect(folder, "--preset", "best", "--cam-threshold", "0.4")
    assert_one_line(result, 1, "--cam-threshold", "best")


def test_a_localiser_and_its_preset_are_given_together(folder, tmp_path):
    assert_one_line(detect(folder, "--preset", "localiser"), 1, "--localiser", "train-localiser")
    file = tmp_path / "localiser.safetensors"
    assert_one_line(detect(folder, "--preset", "best", "--localiser", file), 1, "--preset best")
    assert_one_line(detect(folder, "--localiser", file), 1, file.name)


@pytest.mark.parametrize("name", ["fast", "best"])
def test_a_preset_of_proposals_has_no_batches(folder, name):
    result = detect(folder, "--preset", name, "--batch-size", "2")
    assert_one_line(result, 1, "--batch-size", name)


def test_the_published_preset_is_what_the_command_does_by_itself(folder, tmp_path):
    written = []
    for options in ((), ("--preset", "published")):
        out = tmp_path / f"{len(options)}.csv"
        result = detect(folder, *options, "--format", "csv", "--out", out)
        assert result.exit_code == 0, result.output
        written.append(out.read_text())
    assert written[0] == written[1] and written[0].count("\n") > 2
