"""Draw heads of animals in profile and from the front: skull, muzzle, ears, eyes, nose, tongue."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from dogcam.data.sample.canvas import PaintedPart
from dogcam.data.sample.coats import CREAM, INK, Fur, scaled
from dogcam.data.sample.shapes import Shape, disc, ellipse, mirrored, outline, stroke
from dogcam.data.sample.species import Build
from dogcam.data.sample.textures import Colour

Point = tuple[float, float]
PINK = (0.85, 0.47, 0.48)
AMBER, BROWN = (0.78, 0.74, 0.35), (0.23, 0.13, 0.08)

SIDE_EARS: dict[str, Callable[[float], list[Point]]] = {
    "pointed": lambda long: [
        (-0.45, 0.6), (-0.4, 0.75 + 0.5 * long), (-0.25, 0.8 + long), (0.05, 0.8 + 0.35 * long), (0.2, 0.7),
    ],
    "folded": lambda long: [(-0.4, 0.7), (-0.3, 1.15), (0.15, 1.3), (0.5, 0.75), (0.15, 0.72)],
    "floppy": lambda long: [
        (-0.5, 0.65), (-0.1, 0.8), (0.05, 0.2), (-0.05, 0.4 - long), (-0.5, 0.3 - long), (-0.7, 0.0),
    ],
    "sideways": lambda long: [(0.0, 0.5), (-0.6, 0.6), (-0.5 - long, 0.1), (-0.6, 0.05), (-0.1, 0.2)],
}  # fmt: skip
"""Outlines of an ear in profile for a given length, in skull radii from the poll."""

FRONT_EARS: dict[str, Callable[[float], list[Point]]] = {
    "pointed": lambda long: [
        (0.25, 0.8), (0.95, 0.3), (0.98, 0.7 + 0.4 * long), (0.82, 0.7 + long), (0.5, 0.85 + 0.5 * long),
    ],
    "folded": lambda long: [(0.3, 0.85), (0.6, 1.2), (1.15, 1.0), (1.2, 0.45), (0.9, 0.35)],
    "floppy": lambda long: [
        (0.45, 0.8), (0.9, 0.75), (1.3, 0.1), (1.3, 0.2 - long), (1.0, 0.1 - long), (0.8, 0.1),
    ],
    "sideways": lambda long: [(0.7, 0.45), (1.1, 0.65), (0.9 + long, 0.3), (1.2, 0.1), (0.8, 0.1)],
}  # fmt: skip
"""The same for the right ear from the front."""


@dataclass(frozen=True)
class Axes:
    """The axes of a head: skull radii forwards and upwards from the poll, rotated by `nod` radians."""

    poll: Point
    radius: float
    nod: float = 0.0

    def at(self, forward: float, up: float) -> Point:
        """Return a point in drawing coordinates."""
        cos, sin = math.cos(self.nod) * self.radius, math.sin(self.nod) * self.radius
        return self.poll[0] + forward * cos - up * sin, self.poll[1] + forward * sin + up * cos

    def outline(self, nodes: list[Point], forward: float = 0.0) -> Shape:
        """Return a smooth outline, moved forwards."""
        return outline([self.at(x + forward, y) for x, y in nodes])


def head_in_profile(rng: random.Random, build: Build, fur: Fur, poll: Point, nod: float) -> list[PaintedPart]:
    """Draw a head that faces right, rotated upwards by `nod` radians."""
    axes, r = Axes(poll, build.head, nod), build.head
    end = build.snout * r * (0.62 if build.species == "fox" else 0.85)
    jaw = stroke(
        [axes.at(0.25, -0.2), axes.at(0.7, -0.25), axes.at(0.75 + build.muzzle, -0.28)],
        [0.72 * r, build.snout * r * 1.12, end],
    )
    nose = disc(*axes.at(0.78 + build.muzzle + 0.75 * end / r, -0.18), max(0.026, 0.3 * end + 0.012))
    masked = build.species in ("sheep", "dog") and rng.random() < 0.25
    panting = build.species == "dog" and rng.random() < 0.4
    return [
        _ear_in_profile(build, axes, forward=-0.28, tone=0.72),
        *([_tongue(axes.at(0.62 + build.muzzle, -0.55), 0.5 * r)] if panting else []),
        PaintedPart((disc(*poll, r), jaw), scaled(fur.base, 0.35) if masked else None, fuzz=0.6 * build.fuzz),
        *_lips(build, axes, fur, end),
        PaintedPart((nose,), _nose_colour(build, fur), relief=0.7),
        *_eyes(build, (axes.at(0.42, 0.24),), 0.17 * r),
        _ear_in_profile(build, axes, forward=0.0, tone=0.95),
    ]


def _lips(build: Build, axes: Axes, fur: Fur, end: float) -> list[PaintedPart]:
    """Draw the mouth in profile, and the pale chin of animals with a bib."""
    r, tip = build.head, 0.7 + build.muzzle
    line = stroke(
        [axes.at(0.75, -0.58), axes.at(0.75 + 0.8 * build.muzzle, -0.28 - 0.62 * end / r)], [0.008] * 2
    )
    mouth = PaintedPart((line,), scaled(fur.base, 0.4), relief=0.0)
    if fur.pattern != "bib":
        return [mouth]
    nodes = [axes.at(0.45, -0.5), axes.at(0.7, -0.42), axes.at(tip, -0.42)]
    return [PaintedPart((stroke(nodes, [0.3 * r, 0.32 * r, 0.5 * end]),), fur.second, relief=0.3), mouth]


def _ear_in_profile(build: Build, axes: Axes, forward: float, tone: float) -> PaintedPart:
    shape = axes.outline(SIDE_EARS[build.ear_kind](build.ear), forward)
    return PaintedPart((shape,), tone=tone * _ear_tone(build), fuzz=0.5 * build.fuzz)


def head_from_the_front(rng: random.Random, build: Build, fur: Fur, centre: Point) -> list[PaintedPart]:
    """Draw a head from the front; a longer muzzle ends lower."""
    (x, y), r = centre, build.head
    turn = rng.uniform(-0.22, 0.22) * r
    nose_x, drop = x + turn, (0.22 + 0.22 * build.muzzle) * r
    wide = (0.45 + 0.5 * build.snout) * r * (0.8 if build.species == "fox" else 1.0)
    narrow = build.species == "horse"
    skull = [ellipse(x, y, (0.8 if narrow else 1.0) * r, 0.95 * r)]
    if build.species in ("cat", "fox"):
        skull.append(ellipse(x, y - 0.25 * r, 1.12 * r, 0.62 * r))
    muzzle = stroke([(x + 0.3 * turn, y - 0.1 * r), (nose_x, y - drop - 0.1 * r)], [0.9 * wide, 0.82 * wide])
    apart = (0.6 if narrow else 0.42) * r
    panting = build.species == "dog" and rng.random() < 0.45
    face, ears = PaintedPart(tuple(skull), fuzz=0.6 * build.fuzz), ears_from_the_front(build, centre)
    return [
        *([face, ears] if build.ear_kind == "floppy" else [ears, face]),
        *([_tongue((nose_x, y - drop - 0.5 * wide), wide)] if panting else []),
        PaintedPart(
            (muzzle,), fur.second if fur.pattern == "bib" else None, 1.05, relief=0.8, fuzz=0.4 * build.fuzz
        ),
        *_eyes(build, [(x + 0.5 * turn + side * apart, y + 0.2 * r) for side in (-1, 1)], 0.16 * r),
        *_snout(build, fur, (nose_x, y - drop + 0.12 * r), wide),
    ]


def ears_from_the_front(build: Build, centre: Point) -> PaintedPart:
    """Draw both ears of a head from the front or from behind."""
    right = Axes((0.0, 0.0), build.head).outline(FRONT_EARS[build.ear_kind](build.ear))
    moved = tuple(Shape(ear.discs, ear.polygons + centre) for ear in (right, mirrored(right)))
    return PaintedPart(moved, tone=_ear_tone(build), fuzz=0.5 * build.fuzz)


def _snout(build: Build, fur: Fur, nose: Point, wide: float) -> list[PaintedPart]:
    """Draw the nose and the line below it."""
    x, y = nose
    size = (0.15 + 0.16 * build.snout) * build.head * (0.6 if build.species == "cat" else 1.0)
    line = stroke([(x, y - size), (x, y - size - 0.3 * wide)], [0.007, 0.007])
    return [
        PaintedPart((ellipse(x, y, 1.15 * size, 0.85 * size),), _nose_colour(build, fur), relief=0.8),
        PaintedPart((line,), INK, relief=0.0),
    ]


def _eyes(build: Build, centres: list[Point] | tuple[Point, ...], size: float) -> list[PaintedPart]:
    """Draw eyes with a highlight: brown with round pupils, or amber with slits."""
    pupil = (0.4 if build.slit_eyes else 0.7) * size
    glints = tuple(disc(x + 0.3 * size, y + 0.35 * size, 0.3 * size) for x, y in centres)
    return [
        PaintedPart(
            tuple(disc(*centre, size) for centre in centres), AMBER if build.slit_eyes else BROWN, relief=0.3
        ),
        PaintedPart(tuple(ellipse(*centre, pupil, 0.8 * size) for centre in centres), INK, relief=0.0),
        PaintedPart(glints, CREAM, relief=0.0),
    ]


def _tongue(root: Point, wide: float) -> PaintedPart:
    x, y = root
    return PaintedPart((stroke([(x, y), (x, y - 0.65 * wide)], [0.38 * wide, 0.32 * wide]),), PINK)


def _nose_colour(build: Build, fur: Fur) -> Colour:
    if build.species == "cat":
        return 0.72, 0.42, 0.40
    return scaled(fur.base, 0.5) if build.species == "horse" else INK


def _ear_tone(build: Build) -> float:
    """Return the tone of the ears; floppy ears are darker than the head, to contrast with it."""
    return 0.7 if build.ear_kind == "floppy" else 0.92
