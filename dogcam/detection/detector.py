"""The chain from images to scored boxes: logits and class activation maps, heat maps, boxes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dogcam.cam import OfClasses, Request, Views, explain
from dogcam.cam.targets import Targets
from dogcam.cam.views import ONE_VIEW
from dogcam.detection.boxes_from_maps import (
    DEFAULT_RULE,
    LocalisationRule,
    Located,
    Map,
    heat_map,
    localise_maps,
)
from dogcam.detection.images import ImageSources, LoadedImage, each_source, in_batches, load_image
from dogcam.models.classifier import Classifier
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass, fuse_logits, high_resolution_logits
from dogcam.network.memory import in_parts
from dogcam.structures.boxes import Boxes
from dogcam.structures.defaults import BATCH_SIZE
from dogcam.structures.detections import Detections
from dogcam.structures.images import least_side

MOST_SIDE = 1024
"""Pixels of the longer side of a heat map that is drawn; boxes are computed at the size of the image."""


@dataclass(frozen=True)
class Predictions:
    """The output of a network for a batch of N images.

    Attributes:
        batch: (N, 3, H, W) float tensor, the network's input, on its device.
        logits: (N, C) float32 tensor on the CPU; the mean of both passes if there are two.
        maps: for each request an (N, K, h, w) float tensor of the class activation maps, on the CPU.
        high_resolution: (N, C) logits of the high-resolution pass; None without such a pass.
    """

    batch: Tensor
    logits: Tensor
    maps: tuple[Tensor, ...]
    high_resolution: Tensor | None


def predict(
    network: nn.Module,
    images: Sequence[Image.Image],
    preprocessing: Preprocessing,
    high_resolution: HighResolutionPass | None = None,
    targets: Targets = (0,),
    requests: Sequence[Request | OfClasses] = (),
    views: Views = ONE_VIEW,
) -> Predictions:
    """Run a network on images: logits and the class activation maps of some classes.

    A batch that does not fit into memory is halved and tried again.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; left as it was found.
        images: N RGB images.
        preprocessing: makes the network's input from them.
        high_resolution: second pass, whose logits are averaged with the first's; None for one pass.
        targets: K class indices to explain.
        requests: the maps to compute; an empty sequence costs nothing.
        views: scales and mirror images to average over.

    Raises:
        ModelError: as `dogcam.cam.explain`, or if memory is too small for a single image.
    """

    def run(part: Sequence[Image.Image]) -> Predictions:
        return _predict(network, part, preprocessing, high_resolution, targets, requests, views)

    return _joined(in_parts(run, images))


def _predict(
    network: nn.Module,
    images: Sequence[Image.Image],
    preprocessing: Preprocessing,
    high_resolution: HighResolutionPass | None,
    targets: Targets,
    requests: Sequence[Request | OfClasses],
    views: Views,
) -> Predictions:
    device = next(network.parameters()).device
    batch = preprocessing(images).to(device, memory_format=torch.channels_last)
    explanation = explain(network, batch, targets, requests, views)
    second = high_resolution_logits(network, images, preprocessing, high_resolution, flip=views.flip)
    logits = fuse_logits(explanation.logits, second).cpu()
    return Predictions(batch, logits, tuple(maps.cpu() for maps in explanation.maps), second)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    second = [part.high_resolution for part in parts if part.high_resolution is not None]
    return Predictions(
        torch.cat([part.batch for part in parts]),
        torch.cat([part.logits for part in parts]),
        tuple(torch.cat(maps) for maps in zip(*(part.maps for part in parts), strict=True)),
        torch.cat(second) if second else None,
    )


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of an image's heat map, of which no side exceeds `MOST_SIDE`."""
    factor = min(1.0, MOST_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """The boxes that a method found in one image.

    Attributes:
        size: (height, width) of the image in pixels.
        targets: K class names.
        located: for each target its boxes and scores.
    """

    size: tuple[int, int]
    targets: tuple[str, ...]
    located: tuple[Located, ...]

    @property
    def boxes(self) -> Boxes:
        """(N, 4) boxes of all targets, target by target: half-open xyxy in pixels."""
        return np.concatenate([boxes for boxes, _ in self.located])

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) scores of the boxes: for a map, the probability times its relative peak inside the box."""
        return np.concatenate([scores for _, scores in self.located])

    @property
    def labels(self) -> list[str]:
        """The N class names of the boxes."""
        return [name for name, (boxes, _) in zip(self.targets, self.located, strict=True) for _ in boxes]

    def above(self, score_threshold: float) -> Self:
        """Return the same result without the boxes that score less."""
        kept = [scores >= score_threshold for _, scores in self.located]
        located = zip(self.located, kept, strict=True)
        return replace(self, located=tuple((boxes[keep], scores[keep]) for (boxes, scores), keep in located))


@dataclass(frozen=True, eq=False)
class ImageResult(FoundBoxes):
    """What a detector found in one image.

    Attributes:
        size, targets, located: as for `FoundBoxes`.
        logits: (C,) float32 array of the logits of all classes of the classifier.
        probabilities: (K,) float64 array, the probability of each target.
        maps: (K, h, w) float32 array, the class activation map of each target.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    maps: NDArray[np.float32]

    def heat_map(self, target: str) -> Map:
        """Return the map of a target: (height, width) float32 array in [0, 1], of `working_size`."""
        return heat_map(self.maps[self.targets.index(target)], working_size(self.size))


@dataclass(frozen=True)
class Detector:
    """A classifier used as a detector: every connected component of a thresholded map is a box.

    Attributes:
        classifier: has outputs for the targets.
        targets: names of K classes; they share one forward pass.
        request: the kind of map and its layer.
        rule: how a map becomes boxes.
        views: scales and mirror images to average over.

    Raises:
        ModelError: if the classifier has no output for a target.
    """

    classifier: Classifier
    targets: tuple[str, ...]
    request: Request
    rule: LocalisationRule = DEFAULT_RULE
    views: Views = ONE_VIEW

    def __post_init__(self) -> None:
        for name in self.targets:
            self.classifier.index_of(name)

    def run(self, images: ImageSources, batch_size: int = BATCH_SIZE) -> Iterator[ImageResult]:
        """Yield the result of each image, in their order.

        Args:
            images: one image or several; files are read batch by batch.
            batch_size: images in one forward pass.

        Raises:
            DataError: if an image cannot be read.
        """
        for batch in in_batches(each_source(images), batch_size):
            yield from self._batch([load_image(source, self.least_side) for source in batch])

    @property
    def least_side(self) -> int:
        """Minimum side in pixels of the images, for all views and the high-resolution pass."""
        of_views = least_side(*self.views.sizes(self.classifier.preprocessing.size))
        return max(of_views, self.classifier.least_side)

    def _batch(self, images: Sequence[LoadedImage]) -> Iterator[ImageResult]:
        classifier = self.classifier
        indices = [classifier.index_of(name) for name in self.targets]
        found = predict(
            classifier.network, [image.pixels for image in images], classifier.preprocessing,
            classifier.high_resolution, indices, [self.request], self.views,
        )  # fmt: skip
        probabilities = classifier.probabilities(found.logits)[:, indices]
        maps = found.maps[0].numpy()
        for image, logits, scores, each in zip(
            images, found.logits.numpy(), probabilities, maps, strict=True
        ):
            boxes = localise_maps(each, image.size, scores, [[self.rule]] * len(each))
            located = tuple(of_rule for (of_rule,) in boxes)
            yield ImageResult(image.size, self.targets, located, logits, scores, each)


def detections_of(results: Iterable[ImageResult], target: str) -> Detections:
    """Gather the boxes of one target over images, numbered in the order of the results."""
    located = [each.located[each.targets.index(target)] for each in results]
    return Detections.from_images([boxes for boxes, _ in located], [scores for _, scores in located])
