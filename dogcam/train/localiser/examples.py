"""The examples of a localiser, in files: activations, evidence and pseudo-boxes of images and mosaics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dogcam.data.images import read_pixels
from dogcam.detection.evidence import Evidence, View
from dogcam.detection.localiser import LocaliserNetwork, stacked
from dogcam.detection.observer import Observer
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import DataError, ModelError
from dogcam.files.states import Sources
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from dogcam.structures.images import LabelledImage
from dogcam.train.localiser.config import LocaliserConfig
from dogcam.train.localiser.mosaics import Source, make_mosaic
from dogcam.train.localiser.pseudo_boxes import PseudoBox, pseudo_boxes

Item = TypeVar("Item")


class Track(Protocol):
    """Yield items, and show how many of a total are done; `dogcam.cli.progress.StepProgress.track` does."""

    def __call__(self, items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
        """Yield the items in their order."""


def untracked(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Yield items, and show nothing."""
    yield from items


@dataclass(frozen=True, eq=False)
class Example:
    """One image or mosaic and one class.

    Attributes:
        components: (C, h, w) float16 tensor, see `LocaliserNetwork.project`.
        evidence: (h, w) float16 tensor in [0, 1], the probability of the class at each position.
        boxes: (B, 4) float32 tensor, the pseudo-boxes in positions; the first position is at 0.
        weights: (B,) float32 tensor.
    """

    components: Tensor
    evidence: Tensor
    boxes: Tensor
    weights: Tensor


class _Observed(NamedTuple):
    """An image or mosaic: its pseudo-boxes, and one view of it for each class and each layer."""

    boxes: list[PseudoBox]
    evidence: tuple[Evidence, ...]
    activations: tuple[Tensor, ...]


@dataclass(frozen=True)
class ExampleMaker:
    """Makes a file for each image and mosaic; files that an interrupted training left are kept.

    Attributes:
        observer: of all classes that the localiser learns.
        layers: dotted names of the layers that it uses.
        method: finds the pseudo-boxes; one of its views is that of the localiser.
        view: of the localiser.
        config: the settings.
        folder: of the files.
        identity: what the files follow from, as plain values; a file of anything else is made again.
        sources: the images, as they were when they were hashed for the identity.
        track: shows the progress.
    """

    observer: Observer
    layers: Sequence[str]
    method: ProposalMethod
    view: View
    config: LocaliserConfig
    folder: Path
    identity: dict[str, Any]
    sources: Sources
    track: Track

    def make(self, images: Sequence[LabelledImage], network: LocaliserNetwork) -> list[tuple[Path, int]]:
        """Make all files that are missing.

        Args:
            images: with at least one label that the classifier knows.
            network: has the projection of activations.

        Returns:
            The file of each example, and its number in the file.

        Raises:
            DataError: if an image cannot be read or changed, or no image has a pseudo-box.
        """
        examples: list[tuple[Path, int]] = []
        sources: list[Source] = []
        for number, image in enumerate(self.track(images, len(images), "pseudo-boxes")):
            path = self.folder / f"image-{number:06d}.safetensors"
            boxes = self._boxes_in(path)
            if boxes is None:
                boxes = self._write(path, self._photograph(image), network)
            if boxes:
                sources.append(Source(image, boxes))
                examples += _examples_in(path, boxes)
        if not sources:
            raise DataError(
                f"none of {len(images)} images has a pseudo-box; expected a classifier that finds its "
                "classes: use another one, or a lower least_fit"
            )
        names = {box.name for source in sources for box in source.boxes}
        by_class = {
            name: [each for each in sources if name in {box.name for box in each.boxes}] for name in names
        }
        total = round(self.config.mosaics * len(sources))
        for number in self.track(range(total), total, "mosaics"):
            path = self.folder / f"mosaic-{number:06d}.safetensors"
            boxes = self._boxes_in(path)
            if boxes is None:
                boxes = self._write(path, self._mosaic(number, sources, by_class), network)
            examples += _examples_in(path, boxes)
        return examples

    def activations(self, image: LabelledImage) -> tuple[Tensor, ...]:
        """Return the activations of each layer in the view of the localiser: (C, h, w) tensors."""
        return self.observer.observe(self._pixels(image), self.view, layers=self.layers)[1]

    def _photograph(self, image: LabelledImage) -> _Observed:
        pixels, method = self._pixels(image), self.method
        made = {view: self.observer.observe(pixels, view, layers=self.layers) for view in method.all_views}
        boxes: list[PseudoBox] = []
        observed = method.observe(lambda view: made[view][0])
        for name, evidence in zip(self.observer.targets, observed, strict=True):
            if name in image.labels:
                boxes += pseudo_boxes(name, evidence, image.size, self.observer.side, method, self.config)
        return _Observed(boxes, *made[self.view])

    def _mosaic(
        self, number: int, sources: Sequence[Source], by_class: Mapping[str, Sequence[Source]]
    ) -> _Observed:
        generator = np.random.default_rng((self.config.seed, number))
        side = round(self.view.scale * self.observer.side)
        mosaic, boxes = make_mosaic(sources, by_class, side, self._pixels, generator)
        return _Observed(boxes, *self.observer.observe(mosaic, self.view, layers=self.layers))

    def _pixels(self, image: LabelledImage) -> Image.Image:
        pixels = read_pixels(image)
        self.sources.require_unchanged([image.path])
        return pixels

    def _write(self, path: Path, observed: _Observed, network: LocaliserNetwork) -> list[PseudoBox]:
        """Write a file, and return its pseudo-boxes."""
        boxes = observed.boxes
        names = list(dict.fromkeys(box.name for box in boxes))
        evidence = dict(zip(self.observer.targets, observed.evidence, strict=True))
        tensors = {
            "boxes": torch.tensor([_in_positions(each.box, evidence[each.name]) for each in boxes]),
            "weights": torch.tensor([each.fit for each in boxes]),
            "classes": torch.tensor([names.index(each.name) for each in boxes], dtype=torch.int64),
        }
        # A file without boxes is kept, so that its image is not read again.
        if names:
            with torch.inference_mode():
                components = network.project(stacked(observed.activations)[None].float())[0]
            positions = [torch.from_numpy(evidence[name].logits.copy()).sigmoid() for name in names]
            tensors |= {"components": components.half(), "evidence": torch.stack(positions).half()}
        notes = {"identity": self.identity, "boxes": [asdict(each) for each in boxes]}
        save_checkpoint(path, tensors, notes, card_file=False)
        return boxes

    def _boxes_in(self, path: Path) -> list[PseudoBox] | None:
        """Return the pseudo-boxes of a file; None if it must be made."""
        found = made_file(path, self.identity)
        if found is None:
            return None
        return [PseudoBox(each["name"], tuple(each["box"]), each["fit"]) for each in found.meta["boxes"]]


def made_file(path: Path, identity: dict[str, Any]) -> Checkpoint | None:
    """Read a file that an interrupted training of this identity left; None if there is none that is whole."""
    if not path.exists():
        return None
    try:
        found = load_checkpoint(path)
    except ModelError:
        return None
    return found if found.sealed and found.meta.get("identity") == identity else None


def read_example(path: Path, place: int) -> Example:
    """Return one example of a file.

    Raises:
        ModelError: if the file is damaged.
    """
    tensors = load_checkpoint(path).state
    of_class = tensors["classes"] == place
    return Example(
        tensors["components"], tensors["evidence"][place], tensors["boxes"][of_class],
        tensors["weights"][of_class],
    )  # fmt: skip


def _examples_in(path: Path, boxes: Sequence[PseudoBox]) -> list[tuple[Path, int]]:
    return [(path, place) for place in range(len({box.name for box in boxes}))]


def _in_positions(box: tuple[float, float, float, float], evidence: Evidence) -> list[float]:
    """Return a box of the image in positions of a view of the full image; the first position is at 0."""
    _, _, right, bottom = evidence.window
    height, width = evidence.input_size
    y, x = evidence.offset
    scales, origin = (width / right, height / bottom) * 2, (x, y) * 2
    return [
        (each * scale - first) / evidence.step for each, scale, first in zip(box, scales, origin, strict=True)
    ]
