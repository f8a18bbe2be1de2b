"""Noise, and textures made of noise: grass, sand, snow, boards, carpet, wallpaper, sky.

All functions return float32 arrays: noise in [0, 1], images (3, height, width) in about [0, 1]. Positions of
objects are drawn from another generator, so textures cannot change them.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]
Colour = tuple[float, float, float]


def resize(field: Field, size: tuple[int, int], smooth: bool = True) -> Field:
    """Return a 2-D field resampled to (height, width)."""
    if field.shape == size:
        return field
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(field).resize((size[1], size[0]), method))


def noise(
    generator: np.random.Generator,
    size: tuple[int, int],
    cell: tuple[float, float],
    octaves: int = 1,
) -> Field:
    """Return value noise: random numbers on a grid, interpolated; finer octaves are added at half weight.

    Args:
        generator: source of random numbers.
        size: (height, width) in pixels.
        cell: (height, width) of a cell of the coarsest grid in pixels.
        octaves: number of grids, each twice as fine as the previous one.

    Returns:
        (height, width) float32 array, mostly within [0, 1], mean 0.5.
    """
    total = np.zeros(size, np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        rows, columns = (
            max(2, round(length * 2**octave / c) + 1) for length, c in zip(size, cell, strict=True)
        )
        grid = generator.random((min(rows, size[0]), min(columns, size[1])), dtype=np.float32)
        total += np.float32(weight) * resize(grid, size)
        weights += weight
        weight /= 2
    return total / np.float32(weights)


def planes(colours: Colour | Field) -> Field:
    """Return a colour as a (3, 1, 1) array, which broadcasts over an image; return an image as it is."""
    colours = np.asarray(colours, np.float32)
    return colours[:, None, None] if colours.ndim == 1 else colours


def mix(low: Colour | Field, high: Colour | Field, weight: Field) -> Field:
    """Return colours between `low` (weight 0) and `high` (weight 1): (3, height, width)."""
    low, high = planes(low), planes(high)
    mixed = (high - low) * weight
    mixed += low
    return mixed


def step(field: Field, edge: float, softness: float) -> Field:
    """Return 0 below the edge and 1 above it, with a ramp of the given width between them."""
    return np.clip((field - np.float32(edge)) / np.float32(softness) + np.float32(0.5), 0, 1)


def lengths(size: tuple[int, int]) -> Field:
    """Return a (height, 1) column from 0 at the horizon to 1 at the lower edge."""
    return np.linspace(0, 1, size[0], dtype=np.float32)[:, None]


def grass(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw a lawn: patches of light, and upright blades that are larger towards the viewer."""
    broad = noise(generator, size, (40, 90), 2)
    far, near = noise(generator, size, (3, 2)), noise(generator, size, (11, 3.2))
    depth = lengths(size)
    blades = far + (near - far) * depth
    return mix(dark, light, np.clip(0.9 * broad + (0.5 + 0.5 * depth) * (blades - 0.5), 0, 1))


def sand(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw sand: ripples that are wider towards the viewer, and grain."""
    warp = noise(generator, size, (30, 70), 2)
    ripple = 0.5 + 0.5 * np.sin(60 * np.sqrt(lengths(size) + 0.05) + 14 * warp)
    grain = noise(generator, size, (2, 2))
    return mix(dark, light, 0.45 * warp + 0.3 * ripple + 0.25 * grain)


def snow(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw snow: bluish hollows and smooth drifts."""
    drifts = noise(generator, size, (24, 110), 3)
    return mix(dark, light, step(drifts, 0.42, 0.5) * 0.85 + 0.15 * noise(generator, size, (2.5, 3)))


def boards(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw a wooden floor: horizontal boards of different tones, wider towards the viewer."""
    width = size[1]
    position = 4.4 * np.log1p(5 * (1 - lengths(size)[:, 0]))
    row = position.astype(int)
    joint = step(np.abs(position - np.round(position)).astype(np.float32), 0.04, 0.05)
    plank = (np.arange(width)[None] + 291 * row[:, None]) // 170
    tones = generator.random(997, dtype=np.float32)
    tone = tones[(row[:, None] * 31 + plank * 7) % 997]
    grain = noise(generator, size, (2.5, 60), 2)
    return mix(dark, light, 0.5 * tone + 0.5 * grain) * (0.72 + 0.28 * joint)[:, None]


def carpet(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw a carpet: fine noise over a large, faded pattern of lozenges."""
    width = size[1]
    y, x = 22 * np.sqrt(lengths(size)), np.linspace(-1, 1, width, dtype=np.float32)[None]
    across = 9 * x / (0.75 + 0.5 * lengths(size))
    pattern = step(np.sin(y + across) * np.sin(y - across), 0.15, 0.5)
    pile = noise(generator, size, (2.2, 2.2))
    return mix(dark, light, 0.5 * pattern + 0.5 * pile * (0.8 + 0.4 * noise(generator, size, (40, 40))))


GROUNDS = {"grass": grass, "sand": sand, "snow": snow, "boards": boards, "carpet": carpet}


def sky(generator: np.random.Generator, size: tuple[int, int], top: Colour, bottom: Colour) -> Field:
    """Draw a sky that is paler towards the horizon, with soft clouds."""
    image = mix(top, bottom, np.broadcast_to(lengths(size), size))
    clouds = step(noise(generator, size, (28, 100), 3), 0.62, 0.35)
    return mix(image, (0.97, 0.97, 0.96), 0.8 * clouds)


def wallpaper(generator: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour) -> Field:
    """Draw a wallpaper: plain, striped, dotted or with a trellis, slightly uneven."""
    height, width = size
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None]
    period = np.float32(2 * np.pi / (14 + 26 * generator.random()))
    kind = int(4 * generator.random())
    waves = (
        np.zeros(size, np.float32),
        np.broadcast_to(step(np.sin(period * x), 0.1, 0.3), size),
        step(np.sin(period * x) * np.sin(period * y), 0.55, 0.2),
        step(np.abs(np.sin(0.5 * period * (x + y)) * np.sin(0.5 * period * (x - y))), 0.12, 0.1),
    )[kind]
    return mix(dark, light, 0.5 * waves + 0.5 * noise(generator, size, (60, 60), 3))
