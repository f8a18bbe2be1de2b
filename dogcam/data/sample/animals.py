"""Draw animals in profile: standing, walking, sitting, lying.

They face right; the origin is on the ground below the hip.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dogcam.data.sample.animal_heads import Point, head_in_profile
from dogcam.data.sample.canvas import Drawing, PaintedPart
from dogcam.data.sample.coats import INK, Fur, draw_fur, scaled
from dogcam.data.sample.shapes import ellipse, ring, stroke
from dogcam.data.sample.species import Build
from dogcam.data.sample.textures import Colour

FAR = 0.72
"""Tone of the limbs on the far side."""
COLLARED = {"dog": 0.6, "cat": 0.05}
COLLARS = ((0.75, 0.16, 0.18), (0.15, 0.36, 0.66), (0.12, 0.5, 0.38), (0.9, 0.62, 0.12))


@dataclass(frozen=True)
class Stance:
    """The positions of the joints of an animal.

    Attributes:
        hip: middle of the hindquarters.
        shoulder: middle of the chest.
        hind: near and far hind leg, each from hip to toe.
        fore: near and far fore leg, each from shoulder to toe.
        tail_angle: direction in which the tail leaves the body, radians above the backward direction.
    """

    hip: Point
    shoulder: Point
    hind: tuple[tuple[Point, ...], tuple[Point, ...]]
    fore: tuple[tuple[Point, ...], tuple[Point, ...]]
    tail_angle: float


def from_the_side(rng: random.Random, build: Build, pose: str) -> Drawing:
    """Draw an animal in profile.

    Args:
        rng: source of random numbers.
        build: its proportions.
        pose: `standing`, `walking`, `sitting` or `lying`.
    """
    stance = STANCES[pose](rng, build)
    fur = draw_fur(rng, build, (stance.hip[1] + stance.shoulder[1]) / 2)
    rise = build.rise + rng.uniform(-0.25, 0.15) + (0.25 if pose == "sitting" else 0.0)
    if pose == "standing" and build.species in ("sheep", "horse") and rng.random() < 0.35:
        rise = rng.uniform(-0.7, -0.3)  # grazing
    elif pose == "standing" and rng.random() < 0.12:
        rise = rng.uniform(-0.4, 0.0)  # sniffing
    poll = _along(stance.shoulder, rise, build.neck + 0.7 * build.chest)
    nod = min(0.3, rise - build.rise) - rng.uniform(0.1, 0.5)
    socks = scaled(fur.base, 0.35) if build.species in ("fox", "sheep") and rng.random() < 0.6 else None
    parts = [
        _legs((stance.hind[1], stance.fore[1]), build, socks, FAR),
        _tail(build, fur, stance),
        *_trunk(build, stance, poll),
        _legs((stance.hind[0], stance.fore[0]), build, socks, 1.0),
        *_neckwear(rng, build, stance.shoulder, poll, fur),
        *head_in_profile(rng, build, fur, poll, nod),
    ]
    return Drawing(build.species, tuple(parts), fur)


def _along(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * math.cos(angle), start[1] + length * math.sin(angle)


def _upright(rng: random.Random, build: Build, stride: float) -> Stance:
    height, body, leg = build.torso_height, build.body, build.leg
    hip, shoulder = (0.0, height + 0.02), (body, height)

    def hind(swing: float) -> tuple[Point, ...]:
        return (
            (0.0, height - 0.3 * build.hip),
            (0.05 + 0.5 * swing, 0.72 * leg),
            (-0.07 + 0.8 * swing, 0.38 * leg),
            (-0.02 + swing, build.bone),
            (0.05 + swing, 0.8 * build.bone),
        )

    def fore(swing: float) -> tuple[Point, ...]:
        return (
            (body, height - 0.2 * build.chest),
            (body - 0.03 + 0.3 * swing, 0.7 * leg),
            (body + 0.01 + 0.7 * swing, 0.35 * leg),
            (body + swing, build.bone),
            (body + 0.06 + swing, 0.8 * build.bone),
        )

    back, front = leg * rng.uniform(-stride, stride), leg * rng.uniform(-stride, stride)
    apart, tail_angle = leg * (0.12 + stride), rng.uniform(-1.2, 0.9)
    hinds, fores = (hind(back), hind(back + apart)), (fore(front), fore(front - apart))
    return Stance(hip, shoulder, hinds, fores, tail_angle)


def _sitting(rng: random.Random, build: Build) -> Stance:
    lean = rng.uniform(0.7, 1.05)
    hip = (0.0, build.hip * 0.95)
    shoulder = _along(hip, lean, 0.85 * build.body)
    toe = shoulder[0] + rng.uniform(0.0, 0.08)

    def fore(offset: float) -> tuple[Point, ...]:
        x = toe + offset
        return (
            (shoulder[0], shoulder[1] - 0.2 * build.chest),
            (x - 0.02, 0.5 * shoulder[1]),
            (x, build.bone),
            (x + 0.07, 0.8 * build.bone),
        )

    def hind(offset: float) -> tuple[Point, ...]:
        knee = 0.6 * build.hip + 0.12 + offset
        return (
            (0.0, hip[1]),
            (knee, 0.85 * build.hip),
            (0.12 + offset, 0.08),
            (knee + 0.16, 0.8 * build.bone),
        )

    return Stance(hip, shoulder, (hind(0.0), hind(0.07)), (fore(0.0), fore(0.09)), rng.uniform(-0.3, 0.4))


def _lying(rng: random.Random, build: Build) -> Stance:
    hip, shoulder = (0.0, 0.92 * build.hip), (build.body, 0.95 * build.chest)
    reach = build.body + rng.uniform(0.25, 0.45)

    def fore(offset: float) -> tuple[Point, ...]:
        low = 0.9 * build.bone
        return (
            (build.body, 0.7 * build.chest),
            (build.body + 0.08, 0.1),
            (reach - 0.1, low),
            (reach + offset, low),
        )

    def hind(offset: float) -> tuple[Point, ...]:
        knee = 0.26 + offset
        return ((0.0, hip[1]), (knee, 0.8 * build.hip), (0.1, 0.09), (knee + 0.14, 0.8 * build.bone))

    return Stance(hip, shoulder, (hind(0.0), hind(0.06)), (fore(0.0), fore(0.1)), rng.uniform(-0.5, 0.1))


STANCES: dict[str, Callable[[random.Random, Build], Stance]] = {
    "standing": partial(_upright, stride=0.08),
    "walking": partial(_upright, stride=0.35),
    "sitting": _sitting,
    "lying": _lying,
}


def _legs(
    legs: tuple[tuple[Point, ...], ...], build: Build, socks: Colour | None, tone: float
) -> PaintedPart:
    """Join the hind and the fore leg of one side into one part."""
    shapes = []
    for points, top in zip(legs, (0.72 * build.hip, 0.55 * build.chest), strict=True):
        inner = [build.bone * (1.25 if index == 0 else 1.0) for index in range(len(points) - 3)]
        radii = [top, top * 0.62 if len(points) > 4 else top * 0.75, *inner, 1.1 * build.bone]
        shapes.append(stroke(points, radii))
    colour = socks if socks and tone < 1 else None
    return PaintedPart(tuple(shapes), colour, tone, fuzz=build.fuzz)


def _trunk(build: Build, stance: Stance, poll: Point) -> list[PaintedPart]:
    (x0, y0), (x1, y1) = stance.hip, stance.shoulder
    middle = (x0 + 0.42 * (x1 - x0), y0 + 0.42 * (y1 - y0) + 0.35 * (build.chest - build.waist))
    trunk = stroke([(x0, y0), middle, (x1, y1)], [build.hip, build.waist, build.chest])
    neck = stroke([_nape(build, stance.shoulder), poll], [0.82 * build.chest, 0.72 * build.head])
    if not build.wool:
        return [PaintedPart((trunk, neck), fuzz=build.fuzz)]
    length, slope = math.dist(stance.hip, stance.shoulder), math.atan2(y1 - y0, x1 - x0)
    oval = ellipse(
        (x0 + x1) / 2, (y0 + y1) / 2 + 0.03, 0.5 * length + 0.75 * build.chest, 0.98 * build.chest, slope
    )
    return [PaintedPart((neck,)), PaintedPart((trunk, ring(oval, 0.075)), fuzz=build.body_fuzz)]


def _nape(build: Build, shoulder: Point) -> Point:
    return shoulder[0] + 0.05, shoulder[1] + 0.15 * build.chest


def _neckwear(rng: random.Random, build: Build, shoulder: Point, poll: Point, fur: Fur) -> list[PaintedPart]:
    """Draw a mane or a collar, if the animal has one."""
    base, parts = _nape(build, shoulder), []
    if build.mane:
        crest = [
            (x - 0.07, y + 0.07) for x, y in (base, ((base[0] + poll[0]) / 2, (base[1] + poll[1]) / 2), poll)
        ]
        colour = INK if rng.random() < 0.6 else scaled(fur.second, 0.9)
        parts.append(PaintedPart((stroke(crest, [0.06, 0.085, 0.06]),), colour, fuzz=0.02))
    if rng.random() < COLLARED.get(build.species, 0.0):
        at = (base[0] + 0.62 * (poll[0] - base[0]), base[1] + 0.62 * (poll[1] - base[1]))
        slope = math.atan2(poll[1] - base[1], poll[0] - base[0])
        band = ellipse(*at, 0.032, 0.8 * (0.4 * build.chest + 0.5 * build.head), slope)
        parts.append(PaintedPart((band,), rng.choice(COLLARS)))
    return parts


def _tail(build: Build, fur: Fur, stance: Stance) -> PaintedPart:
    length, angle = build.tail, stance.tail_angle
    root = x, y = stance.hip[0] - 0.75 * build.hip, stance.hip[1] + 0.45 * build.hip
    if build.tail_kind == "curled":
        points = [(x, y), (x - 0.12, y + 0.18), (x + 0.02, y + 0.33), (x + 0.14, y + 0.22)]
        return PaintedPart((stroke(points, [0.065, 0.06, 0.055, 0.04]),), fuzz=build.fuzz)
    if build.tail_kind == "hair":
        points = [(x, y), (x - 0.14, y - 0.05), (x - 0.18, y - 0.5 * length), (x - 0.15, y - 1.1 * length)]
        return PaintedPart((stroke(points, [0.05, 0.08, 0.09, 0.03]),), scaled(fur.second, 0.55), fuzz=0.02)
    angle = min(angle, 0.6) if build.tail_kind == "brush" else angle
    bend = angle + {"thin": 0.9, "straight": 0.15, "plume": 0.5, "brush": 0.3, "stub": 0.0}[build.tail_kind]
    middle = (x - 0.5 * length * math.cos(angle), max(0.06, y + 0.5 * length * math.sin(angle)))
    tip = (middle[0] - 0.5 * length * math.cos(bend), max(0.05, middle[1] + 0.5 * length * math.sin(bend)))
    radii = {
        "thin": (0.045, 0.04, 0.032), "straight": (0.065, 0.05, 0.025), "plume": (0.05, 0.09, 0.05),
        "brush": (0.06, 0.115, 0.06), "stub": (0.07, 0.07, 0.05),
    }[build.tail_kind]  # fmt: skip
    bushy = build.tail_kind in ("plume", "brush")
    return PaintedPart((stroke([root, middle, tip], radii),), fuzz=max(build.fuzz, 0.02 if bushy else 0.0))
