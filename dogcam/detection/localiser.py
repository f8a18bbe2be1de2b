"""A localiser: a light network that regresses a box at each position of a classifier's activation maps."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from dogcam.detection.evidence import Evidence, RegressedBoxes
from dogcam.errors import ModelError
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into, save_checkpoint
from dogcam.models.classifier import Classifier
from dogcam.structures.boxes import as_boxes

MOST_POSITIONS = 200
"""Boxes that a view keeps for a class."""

KIND = "localiser"
"""The entry `kind` of the card of such a file."""


@dataclass(frozen=True)
class LocaliserCard:
    """The description of a localiser that is needed to use it.

    Attributes:
        classifier_sha256: of the weights of the classifier that it belongs to.
        layers: dotted names of the layers whose activations it uses; the last one is the target layer.
        channels: activations at a position, all layers together.
        components: numbers at a position that the network uses, a linear map of them.
        width: channels of the network.
        training: what it was trained on and how, as plain values.
    """

    classifier_sha256: str
    layers: tuple[str, ...]
    channels: int
    components: int
    width: int
    training: dict[str, Any]


class LocaliserNetwork(nn.Module):
    """Regress the box of the object of a class at each position, and its IoU with that object.

    The distances from a position to the four sides of a box are regressed as by FCOS (Tian et al. 2019,
    section 3.1), the IoU as by IoU-Net (Jiang et al. 2018, section 2.1). One input is the evidence for the
    class: the probability of each position by itself. The network thus serves every class.

    Args:
        channels: activations at a position.
        components: numbers at a position that are used, a linear map of the activations.
        width: channels of the hidden layers, a multiple of 8.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, channels: int, components: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(components, channels))
        self.entry = nn.Sequential(nn.Conv2d(components + 1, width, 1), nn.GroupNorm(8, width), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2), nn.GroupNorm(8, width), nn.ReLU(),
        )  # fmt: skip
        self.distances, self.overlap = (nn.Conv2d(width, n, 3, padding=1) for n in (4, 1))
        with torch.no_grad():
            self.distances.weight.zero_()
            # The first boxes have sides of 9 positions.
            self.distances.bias = nn.Parameter(torch.full((4,), 1.5))

    def project(self, activations: Tensor) -> Tensor:
        """Return the components: (N, channels, h, w) -> (N, components, h, w)."""
        centred = activations - self.mean[:, None, None]
        return functional.conv2d(centred, self.projection[:, :, None, None])

    def forward(self, components: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        """Return the boxes and the logits of their IoU at each position.

        Args:
            components: (N, components, h, w) float tensor, from `project`.
            evidence: (N, 1, h, w) float tensor in [0, 1].

        Returns:
            boxes: (N, h, w, 4) tensor, xyxy in distances of neighbouring positions; the first position is
                at 0.
            logits: (N, h, w) tensor.
        """
        components = functional.dropout2d(components, 0.1, self.training)
        entered = self.entry(torch.cat([components, evidence], dim=1))
        hidden = entered + self.body(entered)
        # Between a twentieth of a position and 55 positions.
        left, top, right, bottom = self.distances(hidden).clamp(-3, 4).exp().unbind(1)
        y, x = (torch.arange(n, device=hidden.device, dtype=hidden.dtype) for n in hidden.shape[2:])
        y = y[:, None]
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=3)
        return boxes, self.overlap(hidden)[:, 0]


@dataclass(frozen=True, eq=False)
class Localiser:
    """A trained localiser.

    Attributes:
        card: its description.
        network: in evaluation mode.
    """

    card: LocaliserCard
    network: LocaliserNetwork

    @torch.inference_mode()
    def regress(self, activations: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        """Return the boxes and their expected IoU at each position of one view.

        Args:
            activations: (C, h, w) tensor, from `stacked`.
            evidence: (K, h, w) tensor in [0, 1], the probability of each position for K classes.

        Returns:
            boxes: (K, h, w, 4) tensor as by `LocaliserNetwork`.
            overlaps: (K, h, w) tensor in (0, 1).

        Raises:
            ModelError: if the layers have another number of activations than the localiser was trained on.
        """
        if len(activations) != self.card.channels:
            raise ModelError(
                f"the layers {', '.join(self.card.layers)[:200]} have {len(activations)} activations; the "
                f"localiser was trained on {self.card.channels}: train it again"
            )
        components = self.network.project(activations[None].float())
        n_classes = len(evidence)
        boxes, logits = self.network(components.expand(n_classes, -1, -1, -1), evidence[:, None].float())
        return boxes, logits.sigmoid()

    def save(self, path: Path) -> None:
        """Write the localiser as safetensors, with its card in the header."""
        card = {"kind": KIND, **asdict(self.card)}
        save_checkpoint(path, self.network.state_dict(), card, card_file=False)


_CARD = TypeAdapter(LocaliserCard)


def load_localiser(path: Path, classifier: Classifier) -> Localiser:
    """Read the localiser of a classifier.

    Args:
        path: a file that `dogcam train-localiser` wrote.
        classifier: the network that it was trained for.

    Raises:
        ModelError: if the file cannot be read, is no localiser, or belongs to another classifier.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.meta.get("kind") != KIND:
        raise ModelError(f"{path} is no localiser; train one with dogcam train-localiser")
    if not checkpoint.sealed:
        raise ModelError(f"{path} is damaged: it has no checksum; train the localiser again")
    try:
        fields = {name: value for name, value in checkpoint.meta.items() if name != "kind"}
        card = _CARD.validate_json(json.dumps(fields), strict=True)
    except (ValidationError, ValueError) as error:
        raise ModelError(f"the card of {path} is damaged; train the localiser again") from error
    if card.classifier_sha256 != classifier.weights_sha256():
        raise ModelError(
            f"{path} belongs to another classifier than {classifier.name} with these weights and pools; use "
            "the one that it was trained for, or train another one with dogcam train-localiser"
        )
    if card.layers[-1:] != (classifier.target_layer,):
        raise ModelError(
            f"{path} uses the layers {', '.join(card.layers)[:200]}; expected the target layer "
            f"{classifier.target_layer} as the last one: train the localiser again"
        )
    network = _network_of(card, checkpoint, path)
    load_into(network, checkpoint, path)
    return Localiser(card, network.eval().to(classifier.device))


def _network_of(card: LocaliserCard, checkpoint: Checkpoint, path: Path) -> LocaliserNetwork:
    """Return the network of a card; a card of a few bytes cannot ask for more memory than the file takes.

    Raises:
        ModelError: if the tensors of the file have other shapes.
    """
    sizes = (card.channels, card.components, card.width)
    try:
        if min(sizes) < 1:
            raise ValueError("torch warns of empty layers")
        with torch.device("meta"):
            expected = {name: each.shape for name, each in LocaliserNetwork(*sizes).state_dict().items()}
    except (RuntimeError, ValueError, ZeroDivisionError):
        expected = {}
    if expected != {name: each.shape for name, each in checkpoint.state.items()}:
        raise ModelError(
            f"the card of {path} states {sizes[0]} activations, {sizes[1]} components and a width of "
            f"{sizes[2]}, which its tensors do not have; train the localiser again"
        )
    return LocaliserNetwork(*sizes)


def stacked(activations: Sequence[Tensor]) -> Tensor:
    """Return the activations of several layers at the positions of the last one, interpolated bilinearly.

    Args:
        activations: (C, h, w) tensors.

    Returns:
        (sum of channels, h, w) tensor.
    """
    size = activations[-1].shape[1:]
    return torch.cat([_at_positions(each, size) for each in activations])


def with_regressed(
    found: Sequence[Evidence], activations: Tensor, localiser: Localiser
) -> Iterator[Evidence]:
    """Yield the evidence for each class of one view, with the boxes that the localiser regresses.

    At most `MOST_POSITIONS` positions are kept for a class: those with the highest product of the class's
    probability and the expected IoU.

    Args:
        found: the evidence for K classes, of a view that is not mirrored.
        activations: of the localiser's layers, see `stacked`.
        localiser: of this classifier.
    """
    positions = torch.as_tensor(np.stack([each.logits for each in found])).sigmoid()
    boxes, overlaps = localiser.regress(activations, positions.to(activations.device))
    for evidence, of_class, likely in zip(
        found, boxes.double().cpu().numpy(), overlaps.float().cpu().numpy(), strict=True
    ):
        yield replace(evidence, regressed=_kept(evidence, of_class.reshape(-1, 4), likely.ravel()))


def _kept(evidence: Evidence, boxes: NDArray[np.float64], overlaps: NDArray[np.float32]) -> RegressedBoxes:
    logits = evidence.logits.ravel()
    (y0, x0), (height, width) = evidence.offset, evidence.input_size
    left, top, right, bottom = evidence.window
    pixel = np.array([(right - left) / width, (bottom - top) / height] * 2)
    shown = (boxes * evidence.step + [x0, y0, x0, y0]) * pixel + [left, top, left, top]
    shown = np.clip(shown, [left, top, left, top], [right, bottom, right, bottom])
    # A box narrower than a pixel is left out: its IoU depends on rounding.
    whole = np.flatnonzero((shown[:, 2:] - shown[:, :2] >= 1).all(axis=1))
    rank = overlaps[whole] / (1 + np.exp(-logits[whole].astype(np.float64)))
    best = whole[np.argsort(-rank, kind="stable")[:MOST_POSITIONS]]
    return RegressedBoxes(as_boxes(shown[best]), overlaps[best], logits[best])


def _at_positions(activations: Tensor, size: torch.Size) -> Tensor:
    if activations.shape[1:] == size:
        return activations
    return functional.interpolate(activations[None], size, mode="bilinear", align_corners=False)[0]
