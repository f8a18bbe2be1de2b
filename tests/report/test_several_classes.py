"""`dogcam-report run` for several classes: the record's part, the page's section, and one forward pass."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from markdown_it import MarkdownIt

from dogcam.data.reading import read_split
from dogcam.errors import ConfigError, ModelError
from dogcam.evaluate import metrics
from dogcam.models.classifier import load_classifier
from report.config import make_config
from report.pipeline.shared.boxes import ground_truth
from report.pipeline.stages.class_failures import pictures_by_class
from report.pipeline.targets import choose_targets
from report.record.io import read_results
from tests.support.runs import invoke


def test_the_main_class_is_measured_as_in_a_run_for_it_alone(several, finished):
    record, alone = read_results(several), read_results(finished)
    assert alone.classes is None and alone.detection == record.detection
    dog = next(each for each in record.classes.classes if each.name == "dog")
    main = record.detection.method("grad_cam")
    assert [row.ap.value for row in dog.rows] == [row.ap for row in main.rows]
    assert [row.recall.interval for row in dog.rows] == [row.recall_interval for row in main.rows]
    assert dog.point.score_threshold == record.operating_point.score_threshold
    assert (
        dog.cam_threshold == next(each for each in record.tuning if each.method == "grad_cam").cam_threshold
    )


def test_every_paragraph_is_read_as_markdown(several):
    """An element goes on up to the next blank line; a paragraph right after it would stand in it as it is."""
    parser = MarkdownIt("commonmark", {"html": True})
    tokens = parser.parse((several / "report.md").read_text(encoding="utf-8"))
    elements = [token.content for token in tokens if token.type == "html_block"]
    assert any("</details>" in each for each in elements)
    assert all(line.startswith("<") for each in elements for line in each.strip().splitlines())


def test_all_is_every_annotated_class_in_the_order_of_its_objects(several, small_data):
    record = read_results(several)
    counts = {each.name: each.n_objects for each in record.classes.classes}
    images = read_split(small_data, "test").images
    expected = {name: sum(len(image.objects_of(name)) for image in images) for name in counts}
    assert counts == expected and list(counts.values()) == sorted(counts.values(), reverse=True)
    assert len(counts) == record.classes.n_classes == len(read_split(small_data, "test").class_names())
    assert record.config.targets == tuple(counts) and record.classes.asked_all


def test_the_mean_is_that_of_the_classes(several):
    found = read_results(several).classes
    for place, mean in enumerate(found.mean_ap):
        assert mean.ap.value == pytest.approx(np.mean([each.rows[place].ap.value for each in found.classes]))
        assert mean.ap.interval.low <= mean.ap.value <= mean.ap.interval.high


def test_the_sizes_partition_the_objects(several):
    for each in read_results(several).classes.classes:
        assert sum(row.n_objects for row in each.sizes) == each.n_objects
        assert each.n_objects == each.point.true_positives + each.point.false_negatives


def test_the_confusion_counts_the_boxes_of_each_operating_point(several):
    found = read_results(several).classes
    for row, each in zip(found.confusion.counts, found.classes, strict=True):
        assert sum(row) == each.point.true_positives + each.point.false_positives


def test_the_failures_of_every_class_are_typed_at_its_operating_point(several):
    """Each failure is counted once by its type, and listed; the pictures show the class's own boxes."""
    record = read_results(several)
    found = record.classes
    assert [each.name for each in found.failures] == [c.name for c in found.classes if c.name != "dog"]
    for each in found.failures:
        point = next(one.point for one in found.classes if one.name == each.name)
        assert each.score_threshold == point.score_threshold
        assert sum(row.n_detections for row in each.types) == point.false_positives
        assert sum(row.n_missed for row in each.types) == point.false_negatives
        assert each.n_success == point.true_positives
        assert len(each.cases) == point.false_positives + point.false_negatives
        for item in each.items:
            assert item.target == each.name and (several / item.photo).is_file()
            shown = item.type == "success" or any(
                (case.image_id, case.type, case.subject) == (item.image_id, item.type, item.subject)
                for case in each.cases
            )
            assert shown, item
        assert all((several / case.picture).is_file() for case in each.cases)


@pytest.mark.parametrize(
    ("n_classes", "expected"),
    [(0, []), (2, [16, 16]), (3, [13] * 3), (19, [2] * 19), (30, [1] * 30), (79, [1] * 40 + [0] * 39)],
)
def test_many_classes_share_the_pictures_of_a_page(n_classes, expected):
    assert pictures_by_class(n_classes) == expected


def test_the_table_of_failures_names_the_class_of_each(several):
    record = read_results(several)
    with (several / "failures.csv").open(newline="", encoding="utf-8") as file:
        counts = Counter(row["class"] for row in csv.DictReader(file))
    points = {each.name: each.point for each in record.classes.classes}
    expected = {name: point.false_positives + point.false_negatives for name, point in points.items()}
    assert counts == {name: n for name, n in expected.items() if n}


def test_the_page_shows_every_class_and_its_numbers_are_the_records(several):
    record, page = read_results(several), (several / "report.md").read_text()
    section = page.split("## Several classes")[1].split("\n## ")[0]
    for each in record.classes.classes:
        assert f"| {each.name} |" in section
    assert {"class_ap", "class_curves", "class_confusion"} <= {figure.name for figure in record.figures}
    checked = invoke(["check", str(several)])
    assert checked.exit_code == 0, checked.output


def test_a_run_for_one_class_has_no_such_section(finished):
    assert "Several classes" not in (finished / "report.html").read_text()


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"target": "dog", "targets": ("dog", "unicorn")}, ModelError, "unicorn"),
        ({"target": "cat", "targets": ("dog", "person")}, ConfigError, "cat"),
    ],
)
def test_targets_that_cannot_be_measured_are_refused_by_name(
    settings, error, named, small_data, small_checkpoint
):
    classifier = load_classifier("sample_net", small_checkpoint, "cpu")
    with pytest.raises(error, match=named):
        choose_targets(make_config(**settings), read_split(small_data, "test"), classifier)


def test_a_main_target_that_is_no_target_is_refused_before_anything_is_read(tmp_path):
    result = invoke(["run", "--data", "nowhere", "--target", "dog", "--main-target", "cat"])
    assert result.exit_code == 1 and "'cat'" in result.output


def test_ap_of_another_class_is_that_of_its_boxes(several, small_data):
    """Measured again from the maps and logits that the run left, without the stage."""
    from report.pipeline.stages import localise
    from tests.support.stages import context_of

    record = read_results(several)
    name = next(each.name for each in record.classes.classes if each.name != "dog")
    found = next(each for each in record.classes.classes if each.name == name)
    output = next(
        document
        for path in (several / "stages" / "predict").glob("*.json")
        if "output" in (document := json.loads(path.read_text()))
    )["output"]
    context = context_of(small_data, None, several, targets=record.config.targets)
    context.outputs["predict"] = output
    rule = localise.LocalisationRule(found.cam_threshold, found.components)
    (boxes,) = localise.detect_by_rules(context, "reported", {"grad_cam": [rule]}, name)["grad_cam"]
    truth = ground_truth(context, "reported", name)
    matches = metrics.match(truth, localise.as_detections(boxes), record.config.iou_thresholds)
    for row in found.rows:
        assert row.ap.value == metrics.precision_recall(matches, row.iou).average_precision()
