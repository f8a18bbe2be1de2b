"""Tiny data sets in VOC layout, for tests that need pictures and labels but no photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 36
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}


def write_patches(root: Path, splits: dict[str, list[list[str]]], seed: int = 0) -> Path:
    """Write grey pictures with one coloured patch for each class that they show.

    Args:
        root: the folder to make.
        splits: for each split the classes of each image, among those of `COLOURS`.
        seed: of the noise and the places.
    """
    generator = np.random.default_rng(seed)
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, images in splits.items():
        ids = [f"{split}{number:03d}" for number in range(len(images))]
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{each}\n" for each in ids))
        for image_id, names in zip(ids, images, strict=True):
            _write_image(root, image_id, names, generator)
    return root


def _write_image(root: Path, image_id: str, names: list[str], generator: np.random.Generator) -> None:
    pixels = generator.integers(90, 160, (HEIGHT, WIDTH, 1)).repeat(3, axis=2)
    objects = ""
    for name in names:
        top, left = int(generator.integers(HEIGHT - 10)), int(generator.integers(WIDTH - 10))
        pixels[top : top + 10, left : left + 10] = COLOURS[name]
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + 10, "ymax": top + 10}
        box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
        objects += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    (root / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    Image.fromarray(pixels.astype(np.uint8)).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95)
