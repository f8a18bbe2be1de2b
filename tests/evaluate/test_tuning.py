"""Cross-validated choice of a candidate: by hand, and that no image votes for its own detections."""

import numpy as np
import pytest

from dogcam.evaluate.tuning import cross_validate
from dogcam.structures.detections import Detections, GroundTruth

BOX, OFF = [0, 0, 10, 10], [50, 50, 60, 60]


def truth_of(n_images: int) -> GroundTruth:
    return GroundTruth.from_images([[BOX]] * n_images)


def right_on(images: set[int], n_images: int) -> Detections:
    """Return one detection an image, right on some of them and far off on the others."""
    return Detections.from_images(
        [[BOX if i in images else OFF] for i in range(n_images)], [[1.0]] * n_images
    )


def test_the_better_candidate_is_chosen():
    truth = truth_of(6)
    candidates = [right_on({0}, 6), right_on({0, 1, 2, 3, 4, 5}, 6), right_on(set(), 6)]
    result = cross_validate(truth, candidates, folds=3, seed=1)
    assert (result.best, result.chosen) == (1, (1, 1, 1))
    np.testing.assert_allclose(result.ap[1:], [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(result.held_out_ap, 1.0)
    assert len(result.held_out) == 6


def test_an_image_has_no_part_in_the_choice_of_its_own_detections():
    # With as many folds as images, candidate i is right on image i alone. Without image i, candidate i has no
    # right detection, so another one is chosen, and that is wrong on image i: nothing is right.
    n = 5
    candidates = [right_on({i}, n) for i in range(n)]
    result = cross_validate(truth_of(n), candidates, folds=n)
    assert result.ap.max() > 0
    np.testing.assert_allclose(result.held_out_ap, 0.0)


def test_images_without_objects_count_and_the_first_of_equals_wins():
    truth = GroundTruth.from_images([[BOX], [], [BOX], []])
    candidates = [Detections.from_images([[BOX], [], [BOX], []], [[0.9], [], [0.8], []])] * 2
    result = cross_validate(truth, candidates, folds=4)
    assert (result.best, set(result.chosen)) == (0, {0})
    np.testing.assert_allclose(result.held_out_ap, 1.0)


@pytest.mark.parametrize("folds", [1, 7])
def test_impossible_folds_are_refused(folds):
    with pytest.raises(ValueError, match=str(folds)):
        cross_validate(truth_of(6), [right_on({0}, 6)], folds=folds)
