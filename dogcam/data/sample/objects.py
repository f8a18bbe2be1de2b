"""Draw people, balls and furniture, and objects that are not annotated.

The origin of each drawing is on the ground below its middle.
"""

import math
import random
from collections.abc import Callable

import numpy as np

from dogcam.data.sample.canvas import Drawing, PaintedPart
from dogcam.data.sample.coats import INK, TONES, scaled, tinted
from dogcam.data.sample.shapes import Shape, disc, ellipse, mirrored, outline, rectangle, ring, stroke
from dogcam.data.sample.textures import Colour, Field, mix, noise, step

SKINS = ((0.93, 0.74, 0.62), (0.82, 0.60, 0.45), (0.62, 0.43, 0.31), (0.42, 0.28, 0.21))
CLOTHES = (
    (0.70, 0.25, 0.24), (0.22, 0.36, 0.56), (0.25, 0.45, 0.36), (0.85, 0.68, 0.30), (0.45, 0.34, 0.52),
    (0.86, 0.84, 0.80), (0.28, 0.28, 0.32), (0.62, 0.47, 0.34),
)  # fmt: skip
WOODS = ((0.55, 0.38, 0.24), (0.42, 0.27, 0.18), (0.72, 0.55, 0.37))
LEAVES = ((0.25, 0.42, 0.20), (0.36, 0.48, 0.22), (0.20, 0.36, 0.26), (0.55, 0.42, 0.20))


def person(rng: random.Random) -> Drawing:
    """Draw a person of about 1.7 units who stands or walks."""
    skin, shirt, trousers = rng.choice(SKINS), rng.choice(CLOTHES), rng.choice(CLOTHES)
    stride, reach = rng.uniform(0.02, 0.22), rng.uniform(-0.1, 0.35)
    hair = tinted(TONES[rng.choice(("black", "chocolate", "gold", "grey", "rust"))], rng)

    def leg(x: float) -> Shape:
        return stroke([(0.5 * x, 0.82), (0.8 * x, 0.45), (x, 0.07)], [0.12, 0.085, 0.06])

    def arm(hand: tuple[float, float], side: float) -> Shape:
        elbow = ((side * 0.22 + hand[0]) / 2 + 0.05 * side, (1.3 + hand[1]) / 2 - 0.05)
        return stroke([(side * 0.19, 1.32), elbow, hand], [0.075, 0.06, 0.045])

    hands = ((-0.28, 0.8), (0.28 + reach, 0.8 + 0.5 * abs(reach)))
    shoes = tuple(ellipse(x + 0.04, 0.045, 0.1, 0.05) for x in (-stride, stride))
    turn = rng.uniform(-0.05, 0.05)
    parts = (
        PaintedPart((arm(hands[0], -1),), scaled(shirt, 0.85)),
        PaintedPart(shoes, INK),
        PaintedPart((leg(-stride), leg(stride)), trousers),
        PaintedPart((stroke([(0, 0.86), (0, 1.28)], [0.17, 0.2]),), shirt),
        PaintedPart((arm(hands[1], 1),), scaled(shirt, 0.95)),
        PaintedPart(tuple(disc(*hand, 0.05) for hand in hands), skin),
        PaintedPart((stroke([(0, 1.42), (turn, 1.55)], [0.06, 0.06]),), scaled(skin, 0.85)),
        PaintedPart((ellipse(turn, 1.67, 0.125, 0.15),), skin),
        *_features(rng, turn, hair),
    )
    return Drawing("person", parts)


def _features(rng: random.Random, turn: float, hair: Colour) -> list[PaintedPart]:
    """Draw hair and face; one person in four faces away."""
    if rng.random() < 0.25:
        return [PaintedPart((ellipse(turn, 1.7, 0.14, 0.15),), hair, fuzz=0.01)]
    crown = outline(
        [
            (turn - 0.13, 1.66),
            (turn - 0.1, 1.82),
            (turn + 0.1, 1.83),
            (turn + 0.14, 1.66),
            (turn + 0.04, 1.76),
        ]
    )
    eyes = tuple(disc(1.8 * turn + side * 0.045, 1.67, 0.013) for side in (-1, 1))
    mouth = stroke([(1.8 * turn - 0.03, 1.6), (1.8 * turn, 1.592), (1.8 * turn + 0.03, 1.6)], [0.006] * 3)
    return [PaintedPart((crown,), hair, fuzz=0.01), PaintedPart((*eyes, mouth), INK, relief=0)]


def ball(rng: random.Random) -> Drawing:
    """Draw a ball of about 0.2 units: with a seam, striped, or a football."""
    r = rng.uniform(0.09, 0.15)
    base = rng.choice(
        ((0.80, 0.85, 0.25), (0.82, 0.24, 0.22), (0.25, 0.45, 0.75), (0.93, 0.91, 0.87), (0.92, 0.55, 0.2))
    )
    body = PaintedPart((disc(0, r, r),), base, relief=1.1)
    kind = rng.choice(("seam", "stripes", "football"))
    tilt = rng.uniform(-0.6, 0.6)
    if kind == "seam":
        marks = (
            stroke(
                [(-0.9 * r, 1.3 * r), (0, (1 + 0.3 * math.sin(tilt)) * r), (0.9 * r, 1.3 * r)], [0.06 * r] * 3
            ),
        )
        return Drawing("ball", (body, PaintedPart(marks, (0.95, 0.95, 0.9), relief=0)))
    if kind == "stripes":
        return Drawing(
            "ball",
            (body, PaintedPart((ellipse(0, r, 0.3 * r, 0.95 * r, tilt),), (0.95, 0.93, 0.88), relief=0.6)),
        )
    angles = [tilt + 2 * math.pi * k / 5 for k in range(5)]
    spots = [disc(0.68 * r * math.cos(a), r + 0.68 * r * math.sin(a), 0.2 * r) for a in angles]
    return Drawing("ball", (body, PaintedPart((disc(0, r, 0.24 * r), *spots), INK, relief=0.3)))


def chair(rng: random.Random) -> Drawing:
    """Draw a wooden chair of about one unit, seen at a slight angle."""
    wood = tinted(rng.choice(WOODS), rng)
    seat, slats = rng.uniform(0.42, 0.5), rng.choice((2, 3))
    back = [stroke([(x, 0.1), (x, 1.0)], [0.03, 0.03]) for x in (-0.2, 0.26)]
    bars = [rectangle(-0.2, 0.94 - 0.15 * k, 0.26, 1.0 - 0.15 * k) for k in range(slats)]
    front = [stroke([(x, 0.0), (x, seat)], [0.03, 0.032]) for x in (-0.29, 0.2)]
    top = outline([(-0.33, seat), (0.24, seat), (0.3, seat + 0.12), (-0.23, seat + 0.12)], smooth=False)
    cushion = rng.choice(CLOTHES) if rng.random() < 0.6 else wood
    parts = (
        PaintedPart((*back, *bars), scaled(wood, 0.85), relief=0.6),
        PaintedPart(tuple(front), wood),
        PaintedPart((top,), cushion, relief=0.4),
    )
    return Drawing("chair", parts, shadow=0.35)


def sofa(rng: random.Random) -> Drawing:
    """Draw an upholstered sofa, about two units wide; its seat is 0.42 above the ground."""
    cloth = tinted(rng.choice(CLOTHES), rng)
    half = rng.uniform(0.8, 1.15)
    back = stroke([(-half + 0.1, 0.62), (half - 0.1, 0.62)], [0.28, 0.28])
    seats = [
        stroke([(x0 + 0.12, 0.36), (x0 + half - 0.2, 0.36)], [0.11, 0.11]) for x0 in (-half + 0.06, 0.02)
    ]
    arm = stroke([(half, 0.16), (half, 0.5)], [0.12, 0.15])
    feet = [rectangle(x - 0.03, 0.0, x + 0.03, 0.1) for x in (-half + 0.05, half - 0.05)]
    parts = (
        PaintedPart(tuple(feet), INK, relief=0),
        PaintedPart((back,), None, 0.92, relief=0.8),
        PaintedPart((rectangle(-half, 0.07, half, 0.4),), None, 0.85, relief=0.4),
        PaintedPart(tuple(seats), None, 1.05),
        PaintedPart((arm, mirrored(arm))),
    )
    return Drawing("sofa", parts, _cloth(cloth, rng.choice(CLOTHES), rng.random() < 0.3), shadow=0.4)


def _cloth(base: Colour, second: Colour, checked: bool) -> Callable[..., Field]:
    """Return an upholstery: plain or checked."""

    def coat(generator: np.random.Generator, u: Field, v: Field) -> Field:
        check: Field = (
            step(np.sin(28 * u), 0.5, 0.3) * 0.5 + step(np.sin(28 * v), 0.5, 0.3) * 0.5 if checked else 0 * u
        )
        return mix(base, second, 0.5 * check) * (0.9 + 0.2 * noise(generator, u.shape, (3, 3)))

    return coat


def bush(rng: random.Random) -> Drawing:
    """Draw a shrub of about 0.9 units, green or brown."""
    blobs = [ellipse(rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.5), 0.28, 0.24) for _ in range(6)]
    return Drawing(
        None, (PaintedPart(tuple(ring(blob, 0.04) for blob in blobs), None, fuzz=0.04),), _foliage(rng)
    )


def _foliage(rng: random.Random) -> Callable[..., Field]:
    green = tinted(rng.choice(LEAVES), rng)

    def coat(generator: np.random.Generator, u: Field, v: Field) -> Field:
        leaves = noise(generator, u.shape, (6, 6)) * 0.6 + noise(generator, u.shape, (30, 30)) * 0.4
        return mix(scaled(green, 0.7), scaled(green, 1.35), step(leaves, 0.5, 0.5))

    return coat


def tree(rng: random.Random) -> Drawing:
    """Draw a tree of about 2.5 units."""
    trunk = stroke([(0, 0), (0.03, 1.2)], [0.12, 0.08])
    crown = [ellipse(rng.uniform(-0.5, 0.5), rng.uniform(1.2, 2.1), 0.45, 0.4) for _ in range(6)]
    parts = (
        PaintedPart((trunk,), WOODS[1]),
        PaintedPart(tuple(ring(blob, 0.06) for blob in crown), None, fuzz=0.04),
    )
    return Drawing(None, parts, _foliage(rng), shadow=0.3)


def tuft(rng: random.Random) -> Drawing:
    """Draw a tuft of tall grass of about 0.4 units."""
    blades = []
    for _ in range(16):
        x, lean, height = rng.uniform(-0.3, 0.3), rng.uniform(-0.15, 0.15), rng.uniform(0.18, 0.42)
        blades.append(
            stroke([(x, 0), (x + 0.3 * lean, 0.6 * height), (x + lean, height)], [0.02, 0.014, 0.004])
        )
    return Drawing(
        None,
        (PaintedPart(tuple(blades), tinted(LEAVES[rng.randrange(2)], rng, 0.12), relief=0.6),),
        shadow=0.2,
    )


def fence(rng: random.Random) -> Drawing:
    """Draw a section of picket fence, 0.6 units high."""
    wood = tinted(rng.choice((TONES["white"], WOODS[0], WOODS[2])), rng)
    count = rng.randrange(4, 9)
    xs = [0.2 * (k - (count - 1) / 2) for k in range(count)]
    pickets = [
        outline(
            [(x - 0.045, 0), (x + 0.045, 0), (x + 0.045, 0.52), (x, 0.6), (x - 0.045, 0.52)], smooth=False
        )
        for x in xs
    ]
    rails = [rectangle(xs[0] - 0.1, y, xs[-1] + 0.1, y + 0.06) for y in (0.14, 0.38)]
    return Drawing(
        None,
        (
            PaintedPart(tuple(rails), scaled(wood, 0.8), relief=0.4),
            PaintedPart(tuple(pickets), wood, relief=0.4),
        ),
        shadow=0.2,
    )


def crate(rng: random.Random) -> Drawing:
    """Draw a cardboard box, 0.6 units high, seen from a corner."""
    card = tinted(TONES["sand"], rng, 0.1)
    width, height = rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.6)
    front = rectangle(-width / 2, 0, width / 2, height)
    lid = outline(
        [
            (-width / 2, height),
            (width / 2, height),
            (width / 2 - 0.08, height + 0.12),
            (-width / 2 + 0.08, height + 0.12),
        ],
        smooth=False,
    )
    tape = rectangle(-0.04, height * 0.55, 0.04, height)
    parts = (
        PaintedPart((lid,), scaled(card, 1.12), relief=0),
        PaintedPart((front,), card, relief=0.25),
        PaintedPart((tape,), scaled(card, 0.8), relief=0),
    )
    return Drawing(None, parts)


def plant(rng: random.Random) -> Drawing:
    """Draw a pot plant, about one unit high."""
    pot = outline([(-0.13, 0), (0.13, 0), (0.19, 0.3), (-0.19, 0.3)], smooth=False)
    leaves = []
    for _ in range(11):
        angle, length = rng.uniform(0.3, math.pi - 0.3), rng.uniform(0.4, 0.75)
        tip = (length * math.cos(angle), 0.3 + length * math.sin(angle))
        leaves.append(stroke([(0, 0.28), (0.55 * tip[0], 0.2 + 0.6 * tip[1]), tip], [0.02, 0.055, 0.006]))
    green = tinted(rng.choice(LEAVES[:3]), rng, 0.1)
    return Drawing(
        None,
        (
            PaintedPart(tuple(leaves), green, relief=0.8),
            PaintedPart((pot,), tinted((0.72, 0.42, 0.3), rng, 0.1)),
        ),
    )


def bowl(rng: random.Random) -> Drawing:
    """Draw a feeding bowl, 0.3 units wide."""
    colour = rng.choice(((0.72, 0.74, 0.76), (0.75, 0.2, 0.2), (0.2, 0.4, 0.65), (0.9, 0.88, 0.8)))
    side = outline([(-0.18, 0.01), (0.18, 0.01), (0.14, 0.12), (-0.14, 0.12)], smooth=False)
    rim, food = ellipse(0, 0.12, 0.145, 0.035), ellipse(0, 0.118, 0.115, 0.024)
    parts = (
        PaintedPart((side,), colour, relief=0.8),
        PaintedPart((rim,), scaled(colour, 1.1), relief=0),
        PaintedPart((food,), (0.38, 0.25, 0.17), relief=0),
    )
    return Drawing(None, parts, shadow=0.4)


def leash(colour: Colour, start: tuple[float, float], end: tuple[float, float]) -> Drawing:
    """Draw a slack leash between two points in pixels, with y upwards from the origin."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 0.12 * math.dist(start, end))
    return Drawing(
        None, (PaintedPart((stroke([start, middle, end], [1.3, 1.3, 1.3]),), colour, relief=0),), shadow=0.0
    )
