"""`dogcam evaluate-boxes` gives the results that public evaluation tools state for their documented samples.

The boxes are facts of these samples, written down again. The expected figures are those of the documents.
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dogcam.cli.main import main

# rafaelpadilla/Object-Detection-Metrics, samples/sample_2: seven images, boxes as x y width height.
OBJECTS = {
    "1": [(25, 16, 38, 56), (129, 123, 41, 62)],
    "2": [(123, 11, 43, 55), (38, 132, 59, 45)],
    "3": [(16, 14, 35, 48), (123, 30, 49, 44), (99, 139, 47, 47)],
    "4": [(53, 42, 40, 52), (154, 43, 31, 34)],
    "5": [(59, 31, 44, 51), (48, 128, 34, 52)],
    "6": [(36, 89, 52, 76), (62, 58, 44, 67)],
    "7": [(28, 31, 55, 63), (58, 67, 50, 58)],
}
FOUND = {
    "1": [(0.88, 5, 67, 31, 48), (0.70, 119, 111, 40, 67), (0.80, 124, 9, 49, 67)],
    "2": [(0.71, 64, 111, 64, 58), (0.54, 26, 140, 60, 47), (0.74, 19, 18, 43, 35)],
    "3": [
        (0.18, 109, 15, 77, 39), (0.67, 86, 63, 46, 45), (0.38, 160, 62, 36, 53), (0.91, 105, 131, 47, 47),
        (0.44, 18, 148, 40, 44),
    ],
    "4": [(0.35, 83, 28, 28, 26), (0.78, 28, 68, 42, 67), (0.45, 87, 89, 25, 39), (0.14, 10, 155, 60, 26)],
    "5": [(0.62, 50, 38, 28, 46), (0.44, 95, 11, 53, 28), (0.95, 29, 131, 72, 29), (0.23, 29, 163, 72, 29)],
    "6": [(0.45, 43, 48, 74, 38), (0.84, 17, 155, 29, 35), (0.43, 95, 110, 25, 42)],
    "7": [(0.48, 16, 20, 101, 88), (0.95, 33, 116, 37, 49)],
}  # fmt: skip


def evaluate(*arguments: object) -> list[dict]:
    result = CliRunner().invoke(main, ["evaluate-boxes", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def padilla(tmp_path):
    """The tool takes x + width as the last pixel of a box: its boxes are 1-based inclusive corners."""

    def corners(x, y, width, height):
        return [x, y, x + width, y + height]

    truth = {
        "images": [
            {"id": name, "width": 300, "height": 300, "dogs": [corners(*box) for box in boxes]}
            for name, boxes in OBJECTS.items()
        ]
    }
    found = {name: [[*corners(*box), score] for score, *box in boxes] for name, boxes in FOUND.items()}
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return paths


@pytest.mark.parametrize(
    ("variant", "percent"),
    [
        # results/results.txt of the repository, `AP: 24.57%`, rounded from factors to 24.56 % in its README.
        ("all_point", 24.57),
        # README, "Calculating the 11-point interpolation": 26.84 %.
        ("voc07_11point", 26.84),
    ],
)
def test_object_detection_metrics(padilla, variant, percent):
    (row,) = evaluate(*padilla, "--iou", "0.3", "--match", "at-least", "--variant", variant)
    assert round(100 * row["ap"], 2) == percent
    # The last recall of results/results.txt.
    assert round(row["recall"], 2) == 0.47


def test_torchmetrics(tmp_path):
    """The example of `MeanAveragePrecision`: map 0.6, map_50 1, map_75 1, mar_100 0.6, as pycocotools."""
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 700, "height": 300}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [214, 41, 348, 244],
                "area": 84912,
                "iscrowd": 0,
            }
        ],
        "categories": [{"id": 1, "name": "object"}],
    }  # fmt: skip
    found = [{"image_id": 1, "category_id": 1, "bbox": [258, 41, 348, 244], "score": 0.536}]
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    ious = [round(0.5 + 0.05 * step, 2) for step in range(10)]
    rows = evaluate(*paths, "--iou", *ious, "--match", "coco")
    ap = {row["iou"]: row["ap"] for row in rows}
    assert np.mean(list(ap.values())) == pytest.approx(0.6, abs=1e-12)
    assert ap[0.5] == pytest.approx(1.0, abs=1e-12) and ap[0.75] == pytest.approx(1.0, abs=1e-12)
    assert np.mean([row["recall"] for row in rows]) == pytest.approx(0.6, abs=1e-12)


def test_od_metrics(tmp_path):
    """EMalagoli92/OD-Metrics, "Simple Example" in the README of release 0.0.11: mAP and mAR, as the COCO API.

    The README of release 1.0 gives the boxes two classes, but still prints figures for one.
    """
    objects = [[(25, 16, 38, 56), (129, 123, 41, 62)], [(123, 11, 43, 55), (38, 132, 59, 45)]]
    found = [
        [(0.88, 25, 17, 37, 54), (0.70, 119, 111, 40, 67), (0.80, 124, 9, 49, 67)],
        [(0.71, 64, 111, 64, 58), (0.54, 26, 140, 60, 47), (0.74, 19, 18, 43, 35)],
    ]
    truth = {
        "images": [{"id": id_, "file_name": f"{id_}.jpg", "width": 300, "height": 300} for id_ in (0, 1)],
        "categories": [{"id": 0, "name": "object"}],
        "annotations": [
            {"id": 2 * image + place, "image_id": image, "category_id": 0, "bbox": box,
             "area": box[2] * box[3], "iscrowd": 0}
            for image, boxes in enumerate(objects)
            for place, box in enumerate(boxes)
        ],
    }  # fmt: skip
    results = [
        {"image_id": image, "category_id": 0, "score": score, "bbox": box}
        for image, boxes in enumerate(found)
        for score, *box in boxes
    ]
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    ious = [round(0.5 + 0.05 * step, 2) for step in range(10)]
    rows = {row["iou"]: row for row in evaluate(*paths, "--iou", *ious, "--match", "coco")}
    assert rows[0.5]["ap"] == pytest.approx(0.2574257425742574, abs=1e-12)
    assert rows[0.75]["ap"] == pytest.approx(0.2574257425742574, abs=1e-12)
    assert np.mean([row["ap"] for row in rows.values()]) == pytest.approx(0.23168316831683164, abs=1e-12)
    assert rows[0.5]["recall"] == rows[0.75]["recall"] == 0.25
    assert np.mean([row["recall"] for row in rows.values()]) == pytest.approx(0.225, abs=1e-12)
