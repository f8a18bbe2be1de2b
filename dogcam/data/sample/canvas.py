"""The picture under construction: pixels, which object each pixel shows, and how a figure is painted.

A figure is a list of parts from back to front. Each part is shaded as if it were inflated, lit from the
upper left, and casts a little shadow on what lies behind it: that gives flat shapes their volume.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dogcam.data.sample.shapes import Box, Placement, Shape, clip_box, coverage, ellipse, extent, pixel_box
from dogcam.data.sample.textures import Colour, Field, noise, resize

Coat = Callable[[np.random.Generator, Field, Field], Field]
"""Colours (height, width, 3) from a source of noise and each pixel's own coordinates in the figure."""

LONGEST_TUFT = 6.0
"""Limit on the raggedness of an edge in pixels."""

LIGHT = (0.5, 0.87)
"""Rightwards and downwards direction of the light, a unit vector in pixels."""


@dataclass(frozen=True)
class Part:
    """Shapes that are painted in one go.

    Attributes:
        shapes: what the part covers, in the figure's own coordinates.
        colour: its colour; the figure's coat where there is none.
        tone: factor on the colour, below 1 for what lies in the shade.
        relief: how round it looks; 0 is flat.
        fuzz: length of the tufts along its edge in the figure's units, 0 for a clean edge.
    """

    shapes: tuple[Shape, ...]
    colour: Colour | None = None
    tone: float = 1.0
    relief: float = 1.0
    fuzz: float = 0.0


@dataclass(frozen=True)
class Figure:
    """A thing to be painted: its class (None for what is not annotated), parts and coat."""

    name: str | None
    parts: tuple[Part, ...]
    coat: Coat | None = None
    shadow: float = 0.5

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in the figure's own coordinates."""
        return extent(shape for part in self.parts for shape in part.shapes)


@dataclass(frozen=True)
class Painted:
    """What is known of an annotated figure before others cover it.

    Attributes:
        number: the value of its pixels in the instance map.
        name: its class.
        whole_box: the pixels around all of it, also outside the picture.
        whole_area: pixels it would cover if nothing hid or cut it.
        inside_area: how many of these lie inside the picture.
    """

    number: int
    name: str
    whole_box: Box
    whole_area: int
    inside_area: int

    @property
    def truncated(self) -> bool:
        """Whether a part of it lies outside the picture."""
        return self.inside_area < self.whole_area


@dataclass
class Canvas:
    """A picture: (height, width, 3) float32 pixels and (height, width) int16 instances, 0 the background."""

    pixels: Field
    generator: np.random.Generator
    instances: NDArray[np.int16] = field(init=False)
    painted: list[Painted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.instances = np.zeros(self.size, np.int16)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def blend(self, box: Box, alpha: Field, colours: Colour | Field) -> None:
        """Lay colours over the pixels of a box, as opaque as `alpha` says."""
        view = self.pixels[box[1] : box[3], box[0] : box[2]]
        view += alpha[..., None] * (np.asarray(colours, np.float32) - view)

    def paint(self, figure: Figure, placement: Placement) -> None:
        """Paint a figure over what is there and note whose pixels they are now."""
        parts = [(part, [placement.shape(shape) for shape in part.shapes]) for part in figure.parts]
        shapes = [shape for _, placed in parts for shape in placed]
        whole = pixel_box(shapes, margin=2 + math.ceil(LONGEST_TUFT))
        box = clip_box(whole, self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        self.cast_shadow(figure, placement)
        number = self._register(figure.name, shapes, whole) if figure.name else 0
        coat = figure.coat(self.generator, *placement.grid(box)) if figure.coat else None
        for part, placed in parts:
            tufts = min(part.fuzz * placement.scale, LONGEST_TUFT)
            self._paint_part(part, placed, box, coat, number, tufts)

    def cast_shadow(self, figure: Figure, placement: Placement) -> None:
        """Darken the ground where a figure stands."""
        if not figure.shadow:
            return
        x0, _, x1, _ = figure.extent
        spot = placement.shape(ellipse((x0 + x1) / 2 + 0.04, 0.0, 0.52 * (x1 - x0), 0.075 * (x1 - x0)))
        blur = max(1.5, 0.04 * (x1 - x0) * placement.scale)
        box = clip_box(pixel_box([spot], margin=math.ceil(2 * blur)), self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        alpha = _blurred(np.asarray(coverage([spot], box, 1), np.float32) / np.float32(255), blur)
        self.blend(box, np.float32(figure.shadow) * alpha, (0.06, 0.06, 0.09))

    def _register(self, name: str, shapes: list[Shape], whole: Box) -> int:
        """Note how large the figure would be if it were neither hidden nor cut; return its number."""
        mask = np.asarray(coverage(shapes, whole, 1)) > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = whole[0], whole[1]
        tight = (
            left + int(columns[0]),
            top + int(rows[0]),
            left + int(columns[-1]) + 1,
            top + int(rows[-1]) + 1,
        )
        x0, y0, x1, y1 = clip_box(whole, self.size)
        inside = int(mask[y0 - top : y1 - top, x0 - left : x1 - left].sum())
        self.painted.append(Painted(len(self.painted) + 1, name, tight, int(mask.sum()), inside))
        return len(self.painted)

    def _paint_part(
        self, part: Part, shapes: list[Shape], figure: Box, coat: Field | None, number: int, tufts: float
    ) -> None:
        box = clip_box(pixel_box(shapes, margin=2 + math.ceil(tufts)), self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        alpha: Field = np.asarray(coverage(shapes, box), np.float32) / np.float32(255)
        if tufts > 0.4:
            alpha = self._ragged(alpha, tufts)
        if part.colour is None:
            assert coat is not None, "a part without a colour has a coat"
            colours = coat[box[1] - figure[1] : box[3] - figure[1], box[0] - figure[0] : box[2] - figure[0]]
        else:
            colours = np.asarray(part.colour, np.float32)
        light: Field | np.float32 = np.float32(part.tone)
        if part.relief:
            thickness = max(shape.thickness for shape in shapes)
            light = light * _relief(alpha, 0.6 * thickness, part.relief)[..., None]
        self.blend(box, alpha, colours * light)
        # A pixel belongs to the last figure that covers at least half of it.
        self.instances[box[1] : box[3], box[0] : box[2]][alpha >= 0.5] = number

    def _ragged(self, alpha: Field, length: float) -> Field:
        """Return the coverage with an edge of tufts of the given length in pixels."""
        tufts = noise(self.generator, alpha.shape, (length + 1, length + 1))
        return np.clip(3 * (_blurred(alpha, length) + 0.6 * (tufts - 0.5)) - 1, 0, 1)


def _coarse(field: Field, factor: int) -> Field:
    """Return the means of squares of `factor` pixels; edges are repeated to fill the last."""
    height, width = field.shape
    rows, columns = -(-height // factor), -(-width // factor)
    padded = np.pad(field, ((0, rows * factor - height), (0, columns * factor - width)), mode="edge")
    return padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _fine(field: Field, factor: int, size: tuple[int, int]) -> Field:
    """Return a smooth field of `size` from its squares' means: the inverse of `_coarse`."""
    rows, columns = field.shape
    return resize(field, (rows * factor, columns * factor))[: size[0], : size[1]]


def _blurred(alpha: Field, sigma: float) -> Field:
    """Return the Gaussian blur of a field, computed on a coarser grid where it is smooth anyway."""
    factor = max(1, int(sigma // 2))
    small = ndimage.gaussian_filter(_coarse(alpha, factor), sigma / factor, mode="nearest", truncate=2.5)
    return _fine(small, factor, alpha.shape)


def _relief(alpha: Field, depth: float, strength: float) -> Field:
    """Return factors on the colours of a part that make it look inflated.

    Args:
        alpha: (height, width) coverage.
        depth: how far from its edge the part is still curved, in pixels.
        strength: 0 for flat, 1 for round, negative for hollow.
    """
    depth = min(max(depth, 1.2), 30.0)
    factor = max(1, int(depth // 2.5))
    padded = np.pad(_coarse(alpha, factor), 1)
    height = ndimage.gaussian_filter(padded, depth / factor, mode="constant", truncate=2.5)
    down, right = np.gradient(height)
    slope = np.float32(depth / factor) * (np.float32(LIGHT[0]) * right + np.float32(LIGHT[1]) * down)
    light = 1 + np.float32(strength) * (0.75 * slope - 0.3 * (1 - np.clip(height * 1.2, 0, 1)))
    return _fine(light[1:-1, 1:-1].astype(np.float32), factor, alpha.shape)
