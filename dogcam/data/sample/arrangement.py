"""Arrange the content of an image: position, size and occlusion of each object."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dogcam.data.sample import objects
from dogcam.data.sample.animals import from_the_side
from dogcam.data.sample.background import SETTINGS
from dogcam.data.sample.canvas import Drawing
from dogcam.data.sample.composition import POSES, Composition
from dogcam.data.sample.frontal import from_behind, from_the_front, portrait
from dogcam.data.sample.shapes import Placement
from dogcam.data.sample.species import draw_build, pick


@dataclass(frozen=True)
class PlacedDrawing:
    """A drawing, its placement in the image, and its depth: the row of its ground, larger if nearer."""

    drawing: Drawing
    placement: Placement
    depth: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels, without occlusion and truncation."""
        x0, y0, x1, y1 = self.drawing.extent
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


class Arrangement:
    """The drawings of one image, placed one after the other.

    Args:
        rng: source of random numbers.
        size: (height, width) of the image in pixels.
        horizon: row at which the ground begins.
    """

    def __init__(self, rng: random.Random, size: tuple[int, int], horizon: int):
        self.rng, self.horizon = rng, horizon
        self.height, self.width = size
        self.placed: list[PlacedDrawing] = []

    def arrange(self, composition: Composition) -> list[PlacedDrawing]:
        """Place everything; return it in the order of painting, the farthest first."""
        furniture = [self._place_furniture(name) for name in composition.furniture]
        dogs = self._place_dogs(composition.dogs, furniture)
        for species in composition.others:
            self._place_animal(species)
        people = [self._place_person(dogs) for _ in range(composition.people)]
        for _ in range(composition.balls):
            self._place_toy(objects.ball(self.rng), 0.11, dogs)
        for _ in range(composition.bowls):
            self._place_toy(objects.bowl(self.rng), 0.16, dogs)
        if dogs and people and self.rng.random() < 0.4:
            self._add_leash(people[0], dogs[0])
        self._add_occluders(SETTINGS[composition.setting].indoors)
        if SETTINGS[composition.setting].ground == "grass":
            self._add_tall_grass()
        return sorted(self.placed, key=lambda each: each.depth)

    def _add(
        self,
        drawing: Drawing,
        x: float,
        y: float,
        scale: float,
        flip: bool = False,
        depth: float | None = None,
    ) -> PlacedDrawing:
        each = PlacedDrawing(drawing, Placement(x, y, scale, flip), y if depth is None else depth)
        self.placed.append(each)
        return each

    def _row(self, nearness: float) -> float:
        """Return the image row of a point on the ground: 0 is the horizon, 1 the lower edge of the image."""
        return self.horizon + (self.height - self.horizon) * nearness

    def _place_furniture(self, name: str) -> PlacedDrawing:
        drawing = objects.sofa(self.rng) if name == "sofa" else objects.chair(self.rng)
        share = self.rng.uniform(0.5, 0.85) if name == "sofa" else self.rng.uniform(0.16, 0.36)
        x0, _, x1, _ = drawing.extent
        scale = share * self.width / (x1 - x0)
        x, y = self.width * self.rng.uniform(0.12, 0.88), self._row(self.rng.uniform(0.12, 0.55))
        return self._add(drawing, x, y, scale, self.rng.random() < 0.5)

    def _animal(self, species: str) -> tuple[Drawing, str]:
        rng, pose = self.rng, pick(self.rng, POSES[species])
        drawings: dict[str, Callable[..., Drawing]] = {
            "front": partial(from_the_front, sitting=False),
            "facing": partial(from_the_front, sitting=True),
            "portrait": portrait,
            "behind": from_behind,
        }
        draw = drawings.get(pose) or partial(from_the_side, pose=pose)
        return draw(rng, draw_build(rng, species)), pose

    def _place_animal(self, species: str, share: float | None = None) -> PlacedDrawing:
        """Place an animal where it occludes little; `share` is the share of its box in the image area."""
        drawing, pose = self._animal(species)
        x0, y0, x1, y1 = drawing.extent
        if pose == "portrait":
            share = self.rng.uniform(0.3, 0.9)
        elif share is None:
            smallest = 0.035 if self.rng.random() < 0.17 else 0.12
            share = math.exp(self.rng.uniform(math.log(smallest), math.log(0.62)))
        scale = math.sqrt(share * self.width * self.height / ((x1 - x0) * (y1 - y0)))
        flip, tilt = self.rng.random() < 0.5, self.rng.uniform(-0.03, 0.03)
        if pose != "portrait":
            scale = min(scale, 1.05 * self.height / (y1 - y0), 1.05 * self.width / (x1 - x0))
        positions = [self._sample_position(scale, drawing, share, pose) for _ in range(5)]
        middle = scale * (x0 + x1) / 2 * (-1 if flip else 1)
        trials = [
            PlacedDrawing(drawing, Placement(x - middle, y, scale, flip, tilt), y) for x, y in positions
        ]
        best = min(trials, key=lambda trial: sum(_shared(trial.box, other.box) for other in self.placed))
        self.placed.append(best)
        return best

    def _sample_position(
        self, scale: float, drawing: Drawing, share: float, pose: str
    ) -> tuple[float, float]:
        """Return the column of a drawing's middle and the row of its feet; one in six is truncated."""
        rng = self.rng
        if pose == "portrait":
            return self.width * rng.uniform(0.2, 0.8), self.height + scale * rng.uniform(-0.1, 0.2)
        x0, _, x1, y1 = drawing.extent
        width, tall = scale * (x1 - x0), scale * y1
        nearness = min(0.96, max(0.1, 0.22 + math.sqrt(share) + rng.uniform(-0.12, 0.15)))
        y = max(self._row(nearness) - 2, min(tall * rng.uniform(1.0, 1.1), 0.98 * self.height))
        if rng.random() < 0.1:
            y += 0.3 * scale
        reach = min(0.5 * width, 0.4 * self.width)
        x = rng.uniform(reach, self.width - reach)
        if rng.random() < 0.14:
            x = rng.choice((0, self.width)) + rng.uniform(-0.2, 0.2) * width
        return x, y

    def _place_dogs(self, count: int, furniture: list[PlacedDrawing]) -> list[PlacedDrawing]:
        """Place the dogs of an image: most groups touch, and some lie on the sofa."""
        if not count:
            return []
        rng = self.rng
        first = self._place_animal("dog", None if count == 1 else math.exp(rng.uniform(-2.5, -1.0)))
        seats = [each for each in furniture if each.drawing.name == "sofa"]
        if seats and rng.random() < 0.4:
            self.placed.remove(first)
            first = self._place_on_sofa(seats[0])
        dogs, side = [first], rng.choice((-1, 1))
        for _ in range(count - 1):
            if rng.random() < 0.25:
                dogs.append(self._place_animal("dog"))
                continue
            drawing, _ = self._animal("dog")
            last = dogs[-1]
            scale = last.height * rng.uniform(0.75, 1.2) / (drawing.extent[3] - drawing.extent[1])
            x = last.centre + side * last.width * rng.uniform(0.45, 0.85)
            y = last.placement.y + rng.uniform(-0.08, 0.08) * last.height
            dogs.append(self._add(drawing, x, y, scale, rng.random() < 0.5))
        return dogs

    def _place_on_sofa(self, sofa: PlacedDrawing) -> PlacedDrawing:
        """Place a lying or sitting dog on a sofa."""
        pose = self.rng.choice(("lying", "sitting"))
        drawing = from_the_side(self.rng, draw_build(self.rng, "dog"), pose)
        x0, _, x1, _ = drawing.extent
        scale = sofa.width * self.rng.uniform(0.35, 0.6) / (x1 - x0)
        x = sofa.placement.x + sofa.width * self.rng.uniform(-0.28, 0.05)
        y = sofa.placement.y - 0.42 * sofa.placement.scale
        return self._add(replace(drawing, shadow=0.0), x, y, scale, depth=sofa.depth + 0.01)

    def _place_person(self, dogs: list[PlacedDrawing]) -> PlacedDrawing:
        rng, drawing = self.rng, objects.person(self.rng)
        tall = self.height * math.exp(rng.uniform(math.log(0.45), math.log(1.3)))
        y = self._row(min(1.15, max(0.1, 0.75 * tall / self.height + rng.uniform(-0.15, 0.15))))
        x = rng.uniform(0.05, 0.95) * self.width
        if dogs and rng.random() < 0.7:
            dog = dogs[0]
            x = dog.centre + rng.choice((-1, 1)) * rng.uniform(0.4, 0.8) * dog.width
            y = dog.placement.y - rng.uniform(-0.03, 0.08) * self.height
        return self._add(drawing, x, y, tall / 1.82, rng.random() < 0.5)

    def _place_toy(self, drawing: Drawing, share: float, dogs: list[PlacedDrawing]) -> None:
        rng = self.rng
        x0, _, x1, _ = drawing.extent
        size = share * self.height * rng.uniform(0.6, 1.5)
        x, nearness = rng.uniform(0.05, 0.95) * self.width, rng.uniform(0.3, 0.97)
        y = self._row(nearness)
        if dogs and rng.random() < 0.7:
            dog = rng.choice(dogs)
            x = dog.centre + rng.uniform(-0.8, 0.8) * dog.width
            y = min(dog.placement.y + rng.uniform(-0.02, 0.1) * self.height, 0.97 * self.height)
        self._add(drawing, x, y, size / (x1 - x0))

    def _add_leash(self, person: PlacedDrawing, dog: PlacedDrawing) -> None:
        """Add a leash from a person's hand to a dog's neck, behind the dog."""
        x0, y0, x1, y1 = dog.drawing.extent
        hand = person.placement.points(np.array([[0.3, 0.85]]))[0]
        neck = dog.placement.points(np.array([[x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0)]]))[0]
        colour = self.rng.choice(((0.7, 0.15, 0.15), (0.15, 0.2, 0.45), (0.2, 0.15, 0.1)))
        line = objects.leash(colour, (float(hand[0]), -float(hand[1])), (float(neck[0]), -float(neck[1])))
        self._add(line, 0.0, 0.0, 1.0, depth=dog.depth - 0.01)

    def _add_occluders(self, indoors: bool) -> None:
        """Occlude about one animal in five."""
        outdoors = (objects.bush, objects.fence, objects.crate)
        covers = (objects.crate, objects.plant, objects.chair) if indoors else outdoors
        for animal in [each for each in self.placed if each.drawing.name in POSES]:
            if self.rng.random() > 0.22:
                continue
            drawing = self.rng.choice(covers)(self.rng)
            x0, _, x1, y1 = drawing.extent
            wide = min(animal.width, self.width) * self.rng.uniform(0.5, 0.85)
            tall = min(animal.height, self.height) * self.rng.uniform(0.5, 0.9)
            x = animal.centre + animal.width * self.rng.uniform(-0.45, 0.45)
            y = min(animal.depth + 0.04 * self.height, 1.1 * self.height)
            self._add(drawing, x, y, min(wide / (x1 - x0), tall / y1))

    def _add_tall_grass(self) -> None:
        """Add up to six tufts of tall grass."""
        for _ in range(self.rng.choice((0, 0, 2, 4, 6))):
            nearness = self.rng.uniform(0.2, 1.05)
            scale = self.height * (0.08 + 0.3 * nearness) * self.rng.uniform(0.7, 1.2)
            self._add(objects.tuft(self.rng), self.rng.uniform(0, self.width), self._row(nearness), scale)


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the area of the intersection of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
