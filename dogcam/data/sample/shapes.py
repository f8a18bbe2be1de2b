"""Shapes in drawing coordinates, their placement in an image, and the pixels that they cover.

The origin of a drawing is a point on the ground: x to the right, y upwards, in units of about one torso
length. A `Placement` converts drawing coordinates to pixels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open."""

SUPERSAMPLING = 2
NO_DISCS = np.zeros((0, 3))
NO_POLYGONS = np.zeros((0, 4, 2))
ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
UNIT_CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


@dataclass(frozen=True)
class Shape:
    """The union of discs, rows of (x, y, radius), and of simple polygons of M corners each, (K, M, 2).

    If there are discs, they determine the extent: no polygon extends beyond their hull.
    """

    discs: NDArray[np.float64]
    polygons: NDArray[np.float64]

    @property
    def thickness(self) -> float:
        """The mean radius of the shape, for shading."""
        if len(self.discs):
            return float(self.discs[:, 2].mean())
        return float(np.ptp(self.polygons, axis=1).min()) / 2


def spline(nodes: NDArray[np.float64], steps: int, closed: bool = False) -> NDArray[np.float64]:
    """Sample the Catmull-Rom spline through the nodes.

    Args:
        nodes: (N, D) float array, N >= 2.
        steps: number of samples between two nodes.
        closed: whether the last node is connected to the first one.

    Returns:
        (N * steps, D) float array if closed, else ((N - 1) * steps + 1, D) including both ends.
    """
    if closed:
        padded = np.concatenate([nodes[-1:], nodes, nodes[:2]])
    else:
        padded = np.concatenate([2 * nodes[:1] - nodes[1:2], nodes, 2 * nodes[-1:] - nodes[-2:-1]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.reshape(-1, nodes.shape[1])
    return curve if closed else np.concatenate([curve, nodes[-1:]])


def stroke(points: Sequence[tuple[float, float]], radii: Sequence[float]) -> Shape:
    """Return a smooth stroke with a varying radius: a limb, a neck, a torso.

    Args:
        points: N >= 2 nodes of the stroke.
        radii: N radii, one for each node.
    """
    nodes = [(*point, radius) for point, radius in zip(points, radii, strict=True)]
    path = spline(np.array(nodes, float), 5)
    path[:, 2] = np.maximum(path[:, 2], 1e-3)
    along = np.diff(path[:, :2], axis=0)
    across = along[:, ::-1] * [-1, 1] / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    centres, radius = path[:, :2], path[:, 2:]
    start, end = across * radius[:-1], across * radius[1:]
    corners = np.empty((len(across), 4, 2))
    np.add(centres[:-1], start, out=corners[:, 0])
    np.add(centres[1:], end, out=corners[:, 1])
    np.subtract(centres[1:], end, out=corners[:, 2])
    np.subtract(centres[:-1], start, out=corners[:, 3])
    return Shape(path, corners)


def disc(x: float, y: float, radius: float) -> Shape:
    """Return one disc."""
    return Shape(np.array([[x, y, radius]]), NO_POLYGONS)


def ellipse(x: float, y: float, half_width: float, half_height: float, tilt: float = 0.0) -> Shape:
    """Return an ellipse, rotated counter-clockwise by `tilt` radians."""
    points = UNIT_CIRCLE * [half_width, half_height]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return Shape(NO_DISCS, (points @ np.array([[cos, sin], [-sin, cos]]) + [x, y])[None])


def outline(points: Sequence[tuple[float, float]], smooth: bool = True) -> Shape:
    """Return the area inside a closed outline through the points, smooth or with straight edges."""
    nodes = np.asarray(points, float)
    return Shape(NO_DISCS, (spline(nodes, 6, closed=True) if smooth else nodes)[None])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Shape:
    """Return an upright rectangle."""
    return outline([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], smooth=False)


def ring(shape: Shape, radius: float) -> Shape:
    """Return bumps along the polygons of a shape: the edge of a fleece or of a bush."""
    points = shape.polygons.reshape(-1, 2)
    return Shape(np.column_stack([points, np.full(len(points), radius)]), shape.polygons)


def mirrored(shape: Shape) -> Shape:
    """Return the shape with left and right exchanged about x = 0."""
    return Shape(shape.discs * [-1, 1, 1], shape.polygons * [-1, 1])


@dataclass(frozen=True)
class Placement:
    """The position of a drawing in an image.

    Attributes:
        x, y: pixel of the origin of the drawing.
        scale: pixels per unit of the drawing.
        flip: whether it is mirrored.
        tilt: rotation in radians.
    """

    x: float
    y: float
    scale: float
    flip: bool = False
    tilt: float = 0.0

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 2) matrix M with `pixel = M @ point + origin`; y is inverted to point downwards."""
        cos, sin = math.cos(self.tilt) * self.scale, math.sin(self.tilt) * self.scale
        matrix = np.array([[cos, -sin], [-sin, -cos]])
        return matrix * [-1, 1] if self.flip else matrix

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) points in pixels."""
        return points @ self.matrix.T + [self.x, self.y]

    def shape(self, shape: Shape) -> Shape:
        """Return the shape in pixels."""
        discs = np.empty(shape.discs.shape)
        discs[:, :2] = self.points(shape.discs[:, :2])
        np.multiply(shape.discs[:, 2], self.scale, out=discs[:, 2])
        corners = self.points(shape.polygons.reshape(-1, 2))
        return Shape(discs, corners.reshape(shape.polygons.shape))

    def grid(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the drawing coordinates of each pixel of a box: two (height, width) arrays."""
        inverse = np.linalg.inv(self.matrix)
        x = np.arange(box[0], box[2], dtype=np.float32)[None] + np.float32(0.5 - self.x)
        y = np.arange(box[1], box[3], dtype=np.float32)[:, None] + np.float32(0.5 - self.y)
        (a, b), (c, d) = inverse.astype(np.float32)
        return a * x + b * y, c * x + d * y


def extent(shapes: Iterable[Shape]) -> tuple[float, float, float, float]:
    """Return the extent x0, y0, x1, y1 of shapes, in their coordinates."""
    shapes = tuple(shapes)
    discs = np.concatenate([shape.discs for shape in shapes])
    corners = [shape.polygons.reshape(-1, 2) for shape in shapes if not len(shape.discs)]
    x0, y0 = np.concatenate([discs[:, :2] - discs[:, 2:], *corners]).min(axis=0).tolist()
    x1, y1 = np.concatenate([discs[:, :2] + discs[:, 2:], *corners]).max(axis=0).tolist()
    return x0, y0, x1, y1


def pixel_box(shapes: Iterable[Shape], margin: int = 1) -> Box:
    """Return the box of whole pixels around shapes in pixels."""
    x0, y0, x1, y1 = extent(shapes)
    return math.floor(x0) - margin, math.floor(y0) - margin, math.ceil(x1) + margin, math.ceil(y1) + margin


def clip_box(box: Box, size: tuple[int, int]) -> Box:
    """Return the part of a box inside an image of (height, width); it may be empty."""
    height, width = size
    x0, y0 = max(0, box[0]), max(0, box[1])
    return x0, y0, max(x0, min(width, box[2])), max(y0, min(height, box[3]))


def coverage(shapes: Iterable[Shape], box: Box, supersampling: int = SUPERSAMPLING) -> Image.Image:
    """Return the covered share of each pixel of a box.

    Args:
        shapes: shapes in pixels.
        box: the pixels; not empty.
        supersampling: samples per pixel and axis.

    Returns:
        An 8-bit grey image of the size of the box; 255 for a pixel that is covered completely.
    """
    size = ((box[2] - box[0]) * supersampling, (box[3] - box[1]) * supersampling)
    image = Image.new("L", size)
    # The methods of the core: those of `ImageDraw` convert the colour again for each of thousands of shapes.
    draw = ImageDraw.Draw(image).draw
    origin = np.array([box[0], box[1]])
    for shape in shapes:
        centres = (shape.discs[:, :2] - origin) * supersampling
        radii = shape.discs[:, 2:] * supersampling
        for corners in np.concatenate([centres - radii, centres + radii], axis=1).tolist():
            draw.draw_ellipse(corners, 255, 1)
        polygons = (shape.polygons - origin) * supersampling
        for points in polygons.reshape(-1, 2 * polygons.shape[1]).tolist():
            draw.draw_polygon(points, 255, 1)
    return image.reduce(supersampling) if supersampling > 1 else image
