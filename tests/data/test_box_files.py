import json
from pathlib import Path

import numpy as np
import pytest

from dogcam.data.box_files.results import read_results
from dogcam.data.box_files.truth import BoxTruth, read_truth
from dogcam.detection.detector import FoundBoxes
from dogcam.detection.writers import WRITERS, Row
from dogcam.errors import DataError
from dogcam.structures.images import LabelledObject

TRUTH = {
    "note": "left alone",
    "images": [
        {"id": "b", "width": 30, "height": 20, "dogs": [[1, 1, 30, 20], [2, 3, 4, 5]]},
        {"id": "a", "width": 8, "height": 9, "dogs": []},
        {"id": "c", "width": 5, "height": 5, "dogs": [[1.5, 2, 1.5, 2]]},
    ],
}


def written(folder, content):
    path = folder / "boxes.json"
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    return path


def image(**changes):
    """A ground truth of one image, well formed but for the changes; a value of None drops the key."""
    entry = {"id": "x", "width": 10, "height": 10, "dogs": []} | changes
    return {"images": [{key: value for key, value in entry.items() if value is not None}]}


def read_ground_truth(path):
    return read_truth(path)


def read_detections(path, ids, sizes=(100, 100)):
    """Read detections of images of one size."""
    truth = BoxTruth(path, ids, (sizes,) * len(ids), ((),) * len(ids), "inclusive")
    return read_results(path, truth).detections("dog")


def test_ground_truth_keeps_the_order_of_the_file(tmp_path):
    annotated = read_ground_truth(written(tmp_path, TRUTH))
    assert annotated.ids == ("b", "a", "c")
    assert annotated.sizes == ((20, 30), (9, 8), (5, 5))
    truth = annotated.ground_truth("dog")
    assert (truth.image.tolist(), truth.n_images) == ([0, 0, 2], 3)
    assert truth.boxes.tolist() == [[0, 0, 30, 20], [1, 2, 4, 5], [0.5, 1, 1.5, 2]]
    assert not truth.difficult.any()


def test_detections_come_in_the_order_of_the_images(tmp_path):
    path = written(tmp_path, {"c": [[1, 1, 2, 2, 0.5]], "b": [[1, 1, 3, 3, 1], [0, -4, 40, 5, -2e-3]]})
    found = read_detections(path, ("b", "a", "c"))
    assert found.image.tolist() == [0, 0, 2]
    assert found.scores.tolist() == [1, -2e-3, 0.5]
    assert found.boxes.tolist() == [[0, 0, 3, 3], [-1, -5, 40, 5], [0, 0, 2, 2]]


def test_no_detections_are_detections_too(tmp_path):
    assert len(read_detections(written(tmp_path, {}), ("a",))) == 0
    assert len(read_detections(written(tmp_path, {"a": []}), ("a",))) == 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{not json", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (b'{"images": "\xff"}', "not valid JSON"),
        ('{"images": [], "images": []}', "'images'.* twice"),
        ([1, 2], "no images"),
        ({}, "has no images"),
        ({"images": []}, "has no images"),
        ({"images": {"a": 1}}, "has no images"),
        ({"images": ["a"]}, 'entry 0 .*"a"'),
        (image(id=None), "entry 0 "),
        (image(id=7), 'entry 0 .*"id": 7'),
        ({"images": image()["images"] * 2}, "the image 'x' 2 times"),
        (image(width=None), "'x'.*width"),
        (image(height=None), "'x'.*height"),
        (image(dogs=None), "'x'.*dogs"),
        (image(width=0), "'x'.*width.*'0'"),
        (image(height=10.5), "'x'.*height.*'10.5'"),
        (image(width=True), "'x'.*width.*'True'"),
        (image(dogs={}), r"'x'.*dogs: \{\}"),
        (image(dogs=[1, 2, 3, 4]), "image 'x', box 0: 1 is not a list of 4 numbers"),
        (image(dogs=[[1, 2, 3, 4], [1, 2, 3]]), r"image 'x', box 1: \[1, 2, 3\] is not a list of 4 numbers"),
        (image(dogs=[[1, 2, 3, 4, 0.5]]), r"\b4 numbers"),
        (image(dogs=[[1, 2, "3", 4]]), "box 0"),
        (image(dogs=[[1, 2, None, 4]]), "box 0"),
        (image(dogs=[[1, 2, True, 4]]), "box 0"),
        (image(dogs=[[1, 2, float("nan"), 4]]), "NaN"),
        (image(dogs=[[1, 2, 10**400, 4]]), "box 0.*xmax"),
        (image(dogs=[[5, 1, 4, 4]]), r"'x', box 0.*\[5, 1, 4, 4\]"),
        (image(dogs=[[1, 5, 4, 4]]), r"\[1, 5, 4, 4\]"),
        (image(dogs=[[0.1, 0.1, 0.3, 0.3]]), r"'x', box 0.*-0\.9, -0\.9, 0\.3, 0\.3.* 10 x 10"),
        (image(dogs=[[1, 1, 11, 4]]), r"'x', box 0.* 0, 11, 4.* 10 x 10"),
        (image(dogs=[[1e154] * 4]), r"'x', box 0.*1e\+154"),
        (image(dogs=[[1, 1, 2, 2]], difficult=[2]), r"'x'.*difficult: \[2\]"),
        (image(dogs=[[1, 1, 2, 2]], crowd=[0, 1]), r"'x'.*crowd: \[0, 1\].* 1 box"),
        (image(dogs=[[1, 1, 2, 2]], ignore=[1]), r"'x'.*'ignore'.*difficult or crowd"),
        (image(dogs=[[0.1, 0.1, 0.6, 0.6]]), r"'x'.*fractions.* 10 x 10"),
        (image() | {"pixels": "some"}, "'some'"),
    ],
)
def test_faults_of_a_ground_truth_are_named(tmp_path, content, fault):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=fault) as caught:
        read_ground_truth(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).replace(str(path), "")) < 250


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("7", "holds 7"),
        ({"a": [[0.1, 0.1, 1.0, 0.5, 1]]}, r"'a'.*-0\.9, -0\.9, 1, 0\.5"),
        ({"a": [[101, 1, 150, 9, 1]]}, r"'a'.*100, 0, 150, 9.* 100 x 100"),
        ({"a": [[1e154, 1e154, 2e154, 2e154, 1]]}, r"'a'.*1e\+154"),
        ({"b": []}, "'b'.*'a'"),
        ('{"a": [[1, 1, 2, 2, 1]], "a": []}', "'a'.* twice"),
        ({"a": [[1, 1, 2, 2]]}, r"'a', box 0.*\[1, 1, 2, 2\].* 5 numbers"),
        ({"a": [[1, 1, 2, 2, float("inf")]]}, "Infinity"),
        ({"a": [[1, 1, 2, 2, "1"]]}, "box 0"),
        ({"a": [[3, 1, 2, 2, 1]]}, r"\[3, 1, 2, 2, 1\]"),
        ({"a": None}, "'a'.* null"),
    ],
)
def test_faults_of_detections_are_named(tmp_path, content, fault):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=fault) as caught:
        read_detections(path, ("a",))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["coco", "csv", "yolo"])
def test_the_files_of_the_command_detect_are_read(tmp_path, name):
    """Their images are paths of any folder, and their class numbers are their own."""
    sizes, thing = ((40, 50), (60, 30), (9, 9)), LabelledObject("aeroplane", (0, 0, 9, 9))
    ids = ("000005", "s/000007", "000009")
    truth = BoxTruth(tmp_path / "truth", ids, sizes, ((thing,), (), ()), "inclusive", {}, {0: "aeroplane"})
    boxes = {"dog": [[1.25, 2, 30, 20.5]], "cat": [[0, 0, 12, 12], [3, 4, 5, 6]]}
    found = [
        tuple(
            (np.array(boxes[target], dtype=float), np.linspace(0.9, 0.5, len(boxes[target])))
            for target in boxes
        ),
        tuple((np.zeros((0, 4)), np.zeros(0)) for _ in boxes),
    ]
    paths = (tmp_path / "photos" / "000005.jpg", Path("photos/000009.JPG"))
    rows = [
        Row(path, FoundBoxes(size, tuple(boxes), located))
        for path, size, located in zip(paths, (sizes[0], sizes[2]), found, strict=True)
    ]
    writer = WRITERS[name]
    writer.write(rows, list(boxes), tmp_path / writer.default)
    read = read_results(tmp_path / writer.default, truth)
    assert read.class_names() == ("cat", "dog")
    for target, expected in boxes.items():
        detections = read.detections(target)
        assert detections.image.tolist() == [0] * len(expected)
        np.testing.assert_allclose(detections.boxes, expected, atol=1e-6)
        np.testing.assert_allclose(detections.scores, np.linspace(0.9, 0.5, len(expected)))


def test_paths_that_end_in_one_id_are_not_one_image(tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("image,class,x0,y0,x1,y1,score\nx/b.jpg,dog,1,1,2,2,1\ny/b.jpg,dog,1,1,2,2,1\n")
    with pytest.raises(DataError, match="'x/b' and 'y/b'"):
        read_detections(path, ("a", "b"))
    assert read_detections(path, ("x/b", "b")).image.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"annotations": None}, "annotations"),
        ({"images": [{"id": 1, "file_name": "zebra.jpg"}]}, "'zebra'"),
        ({"images": [{"id": 1}]}, "file_name"),
        ({"categories": [{"id": 1, "name": 7}]}, "name is not text"),
        ({"annotations": [{"image_id": 9, "category_id": 1}]}, "entry 0.* 9 "),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]}, "entry 0.*score"),
    ],
)  # fmt: skip
def test_faults_of_a_coco_document_are_named(tmp_path, change, fault):
    document = {
        "images": [{"id": 1, "file_name": "x/b.jpg"}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}],
    }
    assert read_detections(written(tmp_path, document), ("a", "b")).boxes.tolist() == [[1, 1, 3, 3]]
    path = written(tmp_path, document | change)
    with pytest.raises(DataError, match=rf"{path.name}.*{fault}"):
        read_detections(path, ("a", "b"))


def test_missing_file_is_named(tmp_path):
    for read in (read_ground_truth, lambda path: read_detections(path, ("a",))):
        with pytest.raises(DataError, match=r"absent\.json.*No such file"):
            read(tmp_path / "absent.json")
    with pytest.raises(DataError, match=tmp_path.name):
        read_ground_truth(tmp_path)


def test_the_head_of_a_file_states_its_pixels(tmp_path):
    document = image(dogs=[[0, 0, 4, 4]]) | {"pixels": "half-open"}
    truth = read_truth(written(tmp_path, document))
    assert truth.objects[0][0].box == (0, 0, 4, 4)
    assert read_truth(written(tmp_path, image(dogs=[[1, 1, 4, 4]]))).objects[0][0].box == (0, 0, 4, 4)
    assert (
        read_truth(written(tmp_path, image(dogs=[[0, 0, 4, 4]])), pixels="half-open").objects == truth.objects
    )
    with pytest.raises(DataError, match=r"'half-open'.*inclusive"):
        read_truth(written(tmp_path, document), pixels="inclusive")
    found = read_results(written(tmp_path, {"pixels": "inclusive", "boxes": {"x": [[1, 1, 4, 4, 1]]}}), truth)
    assert found.rows[0].box == (0, 0, 4, 4)
    assert read_results(written(tmp_path, {"x": [[0, 0, 4, 4, 1]]}), truth).rows[0].box == (0, 0, 4, 4)


def test_boxes_below_a_pixel_are_boxes(tmp_path):
    document = image(dogs=[[1.6, 2, 1.2, 2]])
    assert read_truth(written(tmp_path, document)).objects[0][0].box == pytest.approx((0.6, 1, 1.2, 2))
