"""Draw animals from the front (sitting, standing, or head and chest) and from behind.

The origin is on the ground below the middle of the body.
"""

import random

from dogcam.data.sample.animal_heads import ears_from_the_front, head_from_the_front
from dogcam.data.sample.animals import COLLARS
from dogcam.data.sample.canvas import Drawing, PaintedPart
from dogcam.data.sample.coats import draw_fur
from dogcam.data.sample.shapes import Shape, disc, ellipse, mirrored, ring, stroke
from dogcam.data.sample.species import Build


def from_the_front(rng: random.Random, build: Build, sitting: bool) -> Drawing:
    """Draw an animal that faces the viewer, sitting or standing."""
    height = (0.62 if sitting else 0.85) * build.torso_height + 0.1
    fur = draw_fur(rng, build, height + 0.05)
    top = height + 0.55 * build.chest + (0.75 if sitting else 0.6) * build.neck
    apart = 0.5 * build.chest
    legs = stroke(
        [(apart, height), (apart, 0.45 * height), (apart, build.bone)],
        [0.4 * build.chest, *2 * [1.15 * build.bone]],
    )
    paw = ellipse(apart, 0.045, 1.6 * build.bone, 0.05)
    thigh = ellipse(1.05 * build.chest, 0.14, 0.16, 0.15)
    parts = [PaintedPart((thigh, mirrored(thigh)), tone=0.85, fuzz=build.fuzz)] if sitting else []
    low = 0.42 * height if sitting else height
    torso = stroke(
        [(0, low), (0, height + 0.3 * build.chest), (0, top)],
        [1.1 * build.chest, build.chest, 0.7 * build.head],
    )
    fleece = _fleece(build, height, 1.15 * build.chest, 1.15 * build.chest)
    parts += [
        PaintedPart((torso, *fleece), fuzz=build.body_fuzz, tone=0.92),
        PaintedPart((legs, mirrored(legs), paw, mirrored(paw)), fuzz=build.fuzz),
        *head_from_the_front(rng, build, fur, (rng.uniform(-0.05, 0.05), top)),
    ]
    return Drawing(build.species, tuple(parts), fur)


def portrait(rng: random.Random, build: Build) -> Drawing:
    """Draw head and chest from the front; the chest extends below the origin, to be truncated."""
    fur = draw_fur(rng, build, 0.1)
    top = 0.25 + build.neck
    bust = stroke([(0, -0.6), (0, 0.0), (0, top)], [1.15 * build.chest, build.chest, 0.78 * build.head])
    fleece = _fleece(build, -0.2, 1.2 * build.chest, 1.4 * build.chest)
    parts = [PaintedPart((bust, *fleece), fuzz=build.body_fuzz)]
    if build.species == "dog" and rng.random() < 0.5:
        parts.append(PaintedPart((ellipse(0, 0.12, 0.9 * build.chest, 0.04),), rng.choice(COLLARS)))
    parts += head_from_the_front(rng, build, fur, (rng.uniform(-0.06, 0.06), top))
    return Drawing(build.species, tuple(parts), fur, shadow=0.0)


def _fleece(build: Build, height: float, half_width: float, half_height: float) -> tuple[Shape, ...]:
    return (ring(ellipse(0, height, half_width, half_height), 0.075),) if build.wool else ()


def from_behind(rng: random.Random, build: Build) -> Drawing:
    """Draw an animal from behind, with ears and tail but no face."""
    height = 0.8 * build.torso_height
    fur = draw_fur(rng, build, height)
    top = height + 0.5 * build.hip + 0.8 * build.neck
    apart = 0.5 * build.hip
    leg = stroke(
        [(apart, height), (1.1 * apart, 0.45 * height), (apart, build.bone)],
        [0.6 * build.hip, *2 * [1.2 * build.bone]],
    )
    back = stroke([(0, height), (0, top - 0.2)], [1.05 * build.hip, 0.7 * build.hip])
    root = (0.0, height + 0.35 * build.hip)
    side = rng.choice((-1, 1))
    reach = 0.8 * build.tail
    tip = (side * 0.5 * reach, max(0.08, root[1] - 0.6 * reach))
    tail = [root, (side * 0.3 * reach, root[1] + 0.1), tip]
    thick = 0.1 if build.tail_kind in ("brush", "plume", "hair") else 0.045
    fleece = _fleece(build, height, 1.2 * build.hip, 1.2 * build.hip)
    parts = (
        ears_from_the_front(build, (0.0, top)),
        PaintedPart((disc(0, top, build.head),), fuzz=build.fuzz),
        PaintedPart((back, *fleece), fuzz=build.body_fuzz),
        PaintedPart((leg, mirrored(leg)), tone=0.95, fuzz=build.fuzz),
        PaintedPart((stroke(tail, [0.05, thick, 0.6 * thick]),), tone=0.8, fuzz=0.02),
    )
    return Drawing(build.species, parts, fur)
