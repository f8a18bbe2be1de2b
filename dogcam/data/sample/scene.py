"""One scene: a cast is set up in its place, painted from back to front, photographed and annotated."""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogcam.data.sample.annotation import SceneObject, annotate, class_mask
from dogcam.data.sample.backdrop import paint_backdrop
from dogcam.data.sample.camera import photograph
from dogcam.data.sample.cast import draw_cast
from dogcam.data.sample.composition import Composition

SIZES = ((300, 400), (320, 440), (330, 480), (300, 450), (360, 480), (360, 360), (400, 300), (440, 330))
"""(height, width) of the pictures in pixels."""


@dataclass(frozen=True)
class Scene:
    """A finished picture.

    Attributes:
        image: (height, width, 3) uint8 array, RGB.
        instances: (height, width) int16 array: 0 background, else the number of an object. Numbers that no
            object has belong to what is too small or too hidden to be annotated.
        objects: the annotated objects from back to front.
        place: name of the setting.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.int16]
    objects: tuple[SceneObject, ...]
    place: str

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(height, width) uint8 array of class values, 255 void."""
        return class_mask(self.instances, self.objects)


def render_scene(seed: int, split: str, index: int) -> Scene:
    """Render one scene of the data set; it depends on nothing but the three arguments.

    Args:
        seed: seed of the data set.
        split: `train`, `val` or `test`.
        index: position in the split, from 0.
    """
    # Python's generator decides what stands where: its stream is the same in every release. Numpy's makes
    # the pixels and frays the edges of fur, which moves a box by a pixel or two at most.
    dice = random.Random(f"{seed}/{split}/{index}")
    generator = np.random.default_rng(dice.getrandbits(64))
    size, cast = dice.choice(SIZES), draw_cast(dice)
    canvas, horizon = paint_backdrop(dice, generator, size, cast.place)
    for actor in Composition(dice, size, horizon).set_up(cast):
        canvas.paint(actor.figure, actor.placement)
    image = photograph(dice, generator, canvas.pixels)
    return Scene(image, canvas.instances, annotate(canvas), cast.place)
