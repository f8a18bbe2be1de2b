"""Backgrounds: ground and horizon, outdoors or in a room."""

import random
from dataclasses import dataclass

import numpy as np

from dogcam.data.sample.canvas import Canvas, Drawing, PaintedPart
from dogcam.data.sample.coats import scaled, tinted
from dogcam.data.sample.objects import WOODS, bush, fence, tree
from dogcam.data.sample.shapes import Placement, rectangle
from dogcam.data.sample.textures import GROUNDS, Colour, Field, noise, planes, sky, step, wallpaper

WALLS = ((0.80, 0.76, 0.68), (0.62, 0.70, 0.70), (0.74, 0.62, 0.55), (0.70, 0.72, 0.60), (0.55, 0.58, 0.66))
SKIES = ((0.45, 0.63, 0.82), (0.52, 0.70, 0.84), (0.64, 0.72, 0.79), (0.88, 0.80, 0.76))
HILLS = ((0.34, 0.47, 0.33), (0.45, 0.52, 0.36), (0.42, 0.46, 0.50))
FROST, SEA = (0.72, 0.78, 0.85), (0.25, 0.48, 0.58)
RUGS = ((0.55, 0.30, 0.28), (0.36, 0.42, 0.50), (0.60, 0.53, 0.42), (0.42, 0.46, 0.36))
GROUND_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "grass": ((0.20, 0.35, 0.14), (0.50, 0.62, 0.27)),
    "sand": ((0.62, 0.52, 0.38), (0.87, 0.79, 0.62)),
    "snow": ((0.68, 0.74, 0.84), (0.94, 0.95, 0.97)),
    "boards": ((0.42, 0.28, 0.18), (0.70, 0.51, 0.33)),
}


@dataclass(frozen=True)
class Setting:
    """A kind of background: texture of the ground, whether it is indoors, and the range of the horizon."""

    ground: str
    indoors: bool
    horizon: tuple[float, float]


SETTINGS = {
    "lawn": Setting("grass", False, (0.2, 0.42)),
    "meadow": Setting("grass", False, (0.35, 0.55)),
    "beach": Setting("sand", False, (0.25, 0.45)),
    "snow": Setting("snow", False, (0.25, 0.5)),
    "parlour": Setting("boards", True, (0.4, 0.58)),
    "bedroom": Setting("carpet", True, (0.4, 0.6)),
}


def paint_background(
    rng: random.Random, generator: np.random.Generator, size: tuple[int, int], name: str
) -> tuple[Canvas, int]:
    """Paint a background without objects.

    Args:
        rng: source of random positions.
        generator: source of random pixels.
        size: (height, width) in pixels.
        name: one of `SETTINGS`.

    Returns:
        The canvas and the row at which the ground begins.
    """
    setting = SETTINGS[name]
    height, width = size
    horizon = round(height * rng.uniform(*setting.horizon))
    if setting.ground == "carpet":
        rug = tinted(rng.choice(RUGS), rng)
        dark, light = scaled(rug, 0.8), scaled(rug, 1.2)
    else:
        dark, light = (tinted(colour, rng, 0.06) for colour in GROUND_COLOURS[setting.ground])
    ground = GROUNDS[setting.ground](generator, (height - horizon, width), dark, light)
    if setting.indoors:
        light = tinted(rng.choice(WALLS), rng)
        above = wallpaper(generator, (horizon, width), scaled(light, 0.86), light)
    else:
        above = _distance(rng, generator, (horizon, width), name)
    canvas = Canvas(np.concatenate([above, ground], axis=1).astype(np.float32, copy=False), generator)
    if setting.indoors:
        _decorate_wall(rng, canvas, horizon)
    elif name != "beach":
        _add_vegetation(rng, canvas, horizon, fenced=name == "lawn" and rng.random() < 0.4)
    return canvas, horizon


def _distance(rng: random.Random, generator: np.random.Generator, size: tuple[int, int], name: str) -> Field:
    """Draw the sky, and hills or the sea below it."""
    blue = tinted(rng.choice(SKIES), rng)
    red, green, pale = (0.5 + 0.5 * channel for channel in blue)
    image = sky(generator, size, blue, (red, green, pale))
    land = {"snow": FROST, "beach": SEA}.get(name) or tinted(rng.choice(HILLS), rng)
    rows = np.arange(size[0], dtype=np.float32)[:, None] / np.float32(size[0])
    for layer, lift in enumerate((0.42, 0.22)):
        if name == "beach":
            ridge: Field = np.full((1, size[1]), 1 - 0.8 * lift, dtype=np.float32)
        else:
            ridge = 1 - lift * (0.35 + 1.3 * noise(generator, (2, size[1]), (2, size[1] / 4), 2)[:1])
        haze = 0.45 - 0.25 * layer
        colour: Field = np.array(
            [haze * b + (1 - haze) * g for b, g in zip(blue, land, strict=True)], np.float32
        )
        shade = 0.9 + 0.2 * noise(generator, size, (9, 14))
        towards: Field = planes(colour) * shade - image
        image = image + step(rows - ridge, 0, 2 / size[0]) * towards
    return image


def _add_vegetation(rng: random.Random, canvas: Canvas, horizon: int, fenced: bool) -> None:
    """Add trees, shrubs or a fence at the horizon."""
    height, width = canvas.size
    if fenced:
        scale, y = height * rng.uniform(0.2, 0.4), horizon + 0.02 * height
        row, x = fence(rng), 0.0
        while x < width + scale:
            canvas.paint(row, Placement(x, y, scale))
            x += scale * (row.extent[2] - row.extent[0] - 0.02)
    for _ in range(rng.choice((0, 1, 2, 3))):
        drawing, size = (tree(rng), (0.08, 0.2)) if rng.random() < 0.5 else (bush(rng), (0.12, 0.3))
        y = horizon + height * rng.uniform(0.0, 0.05)
        canvas.paint(drawing, Placement(rng.uniform(0, width), y, height * rng.uniform(*size)))


def _decorate_wall(rng: random.Random, canvas: Canvas, horizon: int) -> None:
    """Add a skirting board and up to two framed pictures."""
    height, width = canvas.size
    board = PaintedPart(
        (rectangle(-1, 0, 1, 0.055 * height / width),), tinted((0.86, 0.84, 0.79), rng), relief=0.5
    )
    canvas.paint(Drawing(None, (board,), shadow=0), Placement(width / 2, horizon + 1, width))
    for _ in range(rng.choice((0, 1, 1, 2))):
        wide, tall = rng.uniform(0.12, 0.26) * width, rng.uniform(0.3, 0.6) * horizon
        x = rng.uniform(0.1, 0.9) * width
        y = horizon - rng.uniform(0.35, 0.5) * horizon
        scene = tinted(rng.choice(((0.62, 0.76, 0.86), (0.45, 0.52, 0.40), (0.70, 0.58, 0.44))), rng, 0.1)
        frame = rectangle(-wide / 2, 0, wide / 2, tall)
        inside = rectangle(-0.42 * wide, 0.08 * wide, 0.42 * wide, tall - 0.08 * wide)
        parts = (
            PaintedPart((frame,), tinted(rng.choice(WOODS), rng), relief=0.4),
            PaintedPart((inside,), scene, relief=-0.3),
        )
        canvas.paint(Drawing(None, parts, shadow=0), Placement(x, y, 1.0))
