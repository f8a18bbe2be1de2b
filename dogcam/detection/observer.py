"""Collect the evidence for classes from views of images, by forward passes of a classifier."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn

from dogcam.detection.dense import without_last_stride
from dogcam.detection.evidence import Evidence, View, Window
from dogcam.detection.localiser import Localiser, stacked, with_regressed
from dogcam.errors import ModelError, first_line
from dogcam.models.classifier import Classifier
from dogcam.network.heads import LogOddsOfGroups, head_weights, position_head
from dogcam.network.hooks import capture, find_layer
from dogcam.network.spatial import layout_of

_SPAN = 256
"""Rows of pixels between two inputs that measure the stride, a multiple of most strides."""


class Observer:
    """Collect the evidence for classes from views of images.

    Attributes:
        classifier: the network, which ends in global average pooling and a head.
        targets: names of K classes.
        localiser: regresses boxes in views that ask for them; None if there is none.
        side: longer side of the classifier's own input in pixels.
        stride: total stride of the network in pixels.
        dense_fault: why dense views are made without dilation; None if the network can be dilated, or no
            dense view was asked for yet.

    Raises:
        ModelError: if the classifier has no head of its own after the average, or no output for a class; or
            if it does not accept a larger input, or gives it as many positions.
    """

    def __init__(
        self, classifier: Classifier, targets: Iterable[str], localiser: Localiser | None = None
    ) -> None:
        if classifier.head is None:
            raise ModelError(
                f"{classifier.name} has no single head after its average; expected one to classify each "
                "position by itself: use the preset `published`"
            )
        self.classifier, self.targets, self.localiser = classifier, tuple(targets), localiser
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

    def evidence(self, image: Image.Image, view: View, window: Window | None = None) -> tuple[Evidence, ...]:
        """Return the evidence of one view for each of the K classes, from one forward pass.

        Behind a softmax, the logit of a class is its log-odds against all other classes.

        Args:
            image: an RGB image.
            view: how the network is given it.
            window: the part to crop; None for the full image.

        Raises:
            ModelError: if the network does not accept an input of the view's size, or the view asks for the
                boxes of a localiser and there is none.
        """
        if not view.regressed:
            return self.observe(image, view, window)[0]
        return self.regress(*self.observe(image, view, window, self._given_localiser().card.layers))

    def regress(self, found: Sequence[Evidence], activations: Sequence[Tensor]) -> tuple[Evidence, ...]:
        """Return the evidence of a view with the boxes that the localiser regresses.

        Args:
            found, activations: from `observe`, for the layers of the localiser.

        Raises:
            ModelError: if there is no localiser, or it was trained on other activations.
        """
        return tuple(with_regressed(found, stacked(activations), self._given_localiser()))

    @torch.inference_mode()
    def observe(
        self, image: Image.Image, view: View, window: Window | None = None, layers: Sequence[str] = ()
    ) -> tuple[tuple[Evidence, ...], tuple[Tensor, ...]]:
        """Return the evidence for each class without boxes, and the activations of layers.

        Args:
            image, view, window: as for `evidence`.
            layers: dotted names; the last one is the target layer. Empty for this layer alone.

        Returns:
            The evidence for each class, and a (C, h, w) tensor for each layer; that of a layer before the
            target layer may have more positions.
        """
        x0, y0, x1, y1 = window = window or (0.0, 0.0, float(image.width), float(image.height))
        size = view.input_size((round(y1 - y0), round(x1 - x0)), self.side, self.stride)
        part = image.resize(size[::-1], Image.Resampling.BILINEAR, box=window)
        if view.mirrored:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        dense = self._dense_network() if view.dense else None
        network = self.classifier.network if dense is None else dense
        activations = self._activations(part, network, layers or (self.classifier.target_layer,))
        maps = activations[-1]
        # Only the original positions count: a dense view ranks images as a plain view does.
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
        found = tuple(
            Evidence(of_positions, class_map, logit, window, size, (first, left), step)
            for of_positions, class_map, logit in zip(*turned, of_image, strict=True)
        )
        return found, activations

    def _given_localiser(self) -> Localiser:
        if self.localiser is None:
            raise ModelError(
                "no localiser is given; train one with dogcam train-localiser, and name it with --localiser"
            )
        return self.localiser

    def _logits(self, outputs: Tensor) -> Tensor:
        """Return the logits of the classes: (P, C) outputs of the head -> (P, K)."""
        return outputs[:, self._indices] if self._odds is None else self._odds.of_many(outputs)

    def _activations(
        self, part: Image.Image, network: nn.Module, layers: Sequence[str]
    ) -> tuple[Tensor, ...]:
        """Return the activations of layers: (C, h, w) tensors."""
        classifier, size = self.classifier, (part.height, part.width)
        batch = replace(classifier.preprocessing, size=size)([part])
        try:
            with capture(network, layers) as activations:
                network(batch.to(classifier.device, memory_format=torch.channels_last))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ModelError(
                f"{classifier.name} does not accept an input of {size[0]} x {size[1]} pixels "
                f"({first_line(error)}); expected a network for inputs of any size: use the preset "
                "`published`"
            ) from error
        return tuple(self._maps(activations[name], name, size) for name in layers)

    def _maps(self, output: Tensor, layer: str, size: tuple[int, int]) -> Tensor:
        layout = layout_of(output.shape, size)
        if layout is None:
            raise ModelError(
                f"{self.classifier.name} has no spatial positions at {layer!r} for an input of "
                f"{size[0]} x {size[1]} pixels: use the preset `published`"
            )
        return layout.maps(output)[0]

    def _dense_network(self) -> nn.Module | None:
        """Return the copy without the last stride, made when it is first needed; None if there is none."""
        if self._dense is None and self.dense_fault is None:
            size = View(1.0).input_size(self.classifier.preprocessing.size, self.side, self.stride)
            try:
                layer = self.classifier.target_layer
                self._dense = without_last_stride(self.classifier.network, layer, size)
            except ModelError as error:
                self.dense_fault = str(error)
        return self._dense

    @torch.inference_mode()
    def _measure_stride(self) -> int:
        # Of the difference of two inputs: one input need not be a multiple of the stride, such as 260 or 300.
        height, width = self.classifier.preprocessing.size
        layer = self.classifier.target_layer
        few, many = (
            self._activations(Image.new("RGB", (width, side)), self.classifier.network, (layer,))[0].shape[1]
            for side in (height, height + _SPAN)
        )
        if few == many:
            raise ModelError(
                f"{self.classifier.name} has {few} rows of positions at {layer!r} for inputs of {height} and "
                f"{height + _SPAN} rows; expected more for the larger one: use the preset `published`"
            )
        return round(_SPAN / (many - few))
