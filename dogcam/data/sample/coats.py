"""Coats: the colours of fur and fleece, and patterns that stick to the animal's body."""

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
    """An animal's coat; calling it colours the pixels of a figure.

    Attributes:
        base: main colour.
        second: colour of patches, spots, stripes, the saddle or the bib.
        pattern: one of the keys of `PATTERNS`.
        level: height of the torso's axis in the figure's coordinates, for the saddle and the bib.
        phase: moves the pattern along, so that no two animals share one.
    """

    base: Colour
    second: Colour
    pattern: str
    level: float
    phase: float

    def __call__(self, generator: np.random.Generator, u: Field, v: Field) -> Field:
        """Return the colours (height, width, 3) at the figure's own coordinates u, v."""
        scale = 1 / max(
            1e-3, float(np.hypot(u[0, -1] - u[0, 0], v[0, -1] - v[0, 0])) / max(1, u.shape[1] - 1)
        )
        colours = mix(self.base, self.second, self._weight(generator, u, v, scale))
        # Light backs and pale bellies: nearly every mammal has them.
        belly = 0.25 * step(v, self.level - 0.12, 0.4) - 0.12
        strands = noise(generator, u.shape, (max(2.0, 0.09 * scale), max(1.6, 0.035 * scale)), 3) - 0.5
        return colours * (1 - belly + 0.2 * strands)[..., None]

    def _weight(self, generator: np.random.Generator, u: Field, v: Field, scale: float) -> Field:
        """Return how much of the second colour each pixel has, 0 to 1."""
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


def tinted(colour: Colour, dice: random.Random, spread: float = 0.05) -> Colour:
    """Return a colour a little lighter or darker, warmer or cooler."""
    tone, warmth = dice.uniform(1 - 2 * spread, 1 + 2 * spread), dice.uniform(-spread, spread)
    red, green, blue = colour
    return red * tone * (1 + warmth), green * tone, blue * tone * (1 - warmth)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a colour at another brightness."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def draw_fur(dice: random.Random, build: Build, level: float) -> Fur:
    """Draw a coat that occurs in the species; `level` is the height of the torso's axis in this pose."""
    name = pick(dice, BASES[build.species])
    pattern = pick(dice, PATTERNS[build.species])
    if pattern == "bib":
        second = pick(dice, {"white": 3, "cream": 3, "tan": 1})
    elif pattern == "saddle":
        second = pick(dice, {"black": 3, "chocolate": 2, "grey": 1})
    else:
        others = {key: weight for key, weight in BASES[build.species].items() if key != name}
        second = pick(dice, others)
    base = tinted(TONES[name], dice)
    stripes = scaled(base, 0.6)
    return Fur(
        base, stripes if pattern == "brindle" else tinted(TONES[second], dice), pattern, level, dice.random()
    )
