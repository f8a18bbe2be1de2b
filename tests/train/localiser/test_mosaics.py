"""Mosaics: the pseudo-boxes are where the objects are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogcam.structures.images import LabelledImage
from dogcam.train.localiser.mosaics import Source, make_mosaic
from dogcam.train.localiser.pseudo_boxes import PseudoBox

COLOURS = {"cat": (255, 0, 0), "dog": (0, 255, 0)}
BOX = {"cat": (20, 30, 90, 70), "dog": (60, 10, 100, 110)}


def read(image: LabelledImage) -> Image.Image:
    """Return a blue photograph with a rectangle of the colour of its class."""
    pixels = Image.new("RGB", (image.width, image.height), (0, 0, 255))
    pixels.paste(COLOURS[image.id], BOX[image.id])
    return pixels


def sources() -> list[Source]:
    return [
        Source(LabelledImage(name, Path(name), 120, 160), [PseudoBox(name, tuple(map(float, box)), 0.5)])
        for name, box in BOX.items()
    ]


def mosaic(seed: int):
    all_ = sources()
    by_class = {each.image.id: [each] for each in all_}
    return make_mosaic(all_, by_class, 200, read, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_where_the_objects_are(seed):
    image, boxes = mosaic(seed)
    assert max(image.size) == 200 and 2 <= len(boxes) <= 4
    pixels = np.asarray(image).astype(int)
    expected = np.zeros(pixels.shape[:2], bool)
    for each in boxes:
        x0, y0, x1, y1 = each.box
        assert 0 <= x0 < x1 <= image.width + 1e-6 and 0 <= y0 < y1 <= image.height + 1e-6
        rows, columns = slice(round(y0), round(y1)), slice(round(x0), round(x1))
        expected[rows, columns] = True
        centre = pixels[round((y0 + y1) / 2), round((x0 + x1) / 2)]
        assert centre.tolist() == list(COLOURS[each.name])
    coloured = (pixels[:, :, 2] < 64) & (pixels[:, :, :2].max(axis=2) > 192)
    # Rounded edges differ by less than a pixel and its interpolation.
    assert (coloured != expected).mean() < 0.03


def test_the_generator_decides():
    assert mosaic(3)[1] == mosaic(3)[1] != mosaic(4)[1]
    np.testing.assert_array_equal(np.asarray(mosaic(3)[0]), np.asarray(mosaic(3)[0]))


def test_most_tiles_show_the_class_that_was_drawn():
    pairs = [{each.name for each in mosaic(seed)[1]} for seed in range(60)]
    assert sum(len(names) == 1 for names in pairs) > 30
