"""What the page's slider and filters rest on: thresholds counted from the detections, sizes of objects."""

import pytest

from tests.support.runs import record_of


def test_the_rows_of_the_thresholds_are_counted_from_the_points(finished):
    record = record_of(finished)
    point, rows = record["operating_point"], record["detection"]["thresholds"]
    n_objects = point["true_positives"] + point["false_negatives"]
    scores = [row["score_threshold"] for row in rows]
    assert scores == sorted({*scores, *(tenth / 10 for tenth in range(1, 10))}, reverse=True)
    assert {name: point[name] for name in rows[0]} in rows
    for row in rows:
        kept = [e["correct"] for e in record["detection"]["points"] if e["score"] >= row["score_threshold"]]
        assert (row["true_positives"], row["false_positives"]) == (kept.count(True), kept.count(False))
        assert row["true_positives"] + row["false_negatives"] == n_objects
        expected = kept.count(True) / len(kept) if kept else None
        assert row["precision"]["value"] == (None if expected is None else pytest.approx(expected))


def test_pictures_of_the_gallery_say_how_large_their_object_is(finished):
    failures = record_of(finished)["failures"]
    medium, large = failures["size_edges"]
    items = [*failures["successes"], *(item for row in failures["types"] for item in row["items"])]
    for item in items:
        size = "small" if item["area"] < medium else "medium" if item["area"] < large else "large"
        assert item["size"] == size
        shares = [
            (x1 - x0) * (y1 - y0) / (item["width"] * item["height"])
            for x0, y0, x1, y1 in (box["xyxy"] for box in item["boxes"])
        ]
        assert any(item["area"] == pytest.approx(share) for share in shares)
