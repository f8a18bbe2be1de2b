"""Mosaics of photographs whose pseudo-boxes are known: several objects, also small ones, side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image

from dogcam.structures.images import LabelledImage
from dogcam.train.localiser.pseudo_boxes import PseudoBox

ASPECTS = ((1.0, 1.0), (0.7, 1.0), (1.0, 0.7))
"""(height, width) of a mosaic, relative to the longer side of the view."""

SPLITS = ((False, True), (True, False), (True, True))
"""Whether a mosaic has two rows, and two columns."""

GREY = (128, 128, 128)
SAME_CLASS = 0.7
MOST_MARGIN = 0.6
"""Of a tile around its objects, as a share of their common sides."""

ReadPixels = Callable[[LabelledImage], Image.Image]


@dataclass(frozen=True)
class Source:
    """An image with its pseudo-boxes, at least one."""

    image: LabelledImage
    boxes: Sequence[PseudoBox]


def make_mosaic(
    sources: Sequence[Source],
    by_class: Mapping[str, Sequence[Source]],
    side: int,
    read: ReadPixels,
    generator: np.random.Generator,
) -> tuple[Image.Image, list[PseudoBox]]:
    """Return a mosaic of two or four tiles, and the pseudo-boxes in it.

    A class is drawn, each with the same probability. Each tile shows the objects of an image, with a random
    margin and scale, at a random place of its part of the mosaic; most tiles show the class.

    Args:
        sources: all images.
        by_class: the images of each class.
        side: longer side of the mosaic in pixels.
        read: reads the pixels of an image.
        generator: of all draws.
    """
    name = sorted(by_class)[generator.integers(len(by_class))]
    height, width = (round(side * each) for each in ASPECTS[generator.integers(len(ASPECTS))])
    rows, columns = SPLITS[generator.integers(len(SPLITS))]
    ys = _edges(height, rows, generator)
    xs = _edges(width, columns, generator)
    mosaic, boxes = Image.new("RGB", (width, height), GREY), []
    for top, bottom in pairwise(ys):
        for left, right in pairwise(xs):
            pool = by_class[name] if generator.uniform() < SAME_CLASS else sources
            source = pool[int(generator.integers(len(pool)))]
            tile, found = _tile(source, (bottom - top, right - left), read, generator)
            x = left + int(generator.integers(right - left - tile.width + 1))
            y = top + int(generator.integers(bottom - top - tile.height + 1))
            mosaic.paste(tile, (x, y))
            boxes += [_moved(each, (x, y)) for each in found]
    return mosaic, boxes


def _edges(length: int, split: bool, generator: np.random.Generator) -> list[int]:
    share = generator.uniform(0.3, 0.7)
    return [0, round(length * share), length] if split else [0, length]


def _tile(
    source: Source, size: tuple[int, int], read: ReadPixels, generator: np.random.Generator
) -> tuple[Image.Image, list[PseudoBox]]:
    """Return the part of an image that shows its objects, no larger than (height, width), and its boxes."""
    (most_height, most_width), (height, width) = size, source.image.size
    corners = np.array([each.box for each in source.boxes])
    (x0, y0), (x1, y1) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
    margin = generator.uniform(0, MOST_MARGIN, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    x0, y0 = max(0.0, x0 - margin[0]), max(0.0, y0 - margin[1])
    x1, y1 = min(float(width), x1 + margin[2]), min(float(height), y1 + margin[3])
    aspect = most_width / most_height
    # Towards the shape of the part, as far as the photograph goes: less grey.
    more_width = max(0.0, (y1 - y0) * aspect - (x1 - x0)) / 2
    more_height = max(0.0, (x1 - x0) / aspect - (y1 - y0)) / 2
    x0, x1 = max(0.0, x0 - more_width), min(float(width), x1 + more_width)
    y0, y1 = max(0.0, y0 - more_height), min(float(height), y1 + more_height)
    scale = min(most_width / (x1 - x0), most_height / (y1 - y0))
    shape = (
        min(most_width, max(1, round((x1 - x0) * scale))), min(most_height, max(1, round((y1 - y0) * scale))),
    )  # fmt: skip
    tile = read(source.image).resize(shape, Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
    return tile, [_scaled(each, (x0, y0), scale) for each in source.boxes]


def _scaled(box: PseudoBox, origin: tuple[float, float], scale: float) -> PseudoBox:
    x0, y0, x1, y1 = box.box
    x, y = origin
    return replace(box, box=((x0 - x) * scale, (y0 - y) * scale, (x1 - x) * scale, (y1 - y) * scale))


def _moved(box: PseudoBox, by: tuple[int, int]) -> PseudoBox:
    x0, y0, x1, y1 = box.box
    return replace(box, box=(x0 + by[0], y0 + by[1], x1 + by[0], y1 + by[1]))
