"""Coats: colours of fur and fleece, and patterns in the coordinates of the animal."""

import random
from dataclasses import dataclass

import numpy as np

from dogcam.data.sample.species import Build, pick
from dogcam.data.sample.textures import Colour, Field, mix, noise, step

INK = (0.13, 0.10, 0.10)
CREAM = (0.93, 0.87, 0.76)

TONES: dict[str, Colour] = {
    "black": (0.19, 0.18, 0.20), "chocolate": (0.36, 0.23, 0.16), "tan": (0.73, 0.53, 0.33),
    "gold": (0.85, 0.65, 0.38), "rust": (0.76, 0.40, 0.19), "cream": CREAM, "white": (0.94, 0.93, 0.90),
    "grey": (0.52, 0.52, 0.54), "sand": (0.80, 0.70, 0.55), "ginger": (0.86, 0.56, 0.28),
}  # fmt: skip

BASES: dict[str, dict[str, float]] = {
    "dog": {
        "black": 3, "chocolate": 4, "tan": 5, "gold": 5, "rust": 1,
        "cream": 2, "white": 3, "grey": 1, "sand": 2,
    },
    "cat": {"black": 2, "ginger": 3, "grey": 6, "white": 1},
    "fox": {"rust": 8, "ginger": 2, "grey": 0.5, "white": 0.5},
    "sheep": {"cream": 5, "white": 4, "grey": 1, "black": 0.6},
    "horse": {"chocolate": 4, "rust": 3, "black": 2, "white": 1, "grey": 2},
}  # fmt: skip

PATTERNS: dict[str, dict[str, float]] = {
    "dog": {"plain": 4, "patches": 3, "saddle": 2, "spots": 1.5, "brindle": 0.7, "bib": 2},
    "cat": {"plain": 2, "patches": 1, "brindle": 5, "bib": 2},
    "fox": {"bib": 6, "plain": 0.5},
    "sheep": {"plain": 6, "patches": 0.5},
    "horse": {"plain": 5, "patches": 2, "spots": 0.5},
}


@dataclass(frozen=True)
class Fur:
    """The coat of an animal; calling it returns the colours of pixels.

    Attributes:
        base: main colour.
        second: colour of patches, spots, stripes, the saddle or the bib.
        pattern: one of the keys of `PATTERNS`.
        level: height of the axis of the torso in drawing coordinates, for the saddle and the bib.
        phase: offset of the pattern, different for each animal.
    """

    base: Colour
    second: Colour
    pattern: str
    level: float
    phase: float

    def __call__(self, generator: np.random.Generator, u: Field, v: Field) -> Field:
        """Return the colours (3, height, width) at the drawing coordinates u, v."""
        scale = 1 / max(
            1e-3, float(np.hypot(u[0, -1] - u[0, 0], v[0, -1] - v[0, 0])) / max(1, u.shape[1] - 1)
        )
        colours = mix(self.base, self.second, self._weight(generator, u, v, scale))
        # Nearly all mammals have a pale belly.
        belly = 0.25 * step(v, self.level - 0.12, 0.4) - 0.12
        strands = noise(generator, u.shape, (max(2.0, 0.09 * scale), max(1.6, 0.035 * scale)), 3) - 0.5
        return colours * (1 - belly + 0.2 * strands)

    def _weight(self, generator: np.random.Generator, u: Field, v: Field, scale: float) -> Field:
        """Return the share of the second colour in each pixel, in [0, 1]."""
        if self.pattern == "patches":
            return step(noise(generator, u.shape, (0.42 * scale, 0.42 * scale), 2), 0.52, 0.06)
        if self.pattern == "spots":
            return step(noise(generator, u.shape, (0.11 * scale, 0.11 * scale)), 0.68, 0.08)
        warp = noise(generator, u.shape, (0.25 * scale, 0.25 * scale)) - 0.5
        if self.pattern == "saddle":
            return step(v + 0.22 * warp, self.level + 0.02, 0.08)
        if self.pattern == "brindle":
            stripes = np.sin(34 * (u + 0.25 * v + 0.2 * warp + self.phase))
            return 0.7 * step(stripes, 0.35, 0.7) * step(v, self.level - 0.25, 0.25)
        if self.pattern == "bib":
            return step(-v + 0.15 * warp, 0.1 - self.level, 0.1)
        return np.zeros(u.shape, np.float32)


def tinted(colour: Colour, rng: random.Random, variation: float = 0.05) -> Colour:
    """Return a random variation of a colour in brightness and warmth."""
    tone, warmth = rng.uniform(1 - 2 * variation, 1 + 2 * variation), rng.uniform(-variation, variation)
    red, green, blue = colour
    return red * tone * (1 + warmth), green * tone, blue * tone * (1 - warmth)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a colour at another brightness."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def draw_fur(rng: random.Random, build: Build, level: float) -> Fur:
    """Sample a coat of a species; `level` is the height of the axis of the torso in this pose."""
    name = pick(rng, BASES[build.species])
    pattern = pick(rng, PATTERNS[build.species])
    if pattern == "bib":
        second = pick(rng, {"white": 3, "cream": 3, "tan": 1})
    elif pattern == "saddle":
        second = pick(rng, {"black": 3, "chocolate": 2, "grey": 1})
    else:
        others = {key: weight for key, weight in BASES[build.species].items() if key != name}
        second = pick(rng, others)
    base = tinted(TONES[name], rng)
    stripes = scaled(base, 0.6)
    return Fur(
        base, stripes if pattern == "brindle" else tinted(TONES[second], rng), pattern, level, rng.random()
    )
