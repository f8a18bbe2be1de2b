"""The stage of a scene: where the cast stands, how large, who touches or hides whom."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dogcam.data.sample import things
from dogcam.data.sample.animals import from_the_side
from dogcam.data.sample.backdrop import SETTINGS
from dogcam.data.sample.canvas import Figure
from dogcam.data.sample.cast import POSES, Cast
from dogcam.data.sample.frontal import from_behind, from_the_front, portrait
from dogcam.data.sample.shapes import Placement
from dogcam.data.sample.species import draw_build, pick


@dataclass(frozen=True)
class Actor:
    """A figure, where it stands, and the row of ground that it is painted with: larger is nearer."""

    figure: Figure
    placement: Placement
    depth: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels, if nothing hid or cut it."""
        x0, y0, x1, y1 = self.figure.extent
        corners = self.placement.points(np.array([[x0, y0], [x1, y1], [x0, y1], [x1, y0]]))
        return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())

    @property
    def centre(self) -> float:
        """Horizontal middle in pixels."""
        return (self.box[0] + self.box[2]) / 2

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.box[3] - self.box[1]


class Composition:
    """The ground of one scene, on which actors are set one after the other."""

    def __init__(self, dice: random.Random, size: tuple[int, int], horizon: int):
        self.dice, self.horizon = dice, horizon
        self.height, self.width = size
        self.actors: list[Actor] = []

    def set_up(self, cast: Cast) -> list[Actor]:
        """Return everybody in painting order, the farthest first."""
        furniture = [self._furnish(name) for name in cast.furniture]
        dogs = self._pack(cast.dogs, furniture)
        for species in cast.others:
            self._place_animal(species)
        people = [self._place_person(dogs) for _ in range(cast.people)]
        for _ in range(cast.balls):
            self._place_toy(things.ball(self.dice), 0.11, dogs)
        for _ in range(cast.bowls):
            self._place_toy(things.bowl(self.dice), 0.16, dogs)
        if dogs and people and self.dice.random() < 0.4:
            self._tie(people[0], dogs[0])
        self._hide_some(SETTINGS[cast.place].indoors)
        if SETTINGS[cast.place].ground == "grass":
            self._overgrow()
        return sorted(self.actors, key=lambda actor: actor.depth)

    def _add(
        self, figure: Figure, x: float, y: float, scale: float, flip: bool = False, depth: float | None = None
    ) -> Actor:
        actor = Actor(figure, Placement(x, y, scale, flip), y if depth is None else depth)
        self.actors.append(actor)
        return actor

    def _row(self, nearness: float) -> float:
        """Return the row of the ground at a nearness from 0, the horizon, to 1, the lower edge."""
        return self.horizon + (self.height - self.horizon) * nearness

    def _furnish(self, name: str) -> Actor:
        figure = things.sofa(self.dice) if name == "sofa" else things.chair(self.dice)
        share = self.dice.uniform(0.5, 0.85) if name == "sofa" else self.dice.uniform(0.16, 0.36)
        x0, _, x1, _ = figure.extent
        scale = share * self.width / (x1 - x0)
        x, y = self.width * self.dice.uniform(0.12, 0.88), self._row(self.dice.uniform(0.12, 0.55))
        return self._add(figure, x, y, scale, self.dice.random() < 0.5)

    def _animal(self, species: str) -> tuple[Figure, str]:
        dice, pose = self.dice, pick(self.dice, POSES[species])
        drawings: dict[str, Callable[..., Figure]] = {
            "front": partial(from_the_front, sitting=False),
            "facing": partial(from_the_front, sitting=True),
            "portrait": portrait,
            "behind": from_behind,
        }
        draw = drawings.get(pose) or partial(from_the_side, pose=pose)
        return draw(dice, draw_build(dice, species)), pose

    def _place_animal(self, species: str, share: float | None = None) -> Actor:
        """Set an animal where it hides little of the others; `share` is what its box has of the picture."""
        figure, pose = self._animal(species)
        x0, y0, x1, y1 = figure.extent
        if pose == "portrait":
            share = self.dice.uniform(0.3, 0.9)
        elif share is None:
            smallest = 0.035 if self.dice.random() < 0.17 else 0.12
            share = math.exp(self.dice.uniform(math.log(smallest), math.log(0.62)))
        scale = math.sqrt(share * self.width * self.height / ((x1 - x0) * (y1 - y0)))
        flip, tilt = self.dice.random() < 0.5, self.dice.uniform(-0.03, 0.03)
        if pose != "portrait":
            scale = min(scale, 1.05 * self.height / (y1 - y0), 1.05 * self.width / (x1 - x0))
        places = [self._try_place(scale, figure, share, pose) for _ in range(5)]
        middle = scale * (x0 + x1) / 2 * (-1 if flip else 1)
        trials = [Actor(figure, Placement(x - middle, y, scale, flip, tilt), y) for x, y in places]
        best = min(trials, key=lambda trial: sum(_shared(trial.box, other.box) for other in self.actors))
        self.actors.append(best)
        return best

    def _try_place(self, scale: float, figure: Figure, share: float, pose: str) -> tuple[float, float]:
        """Return the column of a figure's middle and the row of its feet; one in six is cut off at a side."""
        dice = self.dice
        if pose == "portrait":
            return self.width * dice.uniform(0.2, 0.8), self.height + scale * dice.uniform(-0.1, 0.2)
        x0, _, x1, y1 = figure.extent
        width, tall = scale * (x1 - x0), scale * y1
        nearness = min(0.96, max(0.1, 0.22 + math.sqrt(share) + dice.uniform(-0.12, 0.15)))
        y = max(self._row(nearness) - 2, min(tall * dice.uniform(1.0, 1.1), 0.98 * self.height))
        if dice.random() < 0.1:
            y += 0.3 * scale
        reach = min(0.5 * width, 0.4 * self.width)
        x = dice.uniform(reach, self.width - reach)
        if dice.random() < 0.14:
            x = dice.choice((0, self.width)) + dice.uniform(-0.2, 0.2) * width
        return x, y

    def _pack(self, count: int, furniture: list[Actor]) -> list[Actor]:
        """Set the dogs of a scene: most packs stand so close that they touch, some lie on the sofa."""
        if not count:
            return []
        dice = self.dice
        first = self._place_animal("dog", None if count == 1 else math.exp(dice.uniform(-2.5, -1.0)))
        seats = [actor for actor in furniture if actor.figure.name == "sofa"]
        if seats and dice.random() < 0.4:
            self.actors.remove(first)
            first = self._seat(seats[0])
        dogs, side = [first], dice.choice((-1, 1))
        for _ in range(count - 1):
            if dice.random() < 0.25:
                dogs.append(self._place_animal("dog"))
                continue
            figure, _ = self._animal("dog")
            last = dogs[-1]
            scale = last.height * dice.uniform(0.75, 1.2) / (figure.extent[3] - figure.extent[1])
            x = last.centre + side * last.width * dice.uniform(0.45, 0.85)
            y = last.placement.y + dice.uniform(-0.08, 0.08) * last.height
            dogs.append(self._add(figure, x, y, scale, dice.random() < 0.5))
        return dogs

    def _seat(self, sofa: Actor) -> Actor:
        """Lay or sit a dog on a sofa."""
        pose = self.dice.choice(("lying", "sitting"))
        figure = from_the_side(self.dice, draw_build(self.dice, "dog"), pose)
        x0, _, x1, _ = figure.extent
        scale = sofa.width * self.dice.uniform(0.35, 0.6) / (x1 - x0)
        x = sofa.placement.x + sofa.width * self.dice.uniform(-0.28, 0.05)
        y = sofa.placement.y - 0.42 * sofa.placement.scale
        return self._add(replace(figure, shadow=0.0), x, y, scale, depth=sofa.depth + 0.01)

    def _place_person(self, dogs: list[Actor]) -> Actor:
        dice, figure = self.dice, things.person(self.dice)
        tall = self.height * math.exp(dice.uniform(math.log(0.45), math.log(1.3)))
        y = self._row(min(1.15, max(0.1, 0.75 * tall / self.height + dice.uniform(-0.15, 0.15))))
        x = dice.uniform(0.05, 0.95) * self.width
        if dogs and dice.random() < 0.7:
            dog = dogs[0]
            x = dog.centre + dice.choice((-1, 1)) * dice.uniform(0.4, 0.8) * dog.width
            y = dog.placement.y - dice.uniform(-0.03, 0.08) * self.height
        return self._add(figure, x, y, tall / 1.82, dice.random() < 0.5)

    def _place_toy(self, figure: Figure, share: float, dogs: list[Actor]) -> None:
        dice = self.dice
        x0, _, x1, _ = figure.extent
        size = share * self.height * dice.uniform(0.6, 1.5)
        x, nearness = dice.uniform(0.05, 0.95) * self.width, dice.uniform(0.3, 0.97)
        y = self._row(nearness)
        if dogs and dice.random() < 0.7:
            dog = dice.choice(dogs)
            x = dog.centre + dice.uniform(-0.8, 0.8) * dog.width
            y = min(dog.placement.y + dice.uniform(-0.02, 0.1) * self.height, 0.97 * self.height)
        self._add(figure, x, y, size / (x1 - x0))

    def _tie(self, person: Actor, dog: Actor) -> None:
        """Run a leash from a person's hand to a dog's neck, behind the dog."""
        x0, y0, x1, y1 = dog.figure.extent
        hand = person.placement.points(np.array([[0.3, 0.85]]))[0]
        neck = dog.placement.points(np.array([[x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0)]]))[0]
        colour = self.dice.choice(((0.7, 0.15, 0.15), (0.15, 0.2, 0.45), (0.2, 0.15, 0.1)))
        line = things.leash(colour, (float(hand[0]), -float(hand[1])), (float(neck[0]), -float(neck[1])))
        self._add(line, 0.0, 0.0, 1.0, depth=dog.depth - 0.01)

    def _hide_some(self, indoors: bool) -> None:
        """Put something in front of about one animal in five."""
        outdoors = (things.bush, things.fence, things.crate)
        covers = (things.crate, things.plant, things.chair) if indoors else outdoors
        for animal in [actor for actor in self.actors if actor.figure.name in POSES]:
            if self.dice.random() > 0.22:
                continue
            figure = self.dice.choice(covers)(self.dice)
            x0, _, x1, y1 = figure.extent
            wide = min(animal.width, self.width) * self.dice.uniform(0.5, 0.85)
            tall = min(animal.height, self.height) * self.dice.uniform(0.5, 0.9)
            x = animal.centre + animal.width * self.dice.uniform(-0.45, 0.45)
            y = min(animal.depth + 0.04 * self.height, 1.1 * self.height)
            self._add(figure, x, y, min(wide / (x1 - x0), tall / y1))

    def _overgrow(self) -> None:
        """Let tufts of tall grass grow here and there."""
        for _ in range(self.dice.choice((0, 0, 2, 4, 6))):
            nearness = self.dice.uniform(0.2, 1.05)
            scale = self.height * (0.08 + 0.3 * nearness) * self.dice.uniform(0.7, 1.2)
            self._add(things.tuft(self.dice), self.dice.uniform(0, self.width), self._row(nearness), scale)


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
