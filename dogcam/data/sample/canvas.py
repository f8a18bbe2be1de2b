"""The canvas: pixels, the object of each pixel, and how a drawing is painted.

A drawing is a list of parts from back to front. Each part is shaded as a rounded solid with light from the
upper left.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dogcam.data.sample.shapes import Box, Placement, Shape, clip_box, coverage, ellipse, extent, pixel_box
from dogcam.data.sample.textures import Colour, Field, noise, planes, resize

Coat = Callable[[np.random.Generator, Field, Field], Field]
"""Return colours (3, height, width) from a source of noise and the drawing coordinates of each pixel."""

LONGEST_TUFT = 6.0
"""Maximum length of tufts at an edge in pixels."""

LIGHT = (0.5, 0.87)
"""Direction of the light, right and down: a unit vector in pixels."""


@dataclass(frozen=True)
class PaintedPart:
    """Shapes that are painted together.

    Attributes:
        shapes: the area of the part, in drawing coordinates.
        colour: its colour; None for the coat of the drawing.
        tone: factor of the colour, below 1 in the shade.
        relief: strength of the shading; 0 is flat.
        fuzz: length of the tufts along its edge, in units of the drawing; 0 for a sharp edge.
    """

    shapes: tuple[Shape, ...]
    colour: Colour | None = None
    tone: float = 1.0
    relief: float = 1.0
    fuzz: float = 0.0


@dataclass(frozen=True)
class Drawing:
    """An object to be painted.

    Attributes:
        name: its class; None if it is not annotated.
        parts: from back to front.
        coat: colours of parts without a colour.
        shadow: darkness of its shadow on the ground, in [0, 1].
    """

    name: str | None
    parts: tuple[PaintedPart, ...]
    coat: Coat | None = None
    shadow: float = 0.5

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in drawing coordinates."""
        return extent(shape for part in self.parts for shape in part.shapes)


@dataclass(frozen=True)
class PaintedObject:
    """The extent of an annotated drawing before others cover it.

    Attributes:
        number: value of its pixels in the instance map.
        name: its class.
        whole_box: its box in pixels, without occlusion and truncation.
        whole_area: its area in pixels, without occlusion and truncation.
        inside_area: the part of this area inside the image.
    """

    number: int
    name: str
    whole_box: Box
    whole_area: int
    inside_area: int

    @property
    def truncated(self) -> bool:
        """Whether a part of it is outside the image."""
        return self.inside_area < self.whole_area


@dataclass
class Canvas:
    """An image: (3, height, width) float32 pixels and (height, width) int16 instances, 0 for background."""

    pixels: Field
    generator: np.random.Generator
    instances: NDArray[np.int16] = field(init=False)
    painted: list[PaintedObject] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.instances = np.zeros(self.size, np.int16)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def blend(self, box: Box, alpha: Field, colours: Colour | Field) -> None:
        """Blend colours over the pixels of a box, with the opacity `alpha`."""
        view = self.pixels[:, box[1] : box[3], box[0] : box[2]]
        change = planes(colours) - view
        change *= alpha
        view += change

    def paint(self, drawing: Drawing, placement: Placement) -> None:
        """Paint a drawing, and assign its pixels to it in the instance map."""
        parts = [(part, [placement.shape(shape) for shape in part.shapes]) for part in drawing.parts]
        shapes = [shape for _, placed in parts for shape in placed]
        whole = pixel_box(shapes, margin=2 + math.ceil(LONGEST_TUFT))
        box = clip_box(whole, self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        self.cast_shadow(drawing, placement)
        number = self._register(drawing.name, shapes, whole) if drawing.name else 0
        coat = drawing.coat(self.generator, *placement.grid(box)) if drawing.coat else None
        for part, placed in parts:
            tufts = min(part.fuzz * placement.scale, LONGEST_TUFT)
            self._paint_part(part, placed, box, coat, number, tufts)

    def cast_shadow(self, drawing: Drawing, placement: Placement) -> None:
        """Darken the ground below a drawing."""
        if not drawing.shadow:
            return
        x0, _, x1, _ = drawing.extent
        spot = placement.shape(ellipse((x0 + x1) / 2 + 0.04, 0.0, 0.52 * (x1 - x0), 0.075 * (x1 - x0)))
        blur = max(1.5, 0.04 * (x1 - x0) * placement.scale)
        box = clip_box(pixel_box([spot], margin=math.ceil(2 * blur)), self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        alpha = _blurred(np.asarray(coverage([spot], box, 1), np.float32) / np.float32(255), blur)
        self.blend(box, np.float32(drawing.shadow) * alpha, (0.06, 0.06, 0.09))

    def _register(self, name: str, shapes: list[Shape], whole: Box) -> int:
        """Record the extent of a drawing without occlusion and truncation; return its number."""
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
        self.painted.append(PaintedObject(len(self.painted) + 1, name, tight, int(mask.sum()), inside))
        return len(self.painted)

    def _paint_part(
        self,
        part: PaintedPart,
        shapes: list[Shape],
        drawing: Box,
        coat: Field | None,
        number: int,
        tufts: float,
    ) -> None:
        box = clip_box(pixel_box(shapes, margin=2 + math.ceil(tufts)), self.size)
        if box[0] == box[2] or box[1] == box[3]:
            return
        alpha: Field = np.asarray(coverage(shapes, box), np.float32) / np.float32(255)
        if tufts > 0.4:
            alpha = self._ragged(alpha, tufts)
        if part.colour is None:
            assert coat is not None, "a part without a colour has a coat"
            colours = coat[
                :, box[1] - drawing[1] : box[3] - drawing[1], box[0] - drawing[0] : box[2] - drawing[0]
            ]
        else:
            colours = planes(part.colour)
        light: Field | np.float32 = np.float32(part.tone)
        if part.relief:
            thickness = max(shape.thickness for shape in shapes)
            light = light * _relief(alpha, 0.6 * thickness, part.relief)
        self.blend(box, alpha, colours * light)
        # A pixel belongs to the last drawing that covers at least half of it.
        self.instances[box[1] : box[3], box[0] : box[2]][alpha >= 0.5] = number

    def _ragged(self, alpha: Field, length: float) -> Field:
        """Return the coverage with tufts of a given length in pixels along its edge."""
        tufts = noise(self.generator, alpha.shape, (length + 1, length + 1))
        return np.clip(3 * (_blurred(alpha, length) + 0.6 * (tufts - 0.5)) - 1, 0, 1)


def _coarse(field: Field, factor: int) -> Field:
    """Return the means of squares with sides of `factor` pixels; the last rows and columns are repeated."""
    if factor == 1:
        return field
    height, width = field.shape
    rows, columns = -(-height // factor), -(-width // factor)
    padded = np.empty((rows * factor, columns * factor), np.float32)
    padded[:height, :width] = field
    padded[height:, :width] = field[-1]
    padded[:, width:] = padded[:, width - 1 : width]
    return padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _fine(field: Field, factor: int, size: tuple[int, int]) -> Field:
    """Return a smooth field of a size from the means of its squares: the inverse of `_coarse`."""
    rows, columns = field.shape
    return resize(field, (rows * factor, columns * factor))[: size[0], : size[1]]


def _blurred(alpha: Field, sigma: float) -> Field:
    """Return the Gaussian blur of a field, computed on a coarse grid if the blur is large."""
    factor = max(1, int(sigma // 2))
    small = _gaussian(_coarse(alpha, factor), sigma / factor, "nearest")
    return _fine(small, factor, alpha.shape)


def _gaussian(field: Field, sigma: float, mode: Literal["nearest", "constant"]) -> Field:
    """Return what `gaussian_filter` of scipy returns with `truncate=2.5`; both axes share one kernel."""
    reach = int(2.5 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    kernel /= kernel.sum()
    return ndimage.correlate1d(ndimage.correlate1d(field, kernel, 0, mode=mode), kernel, 1, mode=mode)


def _relief(alpha: Field, depth: float, strength: float) -> Field:
    """Return the shading of a part: factors of its colours.

    Args:
        alpha: (height, width) coverage.
        depth: distance from the edge up to which the part is curved, in pixels.
        strength: 0 for flat, 1 for round, negative for concave.
    """
    depth = min(max(depth, 1.2), 30.0)
    factor = max(1, int(depth // 2.5))
    coarse = _coarse(alpha, factor)
    padded = np.zeros((coarse.shape[0] + 2, coarse.shape[1] + 2), np.float32)
    padded[1:-1, 1:-1] = coarse
    height = _gaussian(padded, depth / factor, "constant")
    down = (height[2:, 1:-1] - height[:-2, 1:-1]) / 2
    right = (height[1:-1, 2:] - height[1:-1, :-2]) / 2
    slope = np.float32(depth / factor) * (np.float32(LIGHT[0]) * right + np.float32(LIGHT[1]) * down)
    light = 1 + np.float32(strength) * (0.75 * slope - 0.3 * (1 - np.clip(height[1:-1, 1:-1] * 1.2, 0, 1)))
    return _fine(light, factor, alpha.shape)
