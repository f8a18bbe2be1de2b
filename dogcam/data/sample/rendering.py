"""Render one image: sample its content, arrange, paint from back to front, add noise, annotate."""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.data.sample.annotation import SceneObject, annotate, class_mask
from dogcam.data.sample.arrangement import Arrangement
from dogcam.data.sample.background import paint_background
from dogcam.data.sample.camera import simulate_camera
from dogcam.data.sample.composition import draw_composition

SIZES = ((300, 400), (320, 440), (330, 480), (300, 450), (360, 480), (360, 360), (400, 300), (440, 330))
"""Possible (height, width) of images in pixels."""


@dataclass(frozen=True)
class RenderedScene:
    """A rendered image with its annotation.

    Attributes:
        image: (height, width, 3) uint8 array, RGB.
        instances: (height, width) int16 array: 0 for background, else the number of an object. Numbers
            without an object belong to objects that are too small or too occluded to be annotated.
        objects: the annotated objects from back to front.
        setting: name of the setting.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.int16]
    objects: tuple[SceneObject, ...]
    setting: str

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(height, width) uint8 array of class values, 255 void."""
        return class_mask(self.instances, self.objects)


def render_scene(seed: int, split: str, index: int) -> RenderedScene:
    """Render one image of the data set; it depends on the three arguments only.

    Args:
        seed: random seed of the data set.
        split: `train`, `val` or `test`.
        index: position in the split, from 0.

    >>> scene = render_scene(2007, "train", 0)
    >>> scene.image.shape[:2] == scene.instances.shape
    True
    """
    # Python's generator determines content and positions: its numbers are equal in every release. Numpy's
    # determines pixels and the edges of fur, which changes a box by at most one or two pixels.
    rng = random.Random(f"{seed}/{split}/{index}")
    generator = np.random.default_rng(rng.getrandbits(64))
    size, composition = rng.choice(SIZES), draw_composition(rng)
    canvas, horizon = paint_background(rng, generator, size, composition.setting)
    for each in Arrangement(rng, size, horizon).arrange(composition):
        canvas.paint(each.drawing, each.placement)
    image = simulate_camera(rng, generator, canvas.pixels)
    return RenderedScene(image, canvas.instances, annotate(canvas), composition.setting)
