"""Measurements of the maps of one image: those of its heat maps and its mask."""

import numpy as np

from dogcam.data.images import read_mask
from dogcam.data.reading import read_split
from dogcam.detection.boxes_from_maps import heat_map
from dogcam.evaluate.map_metrics import LEVELS, centre_map, score_map
from report.pipeline.shared.map_scores import score_maps

THRESHOLDS = {"grad_cam": 0.4, "centre": 0.3}


def test_each_map_is_measured_at_its_threshold_against_boxes_and_mask(small_data):
    split = read_split(small_data, "test")
    image = next(each for each in split.images if "dog" in each.labels)
    index = 1 + split.mask_classes.index("dog")
    map_ = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    found = score_maps(image, (map_, None), "dog", index, THRESHOLDS)
    mask = read_mask(image)
    on_dog = np.where(mask == 255, 255, mask == index).astype(np.uint8)
    for (name, threshold), heat in zip(
        THRESHOLDS.items(), (heat_map(map_, image.size), centre_map(image.size)), strict=True
    ):
        expected = score_map(heat, image.boxes_of("dog"), threshold, on_dog)
        assert (found[name].points, found[name].energy) == (expected.points, expected.energy)
        assert found[name].chosen == expected.chosen
        np.testing.assert_array_equal(found[name].pixels, expected.pixels)
        # Void pixels are neither on the dog nor off it.
        assert found[name].pixels.sum() == (mask != 255).sum()
    without = score_maps(image, (map_, None), "dog", None, THRESHOLDS)
    assert not without["grad_cam"].pixels.any() and without["grad_cam"].pixels.shape == (2, LEVELS)
