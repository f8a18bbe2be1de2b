"""The proportions of animals: for each species the ranges from which they are sampled.

The ranges overlap, so no single feature distinguishes a dog from a fox or a cat: a classifier has to combine
muzzle, ears, tail and legs.
"""

import random
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Build:
    """The proportions of one animal, in torso lengths unless stated otherwise.

    Attributes:
        species: class name.
        body: distance from hip to shoulder.
        chest: radius of the chest.
        waist: radius behind the ribs.
        hip: radius of the hindquarters.
        leg: free length of the legs.
        bone: radius of the legs at the wrist.
        neck: length of the neck.
        rise: angle of the neck above the horizon, in radians.
        head: radius of the skull.
        muzzle: length of the muzzle in skull radii.
        snout: half the width of the muzzle in skull radii.
        ear: length of the ears in skull radii.
        ear_kind: `pointed`, `folded`, `floppy` or `sideways`.
        tail: length of the tail.
        tail_kind: `curled`, `thin`, `straight`, `plume`, `brush`, `stub` or `hair`.
        wool: whether the torso is a fleece.
        mane: whether a mane runs down the neck.
        fuzz: length of the tufts of fur along its edge; 0 for a short coat.
        slit_eyes: whether the eyes are pale with a dark slit.
    """

    species: str
    body: float
    chest: float
    waist: float
    hip: float
    leg: float
    bone: float
    neck: float
    rise: float
    head: float
    muzzle: float
    snout: float
    ear: float
    ear_kind: str
    tail: float
    tail_kind: str
    wool: bool = False
    mane: bool = False
    fuzz: float = 0.0
    slit_eyes: bool = False

    @property
    def torso_height(self) -> float:
        """Height of the torso's axis above the ground when the animal stands."""
        return self.leg + 0.75 * self.chest

    @property
    def body_fuzz(self) -> float:
        """Length of the tufts along the edge of the trunk, also for a fleece."""
        return 0.012 if self.wool else self.fuzz


RANGES: dict[str, dict[str, Range]] = {
    "dog": {
        "body": (0.66, 0.95), "chest": (0.19, 0.28), "waist": (0.13, 0.22), "hip": (0.17, 0.24),
        "leg": (0.24, 0.6), "bone": (0.042, 0.075), "neck": (0.2, 0.38), "rise": (0.5, 1.15),
        "head": (0.19, 0.25), "muzzle": (0.75, 1.3), "snout": (0.42, 0.62), "ear": (0.9, 1.4),
        "tail": (0.35, 0.7),
    },
    "cat": {
        "body": (0.66, 0.88), "chest": (0.17, 0.22), "waist": (0.15, 0.2), "hip": (0.17, 0.22),
        "leg": (0.28, 0.42), "bone": (0.04, 0.056), "neck": (0.17, 0.26), "rise": (0.5, 1.0),
        "head": (0.185, 0.22), "muzzle": (0.35, 0.58), "snout": (0.42, 0.56), "ear": (0.75, 1.05),
        "tail": (0.6, 0.85),
    },
    "fox": {
        "body": (0.7, 0.9), "chest": (0.17, 0.22), "waist": (0.13, 0.17), "hip": (0.16, 0.2),
        "leg": (0.34, 0.48), "bone": (0.036, 0.05), "neck": (0.22, 0.3), "rise": (0.4, 0.9),
        "head": (0.165, 0.205), "muzzle": (0.95, 1.4), "snout": (0.3, 0.42), "ear": (0.95, 1.25),
        "tail": (0.6, 0.8),
    },
    "sheep": {
        "body": (0.78, 1.0), "chest": (0.27, 0.33), "waist": (0.27, 0.33), "hip": (0.25, 0.31),
        "leg": (0.25, 0.4), "bone": (0.04, 0.058), "neck": (0.26, 0.38), "rise": (0.35, 0.9),
        "head": (0.16, 0.195), "muzzle": (0.75, 1.15), "snout": (0.5, 0.62), "ear": (0.8, 1.1),
        "tail": (0.1, 0.2),
    },
    "horse": {
        "body": (0.92, 1.12), "chest": (0.22, 0.28), "waist": (0.19, 0.25), "hip": (0.22, 0.27),
        "leg": (0.58, 0.82), "bone": (0.042, 0.06), "neck": (0.42, 0.6), "rise": (0.55, 1.05),
        "head": (0.15, 0.18), "muzzle": (1.3, 1.9), "snout": (0.55, 0.72), "ear": (0.6, 0.9),
        "tail": (0.5, 0.7),
    },
}  # fmt: skip

EARS: dict[str, dict[str, float]] = {
    "dog": {"floppy": 0.78, "folded": 0.12, "pointed": 0.1},
    "cat": {"pointed": 1.0},
    "fox": {"pointed": 1.0},
    "sheep": {"sideways": 1.0},
    "horse": {"pointed": 1.0},
}

TAILS: dict[str, dict[str, float]] = {
    "dog": {"curled": 0.25, "thin": 0.25, "straight": 0.2, "plume": 0.2, "stub": 0.1},
    "cat": {"thin": 0.75, "plume": 0.25},
    "fox": {"brush": 1.0},
    "sheep": {"stub": 1.0},
    "horse": {"hair": 1.0},
}


def pick(rng: random.Random, weights: dict[str, float]) -> str:
    """Return a random key, with probabilities proportional to the weights."""
    return rng.choices(list(weights), list(weights.values()))[0]


def draw_build(rng: random.Random, species: str) -> Build:
    """Sample the proportions of one animal of a species, each independently."""
    values = {name: rng.uniform(low, high) for name, (low, high) in RANGES[species].items()}
    values["waist"] = min(values["waist"], values["chest"])
    fluffy = {"dog": 0.3, "cat": 0.25, "fox": 0.5, "sheep": 0.0, "horse": 0.0}[species]
    return Build(
        species=species,
        ear_kind=pick(rng, EARS[species]),
        tail_kind=pick(rng, TAILS[species]),
        wool=species == "sheep" and rng.random() < 0.85,
        mane=species == "horse",
        fuzz=rng.uniform(0.015, 0.035) if rng.random() < fluffy else 0.0,
        slit_eyes=species in ("cat", "fox"),
        **values,
    )
