"""pycocotools as the oracle for `coco_101point`."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dogcam.evaluate.metrics import match, precision_recall
from dogcam.structures.detections import Detections, GroundTruth

# No ratio of the small areas used here, so that COCO's "at least" and VOC's "greater than" say the same.
IOU_THRESHOLDS = (0.30001, 0.50001)
CELL = 100


@st.composite
def separate_boxes(draw):
    """Ground-truth boxes that no detection can share, where COCO's matching and VOC's are one.

    COCO lets a detection whose best box is taken have the next best. With at most one box in each cell of a
    grid and every detection inside a cell, there is no next best.
    """
    n_images = draw(st.integers(1, 4))
    corner = st.integers(0, 8)
    cell = st.tuples(st.integers(0, n_images - 1), st.integers(0, 3))
    box = st.tuples(corner, corner, st.integers(0, 8), st.integers(0, 8))
    truth = draw(st.lists(st.tuples(cell, box), max_size=8, unique_by=lambda row: row[0]))
    places = st.tuples(cell, box)
    if truth:
        places |= st.sampled_from(truth)
    found = draw(
        st.lists(st.tuples(places, st.sampled_from([0.1, 0.5, 0.9])), min_size=1, max_size=15).map(
            # COCO goes through the images in order, so this is the order that both keep among equal scores.
            lambda rows: sorted(rows, key=lambda row: row[0][0][0])
        )
    )
    return n_images, truth, found


def in_image(cell, box):
    """A box given as corner, width and height in its cell, in half-open corners of the image."""
    x0, y0 = cell[1] * CELL + box[0], box[1]
    return [x0, y0, x0 + box[2], y0 + box[3]]


def coco_results(n_images, truth, found):
    def entry(number, cell, box):
        x0, y0, x1, y1 = in_image(cell, box)
        size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        return {"id": number + 1, "image_id": cell[0] + 1, "category_id": 1, "iscrowd": 0, **size}

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image + 1} for image in range(n_images)],
            "categories": [{"id": 1}],
            "annotations": [entry(number, *row) for number, row in enumerate(truth)],
        }
        coco.createIndex()
        results = [entry(number, *row) | {"score": score} for number, (row, score) in enumerate(found)]
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array(IOU_THRESHOLDS)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e9]], ["all"]
        evaluation.params.maxDets = [1000]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0].mean(axis=1)
    return precision, evaluation.eval["recall"][:, 0, 0, 0]


@given(separate_boxes())
def test_ap_and_recall_are_cocos(case):
    n_images, truth, found = case
    matches = match(
        GroundTruth([cell[0] for cell, _ in truth], [in_image(*row) for row in truth], None, n_images),
        Detections(
            [cell[0] for (cell, _), _ in found],
            [in_image(*row) for row, _ in found],
            [score for _, score in found],
        ),
        IOU_THRESHOLDS,
    )
    curves = [precision_recall(matches, threshold) for threshold in IOU_THRESHOLDS]
    ap = [curve.average_precision("coco_101point") for curve in curves]
    recall = [curve.total_recall for curve in curves]
    expected_ap, expected_recall = coco_results(n_images, truth, found)
    if truth:
        assert ap == pytest.approx(expected_ap.tolist(), abs=1e-12)
        assert recall == pytest.approx(expected_recall.tolist(), abs=1e-12)
    else:  # COCO writes -1 where there is no ground truth
        assert expected_ap.tolist() == expected_recall.tolist() == [-1, -1]
        assert np.isnan(ap + recall).all()
