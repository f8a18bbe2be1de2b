"""The rendered sample data set: scenes with dogs and their look-alikes, drawn by our own code from a seed.

It is the embedded default: a whole experiment runs on it without a download. The scenes come in VOC layout
with boxes and masks, and are the same on every machine. `shapes`, `textures` and `canvas` paint; `species`,
`coats`, `animals`, `frontal` and `things` say what there is to paint; `cast`, `stage` and `backdrop` compose
a scene, `camera` photographs it, `annotation` states what is seen of each object, `writer` stores it all.
"""

from dogcam.data.sample.annotation import CLASSES, SceneObject
from dogcam.data.sample.scene import Scene, render_scene
from dogcam.data.sample.writer import SAMPLE_VERSION, write_sample

__all__ = ["CLASSES", "SAMPLE_VERSION", "Scene", "SceneObject", "render_scene", "write_sample"]
