"""Explain a batch with any methods, with or without test-time augmentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.cam.engine import Explanation, Request, explain_once
from dogcam.cam.targets import Targets

WIDTH = 3
"""The axis of (N, C, H, W) along which images and maps are mirrored."""


@dataclass(frozen=True)
class Views:
    """Scales and mirroring of test-time augmentation.

    Attributes:
        scales: factors of the height and width of the image, each above 0.
        flip: add a horizontally mirrored copy for each scale.

    Raises:
        ValueError: if there is no scale, or one that is not a finite number above 0.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise ValueError(f"the scales are {self.scales}; expected one or more finite factors above 0")

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the (height, width) in pixels, at least 1 each, of each scaled copy of an image."""
        height, width = size
        return [(max(1, round(scale * height)), max(1, round(scale * width))) for scale in self.scales]

    def of(self, images: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """Yield each view of a batch (N, C, H, W), and whether it is mirrored."""
        for scale, size in zip(self.scales, self.sizes(images.shape[2:]), strict=True):
            view = images if scale == 1 else _resized(images, size)
            yield view, False
            if self.flip:
                yield view.flip(WIDTH), True


ONE_VIEW = Views()


def explain(
    network: nn.Module,
    images: Tensor,
    targets: Targets,
    requests: Sequence[Request],
    views: Views = ONE_VIEW,
) -> Explanation:
    """Compute the class activation maps of a batch, all requests from one forward pass.

    If only global average pooling and one head follow a layer (verified on the batch), the maps of all
    classes are a single matrix product. Otherwise gradients are computed from the score back to the layer
    only. The
    gradient mode of the caller does not matter: the function works under `torch.no_grad` and
    `torch.inference_mode`. A network wrapped by `torch.compile` or `DataParallel` is unwrapped.

    With several views, ReLU is applied to the map of each view. The map is divided by its maximum (an empty
    map stays 0), mirrored back if its view was mirrored, and resized bilinearly to the largest map of all
    views. The result is the mean of the maps, in [0, 1], and the mean of the logits.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; restored to its state afterwards.
        images: (N, 3, H, W) float tensor, preprocessed, on the device of the network.
        targets: K class indices to explain in every image, or N rows of K indices.
        requests: the maps to compute.
        views: scales and mirroring of test-time augmentation.

    Raises:
        ModelError: if a layer or a class does not exist, the logits do not depend on the layer, the network
            has no CAM and it is requested, activations are not finite, or the images are on another device.
    """
    if views == ONE_VIEW:
        return explain_once(network, images, targets, requests)
    seen = [
        _mirrored_back(explain_once(network, view, targets, requests), mirrored)
        for view, mirrored in views.of(images)
    ]
    maps = tuple(_mean(each) for each in zip(*(explanation.maps for explanation in seen), strict=True))
    return Explanation(torch.stack([explanation.logits for explanation in seen]).mean(dim=0), maps)


def _mirrored_back(explanation: Explanation, mirrored: bool) -> Explanation:
    if not mirrored:
        return explanation
    return Explanation(explanation.logits, tuple(maps.flip(WIDTH) for maps in explanation.maps))


def _mean(views: Sequence[Tensor]) -> Tensor:
    size = max((tuple(maps.shape[2:]) for maps in views), key=lambda shape: shape[0] * shape[1])
    return torch.stack([_resized(_of_peak(maps), size) for maps in views]).mean(dim=0)


def _of_peak(maps: Tensor) -> Tensor:
    positive = maps.relu()
    peak = positive.amax(dim=(2, 3), keepdim=True)
    return positive / torch.where(peak > 0, peak, 1)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    # In half precision torch resizes on some devices only.
    wide = images.float() if images.dtype.itemsize < 4 else images
    resized = F.interpolate(wide, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(images.dtype)
