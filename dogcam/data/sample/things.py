"""People, balls and furniture, and the things around them that are not annotated.

Each function draws one figure whose origin is on the ground below its middle.
"""

import math
import random
from collections.abc import Callable

import numpy as np

from dogcam.data.sample.canvas import Figure, Part
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


def person(dice: random.Random) -> Figure:
    """Draw a person of about 1.7 units who stands or walks."""
    skin, shirt, trousers = dice.choice(SKINS), dice.choice(CLOTHES), dice.choice(CLOTHES)
    stride, reach = dice.uniform(0.02, 0.22), dice.uniform(-0.1, 0.35)
    hair = tinted(TONES[dice.choice(("black", "chocolate", "gold", "grey", "rust"))], dice)

    def leg(x: float) -> Shape:
        return stroke([(0.5 * x, 0.82), (0.8 * x, 0.45), (x, 0.07)], [0.12, 0.085, 0.06])

    def arm(hand: tuple[float, float], side: float) -> Shape:
        elbow = ((side * 0.22 + hand[0]) / 2 + 0.05 * side, (1.3 + hand[1]) / 2 - 0.05)
        return stroke([(side * 0.19, 1.32), elbow, hand], [0.075, 0.06, 0.045])

    hands = ((-0.28, 0.8), (0.28 + reach, 0.8 + 0.5 * abs(reach)))
    shoes = tuple(ellipse(x + 0.04, 0.045, 0.1, 0.05) for x in (-stride, stride))
    turn = dice.uniform(-0.05, 0.05)
    parts = (
        Part((arm(hands[0], -1),), scaled(shirt, 0.85)),
        Part(shoes, INK),
        Part((leg(-stride), leg(stride)), trousers),
        Part((stroke([(0, 0.86), (0, 1.28)], [0.17, 0.2]),), shirt),
        Part((arm(hands[1], 1),), scaled(shirt, 0.95)),
        Part(tuple(disc(*hand, 0.05) for hand in hands), skin),
        Part((stroke([(0, 1.42), (turn, 1.55)], [0.06, 0.06]),), scaled(skin, 0.85)),
        Part((ellipse(turn, 1.67, 0.125, 0.15),), skin),
        *_features(dice, turn, hair),
    )
    return Figure("person", parts)


def _features(dice: random.Random, turn: float, hair: Colour) -> list[Part]:
    """Draw hair and face; one person in four has turned away."""
    if dice.random() < 0.25:
        return [Part((ellipse(turn, 1.7, 0.14, 0.15),), hair, fuzz=0.01)]
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
    return [Part((crown,), hair, fuzz=0.01), Part((*eyes, mouth), INK, relief=0)]


def ball(dice: random.Random) -> Figure:
    """Draw a ball of about 0.2 units: plain with a seam, striped, or a football."""
    r = dice.uniform(0.09, 0.15)
    base = dice.choice(
        ((0.80, 0.85, 0.25), (0.82, 0.24, 0.22), (0.25, 0.45, 0.75), (0.93, 0.91, 0.87), (0.92, 0.55, 0.2))
    )
    body = Part((disc(0, r, r),), base, relief=1.1)
    kind = dice.choice(("seam", "stripes", "football"))
    tilt = dice.uniform(-0.6, 0.6)
    if kind == "seam":
        marks = (
            stroke(
                [(-0.9 * r, 1.3 * r), (0, (1 + 0.3 * math.sin(tilt)) * r), (0.9 * r, 1.3 * r)], [0.06 * r] * 3
            ),
        )
        return Figure("ball", (body, Part(marks, (0.95, 0.95, 0.9), relief=0)))
    if kind == "stripes":
        return Figure(
            "ball", (body, Part((ellipse(0, r, 0.3 * r, 0.95 * r, tilt),), (0.95, 0.93, 0.88), relief=0.6))
        )
    angles = [tilt + 2 * math.pi * k / 5 for k in range(5)]
    spots = [disc(0.68 * r * math.cos(a), r + 0.68 * r * math.sin(a), 0.2 * r) for a in angles]
    return Figure("ball", (body, Part((disc(0, r, 0.24 * r), *spots), INK, relief=0.3)))


def chair(dice: random.Random) -> Figure:
    """Draw a wooden chair of about one unit, seen at a slight angle."""
    wood = tinted(dice.choice(WOODS), dice)
    seat, slats = dice.uniform(0.42, 0.5), dice.choice((2, 3))
    back = [stroke([(x, 0.1), (x, 1.0)], [0.03, 0.03]) for x in (-0.2, 0.26)]
    bars = [rectangle(-0.2, 0.94 - 0.15 * k, 0.26, 1.0 - 0.15 * k) for k in range(slats)]
    front = [stroke([(x, 0.0), (x, seat)], [0.03, 0.032]) for x in (-0.29, 0.2)]
    top = outline([(-0.33, seat), (0.24, seat), (0.3, seat + 0.12), (-0.23, seat + 0.12)], smooth=False)
    cushion = dice.choice(CLOTHES) if dice.random() < 0.6 else wood
    parts = (
        Part((*back, *bars), scaled(wood, 0.85), relief=0.6),
        Part(tuple(front), wood),
        Part((top,), cushion, relief=0.4),
    )
    return Figure("chair", parts, shadow=0.35)


def sofa(dice: random.Random) -> Figure:
    """Draw an upholstered sofa, about two units wide; its seat is 0.42 above the ground."""
    cloth = tinted(dice.choice(CLOTHES), dice)
    half = dice.uniform(0.8, 1.15)
    back = stroke([(-half + 0.1, 0.62), (half - 0.1, 0.62)], [0.28, 0.28])
    seats = [
        stroke([(x0 + 0.12, 0.36), (x0 + half - 0.2, 0.36)], [0.11, 0.11]) for x0 in (-half + 0.06, 0.02)
    ]
    arm = stroke([(half, 0.16), (half, 0.5)], [0.12, 0.15])
    feet = [rectangle(x - 0.03, 0.0, x + 0.03, 0.1) for x in (-half + 0.05, half - 0.05)]
    parts = (
        Part(tuple(feet), INK, relief=0),
        Part((back,), None, 0.92, relief=0.8),
        Part((rectangle(-half, 0.07, half, 0.4),), None, 0.85, relief=0.4),
        Part(tuple(seats), None, 1.05),
        Part((arm, mirrored(arm))),
    )
    return Figure("sofa", parts, _cloth(cloth, dice.choice(CLOTHES), dice.random() < 0.3), shadow=0.4)


def _cloth(base: Colour, second: Colour, checked: bool) -> Callable[..., Field]:
    """Return an upholstery: plain or checked."""

    def coat(generator: np.random.Generator, u: Field, v: Field) -> Field:
        check: Field = (
            step(np.sin(28 * u), 0.5, 0.3) * 0.5 + step(np.sin(28 * v), 0.5, 0.3) * 0.5 if checked else 0 * u
        )
        return mix(base, second, 0.5 * check) * (0.9 + 0.2 * noise(generator, u.shape, (3, 3)))[..., None]

    return coat


def bush(dice: random.Random) -> Figure:
    """Draw a shrub of about 0.9 units; autumn ones are as brown as a dog."""
    blobs = [ellipse(dice.uniform(-0.4, 0.4), dice.uniform(0.15, 0.5), 0.28, 0.24) for _ in range(6)]
    return Figure(None, (Part(tuple(ring(blob, 0.04) for blob in blobs), None, fuzz=0.04),), _foliage(dice))


def _foliage(dice: random.Random) -> Callable[..., Field]:
    green = tinted(dice.choice(LEAVES), dice)

    def coat(generator: np.random.Generator, u: Field, v: Field) -> Field:
        leaves = noise(generator, u.shape, (6, 6)) * 0.6 + noise(generator, u.shape, (30, 30)) * 0.4
        return mix(scaled(green, 0.7), scaled(green, 1.35), step(leaves, 0.5, 0.5))

    return coat


def tree(dice: random.Random) -> Figure:
    """Draw a tree of about 2.5 units for the distance."""
    trunk = stroke([(0, 0), (0.03, 1.2)], [0.12, 0.08])
    crown = [ellipse(dice.uniform(-0.5, 0.5), dice.uniform(1.2, 2.1), 0.45, 0.4) for _ in range(6)]
    parts = (Part((trunk,), WOODS[1]), Part(tuple(ring(blob, 0.06) for blob in crown), None, fuzz=0.04))
    return Figure(None, parts, _foliage(dice), shadow=0.3)


def tuft(dice: random.Random) -> Figure:
    """Draw a tuft of tall grass of about 0.4 units."""
    blades = []
    for _ in range(16):
        x, lean, height = dice.uniform(-0.3, 0.3), dice.uniform(-0.15, 0.15), dice.uniform(0.18, 0.42)
        blades.append(
            stroke([(x, 0), (x + 0.3 * lean, 0.6 * height), (x + lean, height)], [0.02, 0.014, 0.004])
        )
    return Figure(
        None, (Part(tuple(blades), tinted(LEAVES[dice.randrange(2)], dice, 0.12), relief=0.6),), shadow=0.2
    )


def fence(dice: random.Random) -> Figure:
    """Draw a stretch of picket fence, 0.6 units high."""
    wood = tinted(dice.choice((TONES["white"], WOODS[0], WOODS[2])), dice)
    count = dice.randrange(4, 9)
    xs = [0.2 * (k - (count - 1) / 2) for k in range(count)]
    pickets = [
        outline(
            [(x - 0.045, 0), (x + 0.045, 0), (x + 0.045, 0.52), (x, 0.6), (x - 0.045, 0.52)], smooth=False
        )
        for x in xs
    ]
    rails = [rectangle(xs[0] - 0.1, y, xs[-1] + 0.1, y + 0.06) for y in (0.14, 0.38)]
    return Figure(
        None,
        (Part(tuple(rails), scaled(wood, 0.8), relief=0.4), Part(tuple(pickets), wood, relief=0.4)),
        shadow=0.2,
    )


def crate(dice: random.Random) -> Figure:
    """Draw a cardboard box, 0.6 units high, seen from a corner."""
    card = tinted(TONES["sand"], dice, 0.1)
    width, height = dice.uniform(0.5, 0.8), dice.uniform(0.35, 0.6)
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
        Part((lid,), scaled(card, 1.12), relief=0),
        Part((front,), card, relief=0.25),
        Part((tape,), scaled(card, 0.8), relief=0),
    )
    return Figure(None, parts)


def plant(dice: random.Random) -> Figure:
    """Draw a pot plant, about one unit high."""
    pot = outline([(-0.13, 0), (0.13, 0), (0.19, 0.3), (-0.19, 0.3)], smooth=False)
    leaves = []
    for _ in range(11):
        angle, length = dice.uniform(0.3, math.pi - 0.3), dice.uniform(0.4, 0.75)
        tip = (length * math.cos(angle), 0.3 + length * math.sin(angle))
        leaves.append(stroke([(0, 0.28), (0.55 * tip[0], 0.2 + 0.6 * tip[1]), tip], [0.02, 0.055, 0.006]))
    green = tinted(dice.choice(LEAVES[:3]), dice, 0.1)
    return Figure(
        None, (Part(tuple(leaves), green, relief=0.8), Part((pot,), tinted((0.72, 0.42, 0.3), dice, 0.1)))
    )


def bowl(dice: random.Random) -> Figure:
    """Draw a feeding bowl, 0.3 units wide."""
    colour = dice.choice(((0.72, 0.74, 0.76), (0.75, 0.2, 0.2), (0.2, 0.4, 0.65), (0.9, 0.88, 0.8)))
    side = outline([(-0.18, 0.01), (0.18, 0.01), (0.14, 0.12), (-0.14, 0.12)], smooth=False)
    rim, food = ellipse(0, 0.12, 0.145, 0.035), ellipse(0, 0.118, 0.115, 0.024)
    parts = (
        Part((side,), colour, relief=0.8),
        Part((rim,), scaled(colour, 1.1), relief=0),
        Part((food,), (0.38, 0.25, 0.17), relief=0),
    )
    return Figure(None, parts, shadow=0.4)


def leash(colour: Colour, start: tuple[float, float], end: tuple[float, float]) -> Figure:
    """Draw a slack leash between two points that are given in pixels, y pointing up from the origin."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 0.12 * math.dist(start, end))
    return Figure(
        None, (Part((stroke([start, middle, end], [1.3, 1.3, 1.3]),), colour, relief=0),), shadow=0.0
    )
