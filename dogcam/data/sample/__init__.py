"""The sample data set: rendered images of dogs and similar animals, with boxes and masks, in VOC layout.

It is the default data set, so a complete run needs no download. The images depend on a random seed only, and
are equal on all machines. `shapes`, `textures` and `canvas` rasterise. `species`, `coats`, `animals`,
`animal_heads`, `frontal` and `objects` draw. `composition` samples the content of an image, `arrangement` its
positions, `background` the surroundings. `camera` simulates exposure and noise, `annotation` computes boxes,
`rendering` combines them, and `writer` writes the files.
"""

from dogcam.data.sample.annotation import CLASSES, SceneObject
from dogcam.data.sample.rendering import RenderedScene, render_scene
from dogcam.data.sample.writer import SAMPLE_VERSION, write_sample

__all__ = ["CLASSES", "SAMPLE_VERSION", "RenderedScene", "SceneObject", "render_scene", "write_sample"]
