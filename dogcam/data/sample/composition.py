"""Sample the content of an image: setting, animals, people, objects.

Lawns, balls, bowls and persons are more frequent in images with a dog, but occur without one. A classifier
can exploit this correlation; its maps then cover these objects. This makes the data set a test of
localisation.
"""

import random
from dataclasses import dataclass

from dogcam.data.sample.background import SETTINGS
from dogcam.data.sample.species import pick

DOG_RATE = 0.34
GROUP_SIZES = {"1": 0.78, "2": 0.16, "3": 0.06}

WITH_DOG = {"ball": 0.45, "person": 0.4, "bowl": 0.3, "other": 0.26, "sofa": 0.4, "chair": 0.3}
WITHOUT_DOG = {"ball": 0.15, "person": 0.3, "bowl": 0.06, "other": 0.72, "sofa": 0.3, "chair": 0.35}

SETTINGS_WITH_DOG = {
    "lawn": 0.36,
    "meadow": 0.12,
    "beach": 0.12,
    "snow": 0.08,
    "parlour": 0.18,
    "bedroom": 0.14,
}
SETTINGS_WITHOUT_DOG = {
    "lawn": 0.14,
    "meadow": 0.2,
    "beach": 0.13,
    "snow": 0.14,
    "parlour": 0.21,
    "bedroom": 0.18,
}

OTHERS_OUTDOORS = {"cat": 0.2, "fox": 0.3, "sheep": 0.27, "horse": 0.23}
OTHERS_INDOORS = {"cat": 0.66, "fox": 0.26, "sheep": 0.04, "horse": 0.04}

POSES: dict[str, dict[str, float]] = {
    "dog": {
        "standing": 20,
        "walking": 16,
        "sitting": 16,
        "lying": 14,
        "front": 8,
        "facing": 9,
        "portrait": 11,
        "behind": 6,
    },
    "cat": {
        "standing": 15,
        "walking": 15,
        "sitting": 20,
        "lying": 18,
        "front": 8,
        "facing": 12,
        "portrait": 10,
        "behind": 4,
    },
    "fox": {
        "standing": 22,
        "walking": 22,
        "sitting": 16,
        "lying": 14,
        "front": 8,
        "facing": 8,
        "portrait": 8,
        "behind": 4,
    },
    "sheep": {"standing": 45, "walking": 18, "lying": 15, "front": 10, "portrait": 9, "behind": 5},
    "horse": {"standing": 45, "walking": 25, "lying": 4, "front": 10, "portrait": 12, "behind": 5},
}


@dataclass(frozen=True)
class Composition:
    """The content of an image.

    Attributes:
        setting: one of `SETTINGS`.
        dogs: number of dogs.
        others: species of the other animals.
        people: number of persons.
        balls: number of balls.
        bowls: number of feeding bowls, which are not annotated.
        furniture: `sofa` and `chair`, in the order in which they are placed.
    """

    setting: str
    dogs: int
    others: tuple[str, ...]
    people: int
    balls: int
    bowls: int
    furniture: tuple[str, ...]


def draw_composition(rng: random.Random) -> Composition:
    """Sample the content of one image."""
    with_dog = rng.random() < DOG_RATE
    rates = WITH_DOG if with_dog else WITHOUT_DOG
    setting = pick(rng, SETTINGS_WITH_DOG if with_dog else SETTINGS_WITHOUT_DOG)
    indoors = SETTINGS[setting].indoors
    others = []
    if rng.random() < rates["other"]:
        species = pick(rng, OTHERS_INDOORS if indoors else OTHERS_OUTDOORS)
        in_groups = species in ("sheep", "horse", "cat")
        others = [species] * (rng.choice((1, 1, 2, 3)) if in_groups and not with_dog else 1)
    furniture = [name for name in ("sofa", "chair") if indoors and rng.random() < rates[name]]
    if not indoors and rng.random() < 0.06:
        furniture = ["chair"]
    return Composition(
        setting=setting,
        dogs=int(pick(rng, GROUP_SIZES)) if with_dog else 0,
        others=tuple(others),
        people=rng.choice((1, 1, 1, 2)) if rng.random() < rates["person"] else 0,
        balls=rng.choice((1, 1, 2)) if rng.random() < rates["ball"] else 0,
        bowls=int(rng.random() < rates["bowl"]),
        furniture=tuple(furniture),
    )
