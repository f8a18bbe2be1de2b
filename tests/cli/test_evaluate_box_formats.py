"""`dogcam evaluate-boxes` on the files of other programs, with pycocotools as the oracle."""

import contextlib
import io
import json
import re
from itertools import product

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dogcam.cli.main import main
from dogcam.data.formats import format_named
from dogcam.structures.images import LabelledObject
from tests.support.data_sets import SIZES, make_split

IOUS = (0.3, 0.5, 0.75)
CLASSES = ("cat", "dog")


def random_boxes(generator: np.random.Generator, name: str, count: int) -> list[tuple[int, int, int, int]]:
    height, width = SIZES[name]
    corners = generator.integers(0, (width - 1, height - 1), (count, 2))
    sides = generator.integers(
        1, (width - corners[:, 0] + 1, height - corners[:, 1] + 1)[0].max(), (count, 2)
    )
    stops = np.minimum(corners + sides, (width, height))
    return [(int(x0), int(y0), int(x1), int(y1)) for (x0, y0), (x1, y1) in zip(corners, stops, strict=True)]


def make_case(seed: int):
    """Return objects by image, crowds among them, and detections: (image, class, box, score)."""
    generator = np.random.default_rng(seed)
    objects, found = {}, []
    for name in SIZES:
        boxes = random_boxes(generator, name, 5)
        objects[name] = tuple(
            LabelledObject(CLASSES[place % 2], tuple(map(float, box)), crowd=place == 4 and seed % 2 == 1)
            for place, box in enumerate(boxes)
        )
        near = [tuple(np.clip(np.array(box) + generator.integers(-1, 2, 4), 0, None)) for box in boxes]
        for box in [*near, *random_boxes(generator, name, 6)]:
            height, width = SIZES[name]
            x0, y0 = min(box[0], width - 1), min(box[1], height - 1)
            whole = (
                int(x0),
                int(y0),
                int(max(x0 + 1, min(box[2], width))),
                int(max(y0 + 1, min(box[3], height))),
            )
            score = float(generator.integers(1, 6) / 5)
            found.append((name, CLASSES[int(generator.integers(2))], whole, score))
    return objects, found


@pytest.fixture
def files(tmp_path):
    """Write one case in every format; return truth and detections by the name of the format."""

    def write(seed: int):
        objects, found = make_case(seed)
        split = make_split(tmp_path / "photographs", objects)
        for name in ("voc", "coco", "csv", "yolo"):
            format_named(name).write(tmp_path / name, [split])
        results = tmp_path / "results"
        write_results(results, tmp_path / "coco/annotations/instances_val.json", found)
        return {
            "voc": (tmp_path / "voc", results / "voc"),
            "coco": (tmp_path / "coco", results / "coco.json"),
            "csv": (tmp_path / "csv", results / "boxes.csv"),
            "yolo": (tmp_path / "yolo", results / "yolo"),
        }

    return write


def write_results(folder, annotation, found):
    document = json.loads(annotation.read_text())
    images = {re.sub(r"\.\w+$", "", each["file_name"]): each["id"] for each in document["images"]}
    numbers = {each["name"]: each["id"] for each in document["categories"]}
    for part in ("voc", "yolo/s"):
        (folder / part).mkdir(parents=True)
    entries, voc, rows, yolo = [], dict.fromkeys(CLASSES, ""), ["image,class,x0,y0,x1,y1,score"], {}
    for name, label, (x0, y0, x1, y1), score in found:
        height, width = SIZES[name]
        bbox = [x0, y0, x1 - x0, y1 - y0]
        entries.append(
            {"image_id": images[name], "category_id": numbers[label], "bbox": bbox, "score": score}
        )
        voc[label] += f"{name} {score} {x0 + 1} {y0 + 1} {x1} {y1}\n"
        rows.append(f"{name}.jpg,{label},{x0},{y0},{x1},{y1},{score}")
        centre = f"{(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f}"
        size = f"{(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}"
        yolo[name] = yolo.get(name, "") + f"{CLASSES.index(label)} {centre} {size} {score}\n"
    (folder / "coco.json").write_text(json.dumps(entries))
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    for label, text in voc.items():
        (folder / "voc" / f"comp3_det_val_{label}.txt").write_text(text)
    for name, text in yolo.items():
        (folder / "yolo" / f"{name}.txt").write_text(text)


def measured(truth, found, *options):
    command = ["evaluate-boxes", str(truth), str(found), "--json", "--iou", *map(str, IOUS), *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize("match", ["greater", "at-least", "coco"])
def test_the_same_boxes_in_every_format_give_the_same_numbers(files, match):
    case = files(2)
    rows = {name: measured(*paths, "--match", match) for name, paths in case.items()}
    assert len(rows["coco"]) == len(IOUS) * (len(CLASSES) + 1)
    assert all(each == rows["coco"] for each in rows.values())
    mixed = measured(case["voc"][0], case["csv"][1], "--match", match)
    assert mixed == rows["coco"]


def coco_ap(annotation, results):
    """Return AP and the last recall of pycocotools by class and IoU threshold."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotation))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        evaluation.params.iouThrs = np.array(IOUS)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    names = [each["name"] for each in truth.loadCats(evaluation.params.catIds)]
    return {
        (names[k], IOUS[t]): (precision[t, :, k, 0, 2].mean(), recall[t, k, 0, 2])
        for t, k in product(range(len(IOUS)), range(len(names)))
    }


@pytest.mark.parametrize("seed", range(12))
def test_the_rule_of_coco_agrees_with_pycocotools(files, seed):
    truth, found = files(seed)["coco"]
    expected = coco_ap(truth / "annotations/instances_val.json", found)
    rows = {
        (row["class"], row["iou"]): (row["ap"], row["recall"])
        for row in measured(truth, found, "--match", "coco") if row["class"] is not None
    }  # fmt: skip
    assert rows.keys() == expected.keys()
    for key, values in expected.items():
        assert rows[key] == pytest.approx(values, abs=1e-12)


def test_an_iou_of_exactly_a_half_matches_by_the_rule_of_the_development_kit(tmp_path):
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    document = {"images": [{"id": "a", "width": 500, "height": 400, "dogs": [[1, 1, 10, 10]]}]}
    truth.write_text(json.dumps(document))
    found.write_text(json.dumps({"a": [[1, 1, 10, 20, 0.9]]}))
    for rule, ap in (("greater", 0.0), ("at-least", 1.0), ("coco", 1.0)):
        assert measured(truth, found, "--match", rule)[1] == {
            "iou": 0.5,
            "ap": pytest.approx(ap),
            "recall": ap,
        }


def test_difficult_objects_are_counted_ignored_or_absent(tmp_path):
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    boxes = [[10, 10, 50, 50], [200, 200, 220, 220]]
    image = {"id": "a", "width": 500, "height": 400, "dogs": boxes, "difficult": [0, 1]}
    truth.write_text(json.dumps({"images": [image]}))
    found.write_text(json.dumps({"a": [[200, 200, 220, 220, 0.95], [10, 10, 50, 50, 0.9]]}))
    for rule, ap, recall in (("counted", 1.0, 1.0), ("ignored", 1.0, 1.0), ("absent", 0.5, 1.0)):
        row = measured(truth, found, "--difficult", rule)[1]
        assert (row["ap"], row["recall"]) == (ap, recall)
    found.write_text(json.dumps({"a": [[10, 10, 50, 50, 0.9]]}))
    for rule, recall in (("counted", 0.5), ("ignored", 1.0), ("absent", 1.0)):
        assert measured(truth, found, "--difficult", rule)[1]["recall"] == recall


def test_crowds_are_ignored_or_counted(tmp_path):
    objects = dict.fromkeys(SIZES, ()) | {
        "a": (
            LabelledObject("dog", (1.0, 1.0, 9.0, 9.0)),
            LabelledObject("dog", (10.0, 10.0, 30.0, 30.0), crowd=True),
        )
    }
    format_named("coco").write(tmp_path / "coco", [make_split(tmp_path / "photographs", objects)])
    found = tmp_path / "found.csv"
    found.write_text("image,class,x0,y0,x1,y1,score\na,dog,12,12,20,20,0.95\na,dog,1,1,9,9,0.9\n")
    # In a crowd: no match by VOC's IoU (64 / 400), a match by COCO's (64 / 64).
    for rule, crowd, ap, recall in (
        ("greater", "ignored", 0.5, 1.0),
        ("greater", "counted", 0.25, 0.5),
        ("coco", "ignored", 1.0, 1.0),
    ):
        row = measured(tmp_path / "coco", found, "--match", rule, "--crowd", crowd)[1]
        assert (row["ap"], row["recall"]) == (pytest.approx(ap), recall)


def test_one_class_is_measured_alone(files):
    truth, found = files(2)["voc"]
    rows = measured(truth, found, "--target", "dog")
    both = measured(truth, found)
    assert rows == [
        {key: row[key] for key in ("iou", "ap", "recall")} for row in both if row["class"] == "dog"
    ]
    result = CliRunner().invoke(main, ["evaluate-boxes", str(truth), str(found), "--target", "fox"])
    assert result.exit_code == 1
    assert "'fox'" in result.stderr


def test_the_table_has_classes_means_and_the_sign_of_the_rule(files):
    truth, found = files(2)["csv"]
    for rule, sign in (("greater", "IoU > "), ("at-least", "IoU >=")):
        output = CliRunner().invoke(main, ["evaluate-boxes", str(truth), str(found), "--match", rule]).output
        assert sign in output
        assert all(word in output for word in ("cat", "dog", "mean"))


def test_the_file_is_written_before_anything_is_printed(files, tmp_path, monkeypatch):
    truth, found = files(2)["csv"]
    monkeypatch.setattr("dogcam.cli.evaluate_boxes._print_report", lambda *args: 1 / 0)
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, ["evaluate-boxes", str(truth), str(found), "--out", str(out)])
    assert isinstance(result.exception, ZeroDivisionError)
    assert json.loads(out.read_text())[0]["class"] == "cat"


def coco_result(**changes) -> str:
    return json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1} | changes])


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "coco.json",
            '[{"image_id": 99, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1}]',
            "entry 0.*99",
        ),
        (
            "coco.json",
            '[{"image_id": 1, "category_id": 99, "bbox": [1, 1, 2, 2], "score": 1}]',
            "entry 0.*99",
        ),
        (
            "coco.json",
            '[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2], "score": 1}]',
            r"entry 0.*1, 1, 2\]",
        ),
        ("coco.json", '[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]', "entry 0.*score"),
        ("x.csv", "image,class,x0,y0,x1,y1,score\na.jpg,dog,1,1,2,2,\n", "line 2.*score"),
        ("x.csv", "image,class,x0,y0,x1,y1\na.jpg,dog,1,1,2,2\n", "line 2.*score"),
        ("det_dog.txt", "a 0.5 1 1 2\n", "line 1"),
        ("det_dog.txt", "zebra 0.5 1 1 2 2\n", "'zebra'"),
        ("det_dog.txt", "a 0.5 1 1 nan 2\n", "line 1.*nan"),
        ("det_dog.txt", "a 0.5 100 100 200 200\n", "'a'.* 40 x 30"),
    ],
)
def test_faults_of_results_name_file_place_and_value(files, tmp_path, name, content, fault):
    truth, _ = files(2)["coco"]
    path = tmp_path / name
    path.write_text(content)
    result = CliRunner().invoke(main, ["evaluate-boxes", str(truth), str(path)])
    assert result.exit_code == 1
    assert re.search(rf"{re.escape(str(path))}.*{fault}", result.stderr), result.stderr
