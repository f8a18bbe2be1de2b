import json

import pytest

from dogcam.data.boxes_json import read_detections, read_ground_truth
from dogcam.errors import DataError

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


def test_ground_truth_keeps_the_order_of_the_file(tmp_path):
    annotated = read_ground_truth(written(tmp_path, TRUTH))
    assert annotated.ids == ("b", "a", "c")
    assert annotated.sizes.tolist() == [[20, 30], [9, 8], [5, 5]]
    truth = annotated.ground_truth
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
        ('{"images": [], "images": []}', "'images' stands twice"),
        ([1, 2], r"holds \[1, 2\]; expected \{"),
        ({}, "has no images"),
        ({"images": []}, "has no images"),
        ({"images": {"a": 1}}, "has no images"),
        ({"images": ["a"]}, 'entry 0 of images is "a"'),
        (image(id=None), "the id of entry 0 of images is missing"),
        (image(id=7), "the id of entry 0 of images is 7; expected a string"),
        ({"images": image()["images"] * 2}, "the image 'x' 2 times"),
        (image(width=None), "image 'x' has no 'width'"),
        (image(height=None), "image 'x' has no 'height'"),
        (image(dogs=None), "image 'x' has no 'dogs'"),
        (image(width=0), "image 'x' has the width 0"),
        (image(height="10"), "image 'x' has the height \"10\""),
        (image(width=True), "image 'x' has the width true"),
        (image(dogs={}), r"image 'x' has \{\}; expected a list of boxes"),
        (image(dogs=[1, 2, 3, 4]), "image 'x', box 0: 1 is not a list of 4 numbers"),
        (image(dogs=[[1, 2, 3, 4], [1, 2, 3]]), r"image 'x', box 1: \[1, 2, 3\] is not a list of 4 numbers"),
        (image(dogs=[[1, 2, 3, 4, 0.5]]), r"\b4 numbers"),
        (image(dogs=[[1, 2, "3", 4]]), "not a number"),
        (image(dogs=[[1, 2, None, 4]]), "not a number"),
        (image(dogs=[[1, 2, True, 4]]), "not a number"),
        (image(dogs=[[1, 2, float("nan"), 4]]), "not finite"),
        (image(dogs=[[1, 2, 10**400, 4]]), "not finite"),
        (image(dogs=[[5, 1, 4, 4]]), r"'x', box 0.*\[5, 1, 4, 4\]"),
        (image(dogs=[[1, 5, 4, 4]]), r"\[1, 5, 4, 4\]"),
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
        ([], "expected {"),
        ({"b": []}, "'b'.*'a'"),
        ('{"a": [[1, 1, 2, 2, 1]], "a": []}', "'a'.* twice"),
        ({"a": [[1, 1, 2, 2]]}, r"'a', box 0.*\[1, 1, 2, 2\].* 5 numbers"),
        ({"a": [[1, 1, 2, 2, float("inf")]]}, "not finite"),
        ({"a": [[1, 1, 2, 2, "1"]]}, "not a number"),
        ({"a": [[3, 1, 2, 2, 1]]}, r"\[3, 1, 2, 2, 1\]"),
        ({"a": None}, "'a'.* null"),
    ],
)
def test_faults_of_detections_are_named(tmp_path, content, fault):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=fault) as caught:
        read_detections(path, ("a",))
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    for read in (read_ground_truth, lambda path: read_detections(path, ("a",))):
        with pytest.raises(DataError, match=r"absent\.json.*No such file"):
            read(tmp_path / "absent.json")
    with pytest.raises(DataError, match="Is a directory"):
        read_ground_truth(tmp_path)
