"""Views of an image and the evidence for a class at each spatial position of each view."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dogcam.detection.dense import without_last_stride
from dogcam.errors import ModelError, first_line
from dogcam.models.classifier import Classifier
from dogcam.network.heads import LogOddsOfGroups, head_weights, position_head
from dogcam.network.hooks import capture, find_layer
from dogcam.network.spatial import layout_of

Window = tuple[float, float, float, float]
"""A part of an image, half-open xyxy in pixels."""

GRID_SIDE = 96
"""Cells of the longer side of the grid on which the maps of all views are compared."""


@dataclass(frozen=True)
class View:
    """How an image, or a part of it, is given to the network.

    Attributes:
        scale: length of the longer side, as a multiple of the classifier's own input side.
        keep_aspect: keep the aspect ratio, up to rounding to the network's stride; otherwise the input is a
            square.
        dense: run the network without its last stride, so that maps have twice the resolution; a network
            that cannot be run so, for example with squeeze-and-excitation, makes a plain view.
        mirrored: mirror the image, and mirror the map back.

    Raises:
        ValueError: if the scale is not above 0.
    """

    scale: float
    keep_aspect: bool = True
    dense: bool = True
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"the scale of a view is {self.scale}; expected a number above 0")

    @property
    def name(self) -> str:
        """A short name that differs between views: `1.25 dense mirrored`."""
        flags = {"squashed": not self.keep_aspect, "dense": self.dense, "mirrored": self.mirrored}
        return " ".join([f"{self.scale:g}", *(word for word, used in flags.items() if used)])

    def input_size(self, size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
        """Return the (height, width) of the network's input in pixels.

        Args:
            size: (height, width) of what is shown, in pixels.
            side: longer side of the classifier's own input in pixels.
            stride: total stride of the network; both sides of the input are multiples, at least two.
        """
        longest = self.scale * side
        wanted = [each * longest / max(size) for each in size] if self.keep_aspect else [longest, longest]
        height, width = (max(2, round(each / stride)) * stride for each in wanted)
        return height, width


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence for one class at each position of one view.

    Attributes:
        logits: (h, w) float32 array, the logit of the class if a position is classified by itself.
        class_map: (h, w) float32 array, the class activation map: the weighted sum of activations.
        logit: of the view.
        window: the part of the image that the view shows, half-open xyxy in pixels.
        input_size: (height, width) of the network's input in pixels.
        offset: (y, x), the centre of the first position in pixels of the input.
        step: distance of neighbouring positions in pixels of the input.
    """

    logits: NDArray[np.float32]
    class_map: NDArray[np.float32]
    logit: float
    window: Window
    input_size: tuple[int, int]
    offset: tuple[float, float]
    step: float

    @property
    def magnification(self) -> float:
        """Pixels of the input for one pixel of the image, along the longer side of the input."""
        x0, y0, x1, y1 = self.window
        return max(self.input_size) / max(x1 - x0, y1 - y0)


class Observer:
    """Collect the evidence for classes from views of images.

    Attributes:
        classifier: the network, which ends in global average pooling and a head.
        targets: names of K classes.
        side: longer side of the classifier's own input in pixels.
        stride: total stride of the network in pixels.
        dense_fault: why dense views are made without dilation; None if the network can be dilated, or no
            dense view was asked for yet.

    Raises:
        ModelError: if the classifier has no head of its own after the average, or no output for a class.
    """

    def __init__(self, classifier: Classifier, targets: Iterable[str]) -> None:
        if classifier.head is None:
            raise ModelError(
                f"{classifier.name} has no single head after its average; expected one to classify each "
                "position by itself: use the preset `published`"
            )
        self.classifier, self.targets = classifier, tuple(targets)
        self.side = max(classifier.preprocessing.size)
        self._indices = [classifier.index_of(name) for name in self.targets]
        self._head = find_layer(classifier.network, classifier.head)
        self._odds: LogOddsOfGroups | None = None
        if classifier.activation == "softmax":
            groups = [[index] for index in self._indices]
            self._odds = LogOddsOfGroups(len(classifier.classes), groups).to(classifier.device)
        self._dense: nn.Module | None = None
        self.dense_fault: str | None = None
        self.stride = self._measure_stride()

    def require(self, views: Iterable[View]) -> None:
        """Try every view on a blank image.

        Raises:
            ModelError: if the network cannot make a view.
        """
        blank = Image.new("RGB", self.classifier.preprocessing.size[::-1])
        for view in views:
            self.evidence(blank, view)

    @torch.inference_mode()
    def evidence(self, image: Image.Image, view: View, window: Window | None = None) -> tuple[Evidence, ...]:
        """Return the evidence of one view for each of the K classes, from one forward pass.

        Behind a softmax, the logit of a class is its log-odds against all other classes.

        Args:
            image: an RGB image.
            view: how the network is given it.
            window: the part to crop; None for the full image.

        Raises:
            ModelError: if the network does not accept an input of the view's size.
        """
        x0, y0, x1, y1 = window = window or (0.0, 0.0, float(image.width), float(image.height))
        size = view.input_size((round(y1 - y0), round(x1 - x0)), self.side, self.stride)
        part = image.resize(size[::-1], Image.Resampling.BILINEAR, box=window)
        if view.mirrored:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        dense = self._dense_network() if view.dense else None
        maps = self._maps(part, self.classifier.network if dense is None else dense)
        # The logit is that of the original positions, so that dense views rank images equally.
        pooled = (maps if dense is None else maps[:, ::2, ::2]).mean(dim=(1, 2))[None]
        outputs = position_head(self._head)(maps.flatten(1).T)
        logits = self._logits(outputs).T.reshape(-1, *maps.shape[1:])
        weights = head_weights(self._head, pooled)[0, self._indices]
        class_maps = torch.einsum("chw,kc->khw", maps, weights)
        step = size[0] / maps.shape[1]
        # Without the last stride the first position remains where it was: half an original step inside.
        first = step / 2 if dense is None else step
        left = size[1] - (maps.shape[2] - 1) * step - first if view.mirrored else first
        arrays = (each.float().cpu().numpy() for each in (logits, class_maps))
        turned = [each[:, :, ::-1] if view.mirrored else each for each in arrays]
        of_image = self._logits(self._head(pooled))[0].tolist()
        return tuple(
            Evidence(of_positions, class_map, logit, window, size, (first, left), step)
            for of_positions, class_map, logit in zip(*turned, of_image, strict=True)
        )

    def _logits(self, outputs: Tensor) -> Tensor:
        """Return the logits of the classes: (P, C) outputs of the head -> (P, K)."""
        return outputs[:, self._indices] if self._odds is None else self._odds.of_many(outputs)

    def _maps(self, part: Image.Image, network: nn.Module) -> Tensor:
        """Return the activations of the target layer: (C, h, w) tensor."""
        classifier, size = self.classifier, (part.height, part.width)
        batch = replace(classifier.preprocessing, size=size)([part])
        try:
            with capture(network, [classifier.target_layer]) as activations:
                network(batch.to(classifier.device, memory_format=torch.channels_last))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ModelError(
                f"{classifier.name} does not accept an input of {size[0]} x {size[1]} pixels "
                f"({first_line(error)}); expected a network for inputs of any size: use the preset "
                "`published`"
            ) from error
        output = activations[classifier.target_layer]
        layout = layout_of(output.shape, size)
        if layout is None:
            raise ModelError(
                f"{classifier.name} has no spatial positions at {classifier.target_layer!r} for an input of "
                f"{size[0]} x {size[1]} pixels: use the preset `published`"
            )
        return layout.maps(output)[0]

    def _dense_network(self) -> nn.Module | None:
        """Return the copy without the last stride, made when it is first needed; None if there is none."""
        if self._dense is None and self.dense_fault is None:
            size = self.classifier.preprocessing.size
            try:
                layer = self.classifier.target_layer
                self._dense = without_last_stride(self.classifier.network, layer, size)
            except ModelError as error:
                self.dense_fault = str(error)
        return self._dense

    @torch.inference_mode()
    def _measure_stride(self) -> int:
        height, width = self.classifier.preprocessing.size
        maps = self._maps(Image.new("RGB", (width, height)), self.classifier.network)
        return round(height / maps.shape[1])


@dataclass(frozen=True)
class Grid:
    """Square cells over an image, on which maps of different views are compared.

    Attributes:
        size: (height, width) of the image in pixels.
        side: cells of the longer side.
    """

    size: tuple[int, int]
    side: int = GRID_SIDE

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid."""
        rows, columns = (max(8, round(each * self.side / max(self.size))) for each in self.size)
        return rows, columns

    @property
    def cell(self) -> tuple[float, float]:
        """(height, width) of a cell in pixels of the image."""
        return self.size[0] / self.shape[0], self.size[1] / self.shape[1]

    def to_pixels(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes in pixels of the image: (N, 4) float array of boxes in cells -> (N, 4)."""
        return boxes * [self.cell[1], self.cell[0], self.cell[1], self.cell[0]]

    def logits(self, evidence: Evidence) -> NDArray[np.float32]:
        """Return the logits at the centres of the cells, interpolated bilinearly between positions.

        Beyond the outermost positions the nearest value is repeated; outside the window of the evidence
        this has no meaning.

        Returns:
            (rows, columns) float32 array.
        """
        return self._resample(evidence.logits, evidence)

    def class_map(self, evidence: Evidence) -> NDArray[np.float32]:
        """Return the positive part of the class activation map at the cells, divided by its peak.

        Returns:
            (rows, columns) float32 array in [0, 1]; 0 everywhere if the map is nowhere positive.
        """
        positive = np.maximum(self._resample(evidence.class_map, evidence), 0.0)
        peak = positive.max()
        return positive / peak if peak > 0 else positive

    def _resample(self, values: NDArray[np.float32], evidence: Evidence) -> NDArray[np.float32]:
        left, top, right, bottom = evidence.window
        weights = []
        for axis, (low, high) in enumerate(((top, bottom), (left, right))):
            pixel = (high - low) / evidence.input_size[axis]
            centres = (np.arange(self.shape[axis]) + 0.5) * self.cell[axis]
            places = ((centres - low) / pixel - evidence.offset[axis]) / evidence.step
            weights.append(_interpolation(places, values.shape[axis]))
        rows, columns = weights
        return rows @ values.astype(np.float32) @ columns.T


def _interpolation(places: NDArray[np.floating], n_positions: int) -> NDArray[np.float32]:
    """Return the weights of positions 0, 1, ... at places: (n_places, n_positions) array, rows sum to 1."""
    at = np.clip(places, 0, n_positions - 1)
    first = np.minimum(at.astype(int), max(n_positions - 2, 0))
    weights = np.zeros((len(places), n_positions), dtype=np.float32)
    row = np.arange(len(places))
    weights[row, first] = 1 - (at - first)
    if n_positions > 1:
        weights[row, first + 1] += at - first
    return weights
