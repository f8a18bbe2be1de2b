"""The record: to JSON and back, by its schema, and against what the boxes say when they are counted again."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from dogcam.data.reading import read_split
from dogcam.errors import RecordError
from report.record import Results
from report.record.io import json_schema, read_results, write_results
from tests.support import references
from tests.support.runs import change_record, found_boxes, invoke, record_of


def test_the_record_is_the_same_after_a_round_trip(finished, tmp_path):
    record = read_results(finished)
    text = (finished / "results.json").read_text(encoding="utf-8")
    assert record.to_json() == text
    assert Results.model_validate_json(text) == record
    assert write_results(record, tmp_path).read_text(encoding="utf-8") == text


def test_the_record_holds_to_its_published_schema(finished):
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    record = record_of(finished)
    assert list(validator.iter_errors(record)) == []
    record["detection"]["methods"][0]["rows"][0]["ap"] = "high"
    del record["operating_point"]["iou"]
    record["surprise"] = 1
    assert len(list(validator.iter_errors(record))) == 3


def test_the_schema_is_what_the_command_prints():
    assert invoke(["schema"]).output == json_schema()


def test_methods_and_their_rows_are_as_published(finished):
    methods = record_of(finished)["detection"]["methods"]
    assert {"grad_cam", "cam", "centerbox", "cheating_centerbox"} <= {method["name"] for method in methods}
    for method in methods:
        assert [row["iou"] for row in method["rows"]] == [0.3, 0.4, 0.5]
        for row in method["rows"]:
            assert row.keys() >= {"iou", "ap", "recall", "n_ground_truth", "n_detections"}
            assert 0 <= row["ap"] <= 1
            assert 0 <= row["recall"] <= 1
            assert type(row["n_ground_truth"]) is type(row["n_detections"]) is int


def truth_of(images) -> SimpleNamespace:
    boxes = [(place, box) for place, image in enumerate(images) for box in image.boxes_of("dog").tolist()]
    return SimpleNamespace(
        boxes=np.array([box for _, box in boxes]),
        image=np.array([place for place, _ in boxes]),
        difficult=np.zeros(len(boxes), dtype=bool),
        n_images=len(images),
    )


def detections_of(lines, places) -> SimpleNamespace:
    return SimpleNamespace(
        boxes=np.array([box for _, box, _ in lines]).reshape(-1, 4),
        image=np.array([places[image] for image, _, _ in lines]),
        scores=np.array([score for *_, score in lines]),
    )


@pytest.fixture(scope="module")
def counted_again(finished, small_data):
    """The truth of the test split, and the boxes of every method as `detections.csv` has them."""
    images = read_split(small_data, "test").images
    places = {image.id: place for place, image in enumerate(images)}
    found = {name: detections_of(lines, places) for name, lines in found_boxes(finished).items()}
    return truth_of(images), found


def test_ap_and_recall_follow_from_the_boxes(finished, counted_again):
    truth, found = counted_again
    compared = 0
    for method in record_of(finished)["detection"]["methods"]:
        boxes = found[method["name"]]
        order = references.stable_order(boxes.scores)
        for row in method["rows"]:
            kinds = references.kinds_of(truth, boxes, row["iou"], order)
            assert (row["n_ground_truth"], row["n_detections"]) == (len(truth.boxes), len(boxes.scores))
            assert row["recall"] == pytest.approx(kinds.count("tp") / len(truth.boxes), abs=1e-12)
            ap = references.slow_ap(truth, boxes, row["iou"], "all_point")
            assert row["ap"] == pytest.approx(ap, abs=1e-12)
            compared += ap > 0
    assert compared > 8, "a run in which nothing is found says nothing about AP"


def test_the_operating_point_follows_from_the_boxes(finished, counted_again):
    truth, found = counted_again
    point = record_of(finished)["operating_point"]
    boxes = found[point["method"]]
    kinds = references.kinds_of(truth, boxes, point["iou"], references.stable_order(boxes.scores))
    threshold = point["score_threshold"]
    kept = [kind for kind, score in zip(kinds, boxes.scores, strict=True) if score >= threshold]
    right, wrong = kept.count("tp"), kept.count("fp")
    assert (point["true_positives"], point["false_positives"]) == (right, wrong)
    assert point["false_negatives"] == len(truth.boxes) - right
    assert right > 0
    assert wrong > 0
    assert point["precision"]["value"] == pytest.approx(right / len(kept))
    assert point["recall"]["value"] == pytest.approx(right / len(truth.boxes))
    assert point["f1"]["value"] == pytest.approx(2 * right / (len(kept) + len(truth.boxes)))


def test_failures_add_up_to_what_is_wrong_and_what_is_missed(finished):
    record = record_of(finished)
    point, failures = record["operating_point"], record["failures"]
    assert sum(row["n_detections"] for row in failures["types"]) == point["false_positives"]
    assert sum(row["n_missed"] for row in failures["types"]) == point["false_negatives"]
    assert failures["n_success"] == point["true_positives"]
    assert max(Counter(row["type"] for row in failures["types"]).values()) == 1
    for row in failures["types"]:
        n_shown = len(row["items"])
        assert n_shown <= failures["per_type"]
        assert bool(n_shown) == bool(row["n_detections"] + row["n_missed"])
        assert len({item["image_id"] for item in row["items"]}) == n_shown


def test_the_split_is_counted_as_it_is_annotated(finished, small_data):
    images = read_split(small_data, "test").images
    counted = record_of(finished)["data"]["reported"]
    dogs = [image.objects_of("dog") for image in images]
    assert counted["n_images"] == len(images)
    assert counted["n_target_images"] == sum(bool(each) for each in dogs)
    assert counted["n_target_objects"] == sum(map(len, dogs))
    assert counted["n_images_with_several"] == sum(len(each) > 1 for each in dogs)
    assert counted["n_target_difficult"] == sum(thing.difficult for each in dogs for thing in each)
    objects = Counter(thing.name for image in images for thing in image.objects)
    assert {each["name"]: each["n_objects"] for each in counted["classes"]} == objects


def test_differences_are_those_of_the_rows(finished):
    record = record_of(finished)["detection"]
    ap = {(method["name"], row["iou"]): row["ap"] for method in record["methods"] for row in method["rows"]}
    for each in record["comparisons"]:
        difference = ap[each["a"], each["iou"]] - ap[each["b"], each["iou"]]
        assert each["difference"]["value"] == pytest.approx(difference, abs=1e-12)
        low, high = each["difference"]["interval"]["low"], each["difference"]["interval"]["high"]
        expected = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        assert each["verdict"] == expected


FAULTS = {
    "an unknown field": (lambda record: record["data"].update(colour="red"), r"data\.colour: Extra inputs"),
    "a missing field": (lambda record: record["run"].pop("device"), r"run\.device: Field required"),
    "a wrong type": (lambda record: record["model"].update(map_height="tall"), r"model\.map_height"),
    "an unknown word": (lambda record: record["detection"].update(ties="random"), r"detection\.ties"),
    "an impossible setting": (lambda record: record["config"].update(batch_size=0), r"config\.batch_size"),
    "no number": (lambda record: record["classification"].update(chance=math.nan), "NaN"),
    "an older version": (lambda record: record.update(schema_version=0), "version 0.*version 2"),
    "a newer version": (lambda record: record.update(schema_version=3), "version 3"),
    "a truth value as version": (lambda record: record.update(schema_version=True), "version True"),
    "a figure elsewhere": (
        lambda record: record["figures"][0].update(path="../precious.svg"),
        r"figures\.0\.path",
    ),
    "a photograph elsewhere": (
        lambda record: record["failures"]["successes"][0].update(photo="/etc/passwd"),
        r"successes\.0\.photo",
    ),
    "a file elsewhere": (lambda record: record["files"].update({"a/../b.csv": "0" * 64}), r"files"),
    "a picture without its sum": (
        lambda record: record["files"].pop(record["figures"][0]["path"]),
        "no SHA-256 of figures/",
    ),
    "an unknown interval field": (
        lambda record: record["classification"]["target"]["interval"].update(mid=0.5),
        r"interval\.mid",
    ),
    "no version": (lambda record: record.pop("schema_version"), "version None"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_with_a_fault_is_refused(finished, tmp_path, fault):
    (tmp_path / "results.json").write_bytes((finished / "results.json").read_bytes())
    change, message = FAULTS[fault]
    change_record(tmp_path, change)
    with pytest.raises(RecordError, match=rf"results\.json.*{message}") as caught:
        read_results(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe\x00", b'{"schema_version"', b"[" * 5000]
)
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"results\.json"):
        read_results(tmp_path)


def test_a_truncated_record_is_refused(finished, tmp_path):
    whole = (finished / "results.json").read_bytes()
    (tmp_path / "results.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"results\.json"):
        read_results(tmp_path)


def test_a_missing_record_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"results\.json.*dogcam-report run"):
        read_results(tmp_path)


def test_the_points_are_the_detections_in_rank_order(finished):
    record = record_of(finished)
    points, main = record["detection"]["points"], record["operating_point"]
    found = found_boxes(finished)[main["method"]]
    ranked = sorted(found, key=lambda each: -each[2])
    assert [(point["image_id"], point["score"]) for point in points] == [(i, score) for i, _, score in ranked]
    kept = [point["correct"] for point in points if point["score"] >= main["score_threshold"]]
    assert kept.count(True) == main["true_positives"] > 0
    assert kept.count(False) == main["false_positives"]


def test_a_curve_says_which_score_leads_where_and_how_sure_it_is(finished):
    record = record_of(finished)
    for method in record["detection"]["methods"]:
        for curve, row in zip(method["curves"], method["rows"], strict=True):
            length = len(curve["recall"])
            assert {len(values) for name, values in curve.items() if name != "iou"} == {length}
            assert curve["score"] == sorted(curve["score"], reverse=True)
            assert all(0 <= low <= high <= 1 for low, high in zip(*_band(curve), strict=True))
            assert row["recall"] == pytest.approx(curve["recall"][-1], abs=1e-6)
    main = record["operating_point"]["method"]
    points = record["detection"]["points"]
    curve = next(each for each in record["detection"]["methods"] if each["name"] == main)["curves"][-1]
    n_truth = record["data"]["reported"]["n_target_objects"]
    for recall, precision, score in zip(curve["recall"], curve["precision"], curve["score"], strict=True):
        # Scores of the curve are rounded, and equal scores may be cut between.
        kept = [point["correct"] for point in points if point["score"] >= score - 1e-6]
        reached = [(sum(kept[:k]) / n_truth, sum(kept[:k]) / k) for k in range(1, len(kept) + 1)]
        assert any(np.allclose((recall, precision), pair, atol=1e-5) for pair in reached)


def _band(curve: dict) -> tuple[list[float], list[float]]:
    return curve["precision_low"], curve["precision_high"]


def test_label_and_place_are_counted_apart(finished, small_data):
    record = record_of(finished)
    both = record["localisation"]["classified_and_localised"]
    images = [image for image in read_split(small_data, "test").images if "dog" in image.labels]
    assert record["localisation"]["n_images"] == len(images)
    best: dict[str, tuple[list[float], float]] = {}
    for name, box, score in found_boxes(finished)[record["operating_point"]["method"]]:
        if name not in best or score > best[name][1]:
            best[name] = (box, score)
    placed = [
        image.id in best
        and max(references.iou(best[image.id][0], truth) for truth in image.boxes_of("dog")) > 0.5
        for image in images
    ]
    n_placed = both["n_both"] + both["n_localised_only"]
    assert 0 < n_placed == sum(placed) < len(images)
    assert n_placed + both["n_classified_only"] + both["n_neither"] == len(images)
    assert both["localised"]["value"] == pytest.approx(n_placed / len(images))
    n_labelled = both["n_both"] + both["n_classified_only"]
    assert both["localised_given_label"]["value"] == pytest.approx(both["n_both"] / n_labelled)


def test_every_map_is_measured_with_its_intervals(finished):
    rows = record_of(finished)["localisation"]["rows"]
    assert [row["name"] for row in rows] == ["grad_cam", "grad_cam_earlier", "centre_bell"]
    for row in rows:
        for measure in [each for each in row.values() if isinstance(each, dict)]:
            value, interval = measure["value"], measure["interval"]
            assert 0 <= interval["low"] <= value <= interval["high"] <= 1
        assert row["box_accuracy"]["value"] <= row["max_box_accuracy"]["value"]


def test_breakdowns_part_the_objects_and_what_was_found(finished):
    record = record_of(finished)
    point = record["operating_point"]
    n_objects = record["data"]["reported"]["n_target_objects"]
    for each in record["breakdowns"]["breakdowns"]:
        if each["by"] != "other_class":  # of which an image may show several
            assert sum(row["n_objects"] for row in each["rows"]) == n_objects
            assert sum(row["n_found"] for row in each["rows"]) == point["true_positives"]
        for row in each["rows"]:
            assert row["few"] == (row["n_objects"] < record["breakdowns"]["few_below"])
            assert row["recall"]["value"] == (
                pytest.approx(row["n_found"] / row["n_objects"]) if row["n_objects"] else None
            )
