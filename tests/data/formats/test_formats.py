"""One data set in every format: recognised, equal to the last bit, and refused by name if it is malformed."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pycocotools import mask as coco_masks

from dogcam.data import formats
from dogcam.data.box_files import truth
from dogcam.data.conversion import convert
from dogcam.data.formats import FORMATS, boxes_csv, coco, format_named, image_folder, recognise, yolo
from dogcam.data.formats.base import Annotation, Listing
from dogcam.data.reading import read_split, split_ids, split_names
from dogcam.errors import DataError, OutputError
from dogcam.structures.images import LabelledObject
from dogcam.structures.rules import ReadRules
from tests.support.data_sets import OBJECTS, SIZES, make_split, photograph

ANNOTATED = [each.NAME for each in formats.ANNOTATED]
FLAGGED = OBJECTS | {
    "b": (
        LabelledObject("dog", (1.0, 2.0, 9.0, 8.0), difficult=True, truncated=True),
        LabelledObject("dog", (0.0, 0.0, 36.0, 24.0), crowd=True),
    )
}


def seen(split):
    return [(image.id, image.size, image.objects) for image in split.images]


@pytest.fixture
def written(tmp_path):
    def write(name, objects=OBJECTS):
        form = format_named(name)
        form.write(tmp_path / name, [make_split(tmp_path / "photographs", objects)])
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ANNOTATED)
def test_every_format_gives_the_same_images_and_manifest(written, tmp_path, name):
    original = make_split(tmp_path / "photographs")
    folder = written(name)
    form, _ = recognise(folder)
    assert name == form.NAME
    assert split_names(folder) == ("val",)
    found = read_split(folder, "val")
    assert seen(found) == seen(original)
    assert found.manifest == original.manifest
    assert found.has_truth


@pytest.mark.parametrize("name", ["voc", "coco", "csv"])
def test_flags_survive_where_the_format_has_a_place_for_them(written, tmp_path, name):
    assert seen(read_split(written(name, FLAGGED), "val")) == seen(
        make_split(tmp_path / "photographs", FLAGGED)
    )


@pytest.mark.parametrize("name", ["coco", "csv"])
@pytest.mark.parametrize("box", [(0.1, 0.2, 7.3, 20.7), (1 / 3, 2 / 3, 29.1, 28.000001)])
def test_sub_pixel_boxes_are_equal_to_the_last_bit(written, name, box):
    objects = OBJECTS | {"a": (LabelledObject("dog", box),)}
    assert read_split(written(name, objects), "val").images[0].objects[0].box == box


def test_a_plain_folder_has_images_without_truth(written):
    found = read_split(written("folder"), "val")
    assert [(image.id, image.size) for image in found.images] == [("a", (30, 40)), ("b", (24, 36))]
    assert not found.has_truth
    assert found.class_names() == ()


def test_photographs_of_one_stem_keep_their_suffix(tmp_path):
    for name in ("a.jpg", "a.png", "b.webp"):
        photograph(tmp_path / name, (8, 9))
    assert split_names(tmp_path) == ("all",)
    assert [image.id for image in read_split(tmp_path, "all").images] == ["a.jpg", "a.png", "b"]


def test_an_unknown_form_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "absent"):
        with pytest.raises(DataError, match=re.escape(str(path))) as caught:
            recognise(path)
        assert all(each.NAME in str(caught.value) for each in FORMATS)


@pytest.mark.parametrize("name", ANNOTATED)
def test_an_unknown_split_is_refused_with_the_known_ones(written, name):
    with pytest.raises(DataError, match=r"(?s)test.*val"):
        read_split(written(name), "test")


@pytest.mark.parametrize("source", ANNOTATED)
@pytest.mark.parametrize("target", ANNOTATED)
def test_conversion_is_exact_from_and_to_every_format(written, tmp_path, source, target):
    done = convert(written(source), tmp_path / "out", format_named(target), ReadRules())
    assert done.losses == ()
    assert seen(read_split(tmp_path / "out", "val")) == seen(make_split(tmp_path / "photographs"))
    first = read_split(tmp_path / "out", "val").images[0]
    assert first.path.read_bytes() == (tmp_path / "photographs" / "a.jpg").read_bytes()


def test_a_loss_is_refused_or_stated(written, tmp_path):
    folder = written("coco", FLAGGED)
    with pytest.raises(DataError, match=r"crowd flags \(1\).*difficult flags \(1\).*truncated flags \(1\)"):
        convert(folder, tmp_path / "out", yolo, ReadRules())
    assert not (tmp_path / "out").exists()
    done = convert(folder, tmp_path / "out", yolo, ReadRules(), allow_loss=True)
    assert done.losses == ("crowd flags (1)", "difficult flags (1)", "truncated flags (1)")


def test_a_conversion_overwrites_nothing(written, tmp_path):
    folder = written("voc")
    with pytest.raises(OutputError, match=re.escape(str(tmp_path))):
        convert(folder, tmp_path, coco, ReadRules())


def test_yolo_files_of_six_digits_give_whole_pixels(written):
    folder = written("yolo")
    for path in (folder / "labels").rglob("*.txt"):
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{row[0]} {' '.join(f'{float(x):.6f}' for x in row[1:])}\n" for row in rows))
    assert [image.objects for image in read_split(folder, "val").images] == list(OBJECTS.values())


def test_a_yolo_polygon_gives_its_box_and_a_missing_label_file_no_object(written):
    folder = written("yolo")
    (folder / "labels/val/a.txt").write_text("1 0.25 0.1 0.5 0.9 0.75 0.2\n")
    (folder / "labels/val/s/c.txt").unlink()
    found = read_split(folder, "val")
    assert found.images[0].objects == (LabelledObject("dog", (10.0, 3.0, 30.0, 27.0)),)
    assert found.images[2].objects == ()


@pytest.mark.parametrize("names", [["cat", "dog"], {0: "cat", 1: "dog"}])
def test_yolo_lists_and_moved_folders(written, names):
    folder = written("yolo")
    (folder / "val.txt").write_text("./images/val/s/c.jpg\n./images/val/a.jpg\n")
    stated = {"path": "/somewhere/else", "val": "../val.txt", "names": names, "nc": 2}
    (folder / "data.yaml").write_text(yaml.safe_dump(stated))
    found = read_split(folder / "data.yaml", "val")
    assert [(image.id, image.objects) for image in found.images] == [
        ("s/c", OBJECTS["s/c"]),
        ("a", OBJECTS["a"]),
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("7 0.5 0.5 0.1 0.1", "7"),
        ("0 0.5 0.5 0.1", "3"),
        ("0 0.5 0.5 0.1 nan", "nan"),
        ("0 0.5 0.5 0.1 x", "'x'"),
        ("0 0.9 0.5 0.4 0.1", "40 x 30"),
    ],
)
def test_faults_of_a_label_file_name_file_and_value(written, row, fault):
    path = written("yolo") / "labels/val/a.txt"
    path.write_text(f"0 0.5 0.5 0.1 0.1\n{row}\n")
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}.*{fault}"):
        read_split(path.parents[2], "val")


@pytest.mark.parametrize("number", ["1e308", "1e300"])
def test_a_yolo_number_of_300_digits_is_a_box_outside(written, number):
    folder = written("yolo")
    (folder / "labels/val/a.txt").write_text(f"0 {number} 0.5 {number} 0.5\n")
    with pytest.raises(DataError, match=r"a\.txt"):
        read_split(folder, "val")


def test_yolo_without_any_label_file_is_not_taken_for_empty_pictures(written):
    folder = written("yolo")
    for path in (folder / "labels").rglob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"a\.txt"):
        read_split(folder, "val")


def change_coco(folder, change):
    path = folder / "annotations/instances_val.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_a_coco_file_alone_and_an_export_are_read(written, tmp_path):
    folder = written("coco")
    path = folder / "annotations/instances_val.json"
    assert seen(read_split(path, "val")) == seen(read_split(folder, "val"))
    exported = tmp_path / "export" / "valid"
    for image in read_split(folder, "val").images:
        photograph(exported / f"{image.id}{image.path.suffix}", image.size)
    (exported / "_annotations.coco.json").write_bytes(path.read_bytes())
    assert [image.objects for image in read_split(tmp_path / "export", "valid").images] == list(
        OBJECTS.values()
    )


def test_polygons_and_run_lengths_give_the_boxes_that_pycocotools_gives(written):
    height, width = SIZES["a"]
    polygons = [[3, 4, 20, 4, 20, 15], [22, 10, 30, 10, 30, 28, 22, 28]]
    packed = coco_masks.merge(coco_masks.frPyObjects(polygons, height, width))
    dense = coco_masks.decode(packed)
    runs, value = [0], 0
    for pixel in dense.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    outlines = [
        polygons,
        {"size": [height, width], "counts": packed["counts"].decode()},
        {"size": [height, width], "counts": runs},
    ]

    def outline(document):
        document["annotations"] = [
            {"id": n, "image_id": 1, "category_id": 1, "segmentation": each, "iscrowd": int(n == 2)}
            for n, each in enumerate(outlines)
        ]

    path = change_coco(written("coco"), outline)
    first, *others = read_split(path.parents[1], "val").images[0].objects
    assert first.box == (3.0, 4.0, 30.0, 28.0)
    x, y, w, h = coco_masks.toBbox(packed).tolist()
    assert [thing.box for thing in others] == [(x, y, x + w, y + h)] * 2
    assert [thing.crowd for thing in (first, *others)] == [False, False, True]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda d: d["annotations"][0].update(category_id=99), "99"),
        (lambda d: d["annotations"][0].update(image_id=99), "99"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), r"\[1, 2, 3\]"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 10**400, 4]), "annotation 1"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 1e154, 4]), r"1e\+154"),
        (lambda d: d["annotations"][0].update(bbox=[0.1, 0.1, 0.2, 0.2]), "fractions.* 40 x 30"),
        (lambda d: d["annotations"][0].update(bbox=[30, 2, 20, 4]), "50.* 40 x 30"),
        (lambda d: d["images"].append(d["images"][0]), "1"),
        (lambda d: d["images"][0].update(width=41), "41 x 30"),
        (lambda d: d["images"][0].update(file_name="../../x.jpg"), "x.jpg"),
        (lambda d: d["categories"].append({"id": 1, "name": "fox"}), "twice"),
        (lambda d: d.pop("categories"), "categories"),
        (lambda d: d.update(images=[1]), "entry 0"),
    ],
)  # fmt: skip
def test_faults_of_a_coco_file_name_file_and_value(written, change, fault):
    path = change_coco(written("coco"), change)
    with pytest.raises(DataError, match=rf"instances_val\.json.*{fault}|{fault}.*instances_val\.json"):
        read_split(path.parents[1], "val")


@pytest.mark.parametrize(
    ("columns", "shift"), [(boxes_csv.HALF_OPEN, 0), (boxes_csv.INCLUSIVE, 1)], ids=["half-open", "inclusive"]
)
def test_the_columns_of_a_csv_state_its_pixel_convention(written, columns, shift):
    folder = written("csv")
    with (folder / "val.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label", *columns])
        for name, objects in OBJECTS.items():
            for thing in objects:
                x0, y0, x1, y1 = thing.box
                writer.writerow([f"{name}.jpg", thing.name, x0 + shift, y0 + shift, x1, y1])
        writer.writerow(["b.PNG", "", "", "", "", ""])
    found = {image.id: image.objects for image in read_split(folder, "val").images}
    assert found == OBJECTS


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_csv_of_a_spreadsheet_has_other_delimiters(written, delimiter):
    path = written("csv") / "val.csv"
    path.write_text(path.read_text().replace(",", delimiter))
    assert {image.id: image.objects for image in read_split(path.parent, "val").images} == OBJECTS


def test_annotations_of_no_known_format_are_noted(tmp_path, caplog):
    """A folder whose annotations cannot be read is a folder of images; this must not go unnoticed."""
    photograph(tmp_path / "a.jpg", (8, 9))
    for name in ("detections.csv", "notes.txt"):
        (tmp_path / name).write_text("nothing")
    assert not read_split(tmp_path, "all").has_truth and caplog.text == ""
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    read_split(tmp_path, "all")
    assert "a.txt may be annotations" in caplog.text
    (tmp_path / "Boxes.CSV").write_text("image,left,top,right,bottom\na.jpg,1,1,5,5\n")
    read_split(tmp_path, "all")
    assert "Boxes.CSV and 1 more" in caplog.text and "image, left, top, right, bottom" in caplog.text


def test_the_ids_of_a_folder_are_listed_without_a_search_for_annotations(tmp_path, monkeypatch):
    photograph(tmp_path / "a.jpg", (8, 9))
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("the folder is searched"))
    assert split_ids(tmp_path, "all") == ["a"]


def test_the_images_of_a_coco_file_are_found_without_the_first(written):
    folder = written("coco")
    first = read_split(folder, "val").images[0]
    first.path.unlink()
    found = read_split(folder, "val", rules=replace(ReadRules(), on_error="skip"))
    assert found.skipped_images == (first.id,) and len(found.images) == len(SIZES) - 1


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.jpg,40,30,dog,1,1,x,5,0,0,0", "line 2.*'x'"),
        ("a.jpg,40,30,dog,1,1,inf,5,0,0,0", "line 2.*'inf'"),
        ("a.jpg,40,30,,1,1,4,5,0,0,0", "line 2.*class"),
        ("a.jpg,40,30,dog,1,1,4,5,2,0,0", "line 2.*difficult"),
        ("a.jpg,40,30,dog,1,1,4,5", "line 2.*8"),
        ("a.jpg,40,31,dog,1,1,4,5,0,0,0", "40 x 31"),
        ("a.jpg,40,30,dog,5,1,4,5,0,0,0", "5, 1, 4, 5"),
        ('"a.jpg,40', "CSV"),
    ],
)
def test_faults_of_a_csv_name_file_line_and_value(written, row, fault):
    path = written("csv") / "val.csv"
    head = path.read_text().splitlines()[0]
    path.write_text(f"{head}\n{row}\n")
    with pytest.raises(DataError, match=rf"val\.csv.*{fault}"):
        read_split(path, "val")


def test_clip_and_skip_are_counted(written):
    objects = OBJECTS | {"a": (*OBJECTS["a"], LabelledObject("dog", (-3.0, 2.0, 5.0, 9.0)))}
    folder = written("csv", objects)
    with pytest.raises(DataError, match=r"-3, 2, 5, 9.* 40 x 30"):
        read_split(folder, "val")
    clipped = read_split(folder, "val", rules=ReadRules("clip"))
    assert (clipped.n_clipped, clipped.n_skipped) == (1, 0)
    assert clipped.images[0].objects[2].box == (0.0, 2.0, 5.0, 9.0)
    skipped = read_split(folder, "val", rules=ReadRules("skip"))
    assert (skipped.n_clipped, skipped.n_skipped) == (0, 1)
    assert skipped.images[0].objects == OBJECTS["a"]
    left = read_split(folder, "val", rules=replace(ReadRules(), on_error="skip"))
    assert ([image.id for image in left.images], left.skipped_images) == (["b", "s/c"], ("a",))


def test_a_new_format_needs_its_module_and_an_entry(tmp_path, monkeypatch):
    """It is found before a folder of images, and its files are ground truth of boxes, too."""
    split = make_split(tmp_path)
    (tmp_path / "index.lines").write_text("new", encoding="utf-8")
    annotation = Annotation(split.images[0].id, split.images[0].path, objects=split.images[0].objects)
    new = SimpleNamespace(
        NAME="lines", LAYOUT="index.lines", FILE_SUFFIXES=(".lines",), PIXELS="half-open",
        find=lambda path: path if path.suffix == ".lines" or (path / "index.lines").is_file() else None,
        split_names=lambda root: ("only",), numbers=lambda root, split: ({}, {}),
        open_split=lambda root, split: Listing([annotation.id], lambda name: annotation),
    )  # fmt: skip
    folder = split.images[0].path.parent
    (folder / "index.lines").write_text("new", encoding="utf-8")
    assert recognise(folder)[0].NAME == "folder"
    entries = (*formats.ANNOTATED, new)
    monkeypatch.setattr(truth, "ANNOTATED", entries)
    monkeypatch.setattr(formats, "FORMATS", (*entries, image_folder))
    assert recognise(folder)[0].NAME == "lines"
    found = truth.read_truth(folder / "index.lines")
    assert found.ids == (annotation.id,) and found.objects == (split.images[0].objects,)
