"""The parts of the sanity checks that run the network, each by itself in any process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dogcam.cam import explain
from dogcam.evaluate import sanity
from dogcam.models.classifier import Classifier
from report.pipeline.engines import Sent
from report.pipeline.methods import MAIN, requests

Images = NDArray[np.float32]
"""Arrays: torch passes tensors to processes in shared memory, of which containers have little."""


class Work(Protocol):
    """What a classifier computes."""

    def run(self, classifier: Classifier) -> Any:
        """Return arrays."""


def do(classifier: Classifier, work: Work) -> Any:
    """Return what the work computes."""
    return work.run(classifier)


@dataclass(frozen=True, eq=False)
class Randomisation:
    """Maps of a network whose weights are permuted layer by layer.

    Attributes:
        target: index of the class.
        batch: (N, 3, H, W) array of images, preprocessed.
        layers: names of the layers, as `layers_as_they_run` returns them.
        counts: ascending numbers of the last layers after whose permutation maps are made.
        seed: of the permutations.
    """

    target: int
    batch: Images
    layers: Sequence[str]
    counts: Sequence[int]
    seed: int

    def run(self, classifier: Classifier) -> list[NDArray[np.float32]]:
        """Return the (N, h, w) maps of each count."""
        cascade, done = sanity.Cascade(classifier.network, self.layers, self.seed), 0
        batch, request, found = _input(classifier, self.batch), requests(classifier)[MAIN], []
        for count in self.counts:
            cascade.randomise(count - done)
            done = count
            maps = explain(cascade.network, batch, [self.target], [request]).maps[0]
            found.append(maps[:, 0].cpu().numpy())
        return found


@dataclass(frozen=True, eq=False)
class Activation:
    """The activation maps of the target layer; attributes as for `Randomisation`."""

    batch: Images

    def run(self, classifier: Classifier) -> NDArray[np.float32]:
        """Return a (N, C, h, w) array."""
        return _activations(classifier, _input(classifier, self.batch), pooled=False)


@dataclass(frozen=True, eq=False)
class Pooling:
    """The spatial means of the activation maps of the target layer.

    Attributes:
        images: N images.
    """

    images: Sequence[Sent]

    def run(self, classifier: Classifier) -> NDArray[np.float32]:
        """Return a (N, C) array."""
        batch = classifier.batch([each.read(classifier.least_side) for each in self.images])
        return _activations(classifier, batch, pooled=True)


@dataclass(frozen=True, eq=False)
class Erasure:
    """The deletion and insertion of one image; attributes as the arguments of `probabilities_during`."""

    target: int
    image: Images
    blank: Images
    orders: Sequence[NDArray[np.int64]]
    fractions: Sequence[float]
    batch_size: int

    def run(self, classifier: Classifier) -> NDArray[np.float64]:
        """Return the (orders, 2, fractions) probabilities."""
        image, blank = (torch.from_numpy(each).to(classifier.device) for each in (self.image, self.blank))
        return sanity.probabilities_during(
            classifier.network, classifier.probabilities, image, blank, self.orders, self.target,
            self.fractions, self.batch_size,
        )  # fmt: skip


def _input(classifier: Classifier, batch: Images) -> torch.Tensor:
    return torch.from_numpy(batch).to(classifier.device, memory_format=torch.channels_last)


def _activations(classifier: Classifier, batch: torch.Tensor, *, pooled: bool) -> NDArray[np.float32]:
    return sanity.activation_maps(classifier.network, [batch], classifier.target_layer, pooled=pooled)
