"""One small data set that tests write in every format."""

from pathlib import Path

import numpy as np
from PIL import Image

from dogcam.structures.images import LabelledImage, LabelledObject, Split

SIZES = {"a": (30, 40), "b": (24, 36), "s/c": (50, 20)}
"""(height, width) of each image."""

OBJECTS = {
    "a": (LabelledObject("dog", (0.0, 1.0, 10.0, 20.0)), LabelledObject("cat", (10.0, 0.0, 40.0, 30.0))),
    "b": (),
    "s/c": (LabelledObject("dog", (3.0, 7.0, 20.0, 50.0)),),
}


def photograph(path: Path, size: tuple[int, int], **options: object) -> Path:
    """Write noise as a photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def make_split(folder: Path, objects: dict[str, tuple[LabelledObject, ...]] = OBJECTS) -> Split:
    """Return the split `val` with photographs in `folder`; one of them is a PNG with a suffix in capitals."""
    images = []
    for name, size in SIZES.items():
        path = photograph(folder / f"{name}{'.PNG' if name == 'b' else '.jpg'}", size)
        images.append(LabelledImage(name, path, *size, objects[name]))
    return Split(folder, "val", tuple(images))
