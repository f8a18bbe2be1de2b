"""What the verdict rests on, computed again from the tables of a run by other means."""

import csv
from collections import Counter, OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from dogcam.evaluate.map_metrics import POINTING_TOLERANCE
from dogcam.network.heads import LogOddsHead, LogOddsOfGroups
from report.pipeline.shared.cases import score_levels
from report.pipeline.shared.shares import share
from report.pipeline.stages import evidence
from report.pipeline.stages.picture import three
from tests.support.runs import found_boxes, record_of


@pytest.fixture(scope="module")
def record(finished) -> dict:
    return record_of(finished)


def table(run, name: str) -> list[dict[str, str]]:
    with (run / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def truths(run) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {row["image"]: [] for row in table(run, "images.csv")}
    for row in table(run, "ground_truth.csv"):
        found[row["image"]].append([float(row[side]) for side in ("x0", "y0", "x1", "y1")])
    return found


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def test_the_centre_points_where_geometry_says(finished, record):
    pointing = record["evidence"]["pointing"]
    sizes = {
        row["image"]: (float(row["width"]), float(row["height"])) for row in table(finished, "images.csv")
    }
    hits = []
    for image, boxes in truths(finished).items():
        x, y = (side / 2 for side in sizes[image])
        beside = [max(x0 - x, x - x1, y0 - y, y - y1) for x0, y0, x1, y1 in boxes]
        if boxes:
            hits.append(min(beside) <= POINTING_TOLERANCE)
    assert pointing["n_images"] == len(hits)
    assert pointing["centre"]["value"] == pytest.approx(np.mean(hits))
    main = record["localisation"]["rows"][0]
    assert pointing["map"]["value"] == pytest.approx(main["pointing"]["value"])
    difference = pointing["map"]["value"] - pointing["centre"]["value"]
    assert pointing["difference"]["value"] == pytest.approx(difference)


def test_scores_are_compared_with_the_probabilities(finished, record):
    score, point = record["evidence"]["score"], record["operating_point"]["score_threshold"]
    probability = {row["image"]: float(row["probability"]) for row in table(finished, "images.csv")}
    kept = [(image, s) for image, _, s in found_boxes(finished)["grad_cam"] if s >= point]
    assert score["n_boxes"] == len(kept)
    assert score["n_equal"] == sum(abs(s - probability[image]) < 1e-6 * s for image, s in kept)
    for each in score["bins"]:
        last = each["high"] == 1.0
        here = [p for p in probability.values() if each["low"] <= p and (p < each["high"] or last)]
        assert each["n_images"] == len(here)
    correct = sum(each["n_correct"] for each in score["bins"])
    assert correct == sum(each["correct"] for each in record["detection"]["points"])


def test_cells_add_up_to_the_operating_point(finished, record):
    cells = record["evidence"]["cells"]
    assert sum(cell["n_found"] for cell in cells) == record["operating_point"]["true_positives"]
    counted: Counter = Counter()
    sizes = {
        row["image"]: float(row["width"]) * float(row["height"]) for row in table(finished, "images.csv")
    }
    for image, boxes in truths(finished).items():
        for x0, y0, x1, y1 in boxes:
            part = (x1 - x0) * (y1 - y0) / sizes[image]
            size = "small" if part < 0.1 else "medium" if part < 0.3 else "large"
            counted[size, "one" if len(boxes) == 1 else "several"] += 1
    assert {
        (cell["size"], cell["instances"]): cell["n_objects"] for cell in cells if cell["n_objects"]
    } == counted


def test_fine_thresholds_hold_the_usual_ones(record):
    evidence = record["evidence"]
    fine = {each["method"]: dict(zip(evidence["fine_iou_thresholds"], each["ap"], strict=True))
            for each in evidence["fine_ap"]}  # fmt: skip
    for method in record["detection"]["methods"]:
        for row in method["rows"]:
            assert fine[method["name"]][row["iou"]] == pytest.approx(row["ap"])


def test_overlaps_are_those_of_the_top_boxes(finished, record):
    boxes = truths(finished)
    best: dict[str, tuple[float, list[float]]] = {}
    for image, box, score in found_boxes(finished)["grad_cam"]:
        if image not in best or score > best[image][0]:
            best[image] = (score, box)
    values = [
        max(overlap(best[image][1], box) for box in boxes[image]) if image in best else 0.0
        for image in boxes if boxes[image]
    ]  # fmt: skip
    edges = [*(each["low"] for each in record["evidence"]["overlaps"]["bins"]), 1.0]
    expected = np.histogram(values, edges)[0].tolist()
    assert [each["n_map"] for each in record["evidence"]["overlaps"]["bins"]] == expected


def cases_at(record: dict, level: int) -> list[dict]:
    return [case for case in record["evidence"]["cases"] if case["first"] <= level <= case["last"]]


def test_every_failure_is_listed_at_every_threshold(record):
    levels = record["evidence"]["levels"]
    n_objects = record["data"]["reported"]["n_target_objects"]
    for level, score in enumerate(levels):
        kept = [each["correct"] for each in record["detection"]["points"] if each["score"] >= score]
        counts = Counter(case["subject"] for case in cases_at(record, level))
        assert counts["detection"] == kept.count(False), score
        assert counts["ground_truth"] == n_objects - kept.count(True), score
    point = levels.index(record["operating_point"]["score_threshold"])
    typed = Counter((case["type"], case["subject"]) for case in cases_at(record, point))
    for row in record["failures"]["types"]:
        assert typed[row["type"], "detection"] == row["n_detections"]
        assert typed[row["type"], "ground_truth"] == row["n_missed"]
    others = sum(each["n_boxes"] for each in record["evidence"]["other_classes"])
    assert others == typed["other_object", "detection"]


def test_the_table_of_failures_is_the_list(finished, record):
    rows = table(finished, "failures.csv")
    level = record["evidence"]["levels"].index(record["operating_point"]["score_threshold"])
    cases = cases_at(record, level)
    assert [(row["image"], row["type"], row["reason"]) for row in rows] == [
        (case["image_id"], case["type"], case["reason"]) for case in cases
    ]
    assert all(row["reason"] for row in rows)
    for row, case in zip(rows, cases, strict=True):
        box = [row[side] for side in ("x0", "y0", "x1", "y1")]
        assert box == (["" for _ in box] if case["box"] is None else [str(side) for side in case["box"]])
        assert (finished / case["picture"]).is_file()


def test_levels_hold_the_operating_point():
    levels = score_levels(0.4731)
    assert levels == sorted(levels) and {0.0, 0.05, 0.4731, 1.0} <= set(levels)
    assert len(score_levels(0.5)) == 21


def test_pictures_are_picked_by_rule():
    assert three([0.2, 0.9, 0.5, 0.1]) == [(1, "best"), (0, "median"), (3, "worst")]
    assert three([0.4]) == [(0, "best")]
    assert three([]) == []


def test_a_share_of_none_or_all_takes_the_wilson_interval(record):
    from dogcam.evaluate.metrics import Interval

    bootstrap = Interval(0.2, 0.4, 0.95)
    assert share(3, 10, bootstrap).interval == bootstrap
    # Wilson, 0 of 60: z^2 / (n + z^2).
    none = share(0, 60, Interval(0.0, 0.0, 0.95)).interval
    assert (none.low, none.high) == (0.0, pytest.approx(3.8414588 / 63.8414588, abs=1e-6))
    assert share(10, 10, Interval(1.0, 1.0, 0.95)).interval.low == pytest.approx(10 / 13.8414588, abs=1e-6)
    assert share(1, 4, bootstrap).interval is None


def test_the_classes_that_a_head_pools_are_counted():
    pooling = nn.Sequential(OrderedDict(head=LogOddsHead(nn.Linear(4, 10), [[1, 2, 3], [0, 5]])))
    behind = nn.Sequential(
        OrderedDict(network=nn.Linear(4, 6), pool_of_outputs=LogOddsOfGroups(6, [[0], [1, 2]]))
    )
    plain = nn.Sequential(OrderedDict(head=nn.Linear(4, 2)))
    for network, name, found in (
        (pooling, "head", ("LogOddsHead", False, 2, 10)),
        (behind, None, ("Sequential", False, 2, 6)),
        (plain, "head", ("Linear", True, None, None)),
    ):
        context = SimpleNamespace(classifier=SimpleNamespace(network=network, head=name), target=1)
        head = evidence._head(context)
        assert (head.type, head.linear, head.n_pooled, head.n_outputs) == found
