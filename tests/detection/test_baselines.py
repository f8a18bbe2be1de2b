import numpy as np
import pytest

from dogcam.data.box_files.truth import read_truth
from dogcam.detection.baselines import (
    centerbox,
    centre_boxes,
    cheating_centerbox,
    full_boxes,
    scored_centre_box,
    scored_full_image,
)
from dogcam.evaluate.metrics import match, precision_recall
from dogcam.structures.boxes import area

PUBLISHED = {
    ("introsort", "centerbox"): (4.20689, 2.199484, 1.471604),
    ("introsort", "cheating_centerbox"): (45.328972, 24.49676, 14.515679),
    ("stable", "centerbox"): (4.843234, 2.913754, 2.265914),
    ("stable", "cheating_centerbox"): (46.442448, 25.954001, 18.201394),
}
"""AP in percent at IoU 0.3, 0.4, 0.5 on the first 500 images of VOC2007 test."""


def test_centre_box_by_hand():
    assert centre_boxes([(40, 80)], area_fraction=0.25).tolist() == [[20, 10, 60, 30]]


def test_centre_boxes_cover_half_the_area_around_the_middle():
    sizes = np.array([(500, 353), (1, 7), (375, 500)])
    boxes = centre_boxes(sizes)
    assert area(boxes) == pytest.approx(sizes.prod(axis=1) / 2)
    assert (boxes[:, :2] + boxes[:, 2:]) / 2 == pytest.approx(sizes[:, ::-1] / 2)


def test_full_boxes_reach_the_edges():
    assert full_boxes([(40, 80), (3, 2)]).tolist() == [[0, 0, 80, 40], [0, 0, 2, 3]]


def test_centerbox_stands_in_every_image_and_the_cheat_only_where_a_dog_is():
    sizes = [(40, 80), (30, 30), (20, 60)]
    honest, cheat = centerbox(sizes), cheating_centerbox(sizes, [True, False, True])
    assert (honest.image.tolist(), honest.scores.tolist()) == ([0, 1, 2], [1, 1, 1])
    assert (cheat.image.tolist(), cheat.scores.tolist()) == ([0, 2], [1, 1])
    assert np.array_equal(cheat.boxes, honest.boxes[[0, 2]])


def test_scored_baselines_carry_the_classifiers_scores():
    sizes, scores = [(40, 80), (30, 30)], np.array([0.2, 0.7])
    for detections, boxes in (
        (scored_centre_box(sizes, scores), centre_boxes(sizes)),
        (scored_full_image(sizes, scores), full_boxes(sizes)),
    ):
        assert detections.image.tolist() == [0, 1]
        assert np.array_equal(detections.scores, scores)
        assert np.array_equal(detections.boxes, boxes)


def test_no_images_give_no_boxes():
    assert len(centerbox([])) == len(cheating_centerbox([], [])) == len(scored_full_image([], [])) == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: centre_boxes([(10, 10)], area_fraction=0), "area_fraction.* 0"),
        (lambda: centre_boxes([(10, 10)], area_fraction=1.5), r"area_fraction.* 1\.5"),
        (lambda: centerbox([10, 10]), r"\(2,\).*\(height, width\)"),
        (lambda: scored_full_image([(10, 10)], [1.0, 2.0]), r"scores.*\(2,\)"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(("ties", "method"), PUBLISHED)
def test_published_figures_to_the_last_digit(real_data, ties, method):
    annotated = read_truth(real_data / "voc2007_test_first500_dogs.json")
    truth = annotated.ground_truth("dog")
    assert (len(annotated.ids), len(truth)) == (500, 50)
    has_dog = np.bincount(truth.image, minlength=500) > 0
    detections = (
        centerbox(annotated.sizes) if method == "centerbox" else cheating_centerbox(annotated.sizes, has_dog)
    )
    matches = match(truth, detections, (0.3, 0.4, 0.5), ties=ties)
    curves = [precision_recall(matches, threshold) for threshold in matches.iou_thresholds]
    assert tuple(round(100 * curve.average_precision(), 6) for curve in curves) == PUBLISHED[ties, method]
    assert [curve.total_recall for curve in curves] == [0.6, 0.44, 0.34]
