"""The one entrance to all methods, for the batch as it is or averaged over its views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.cam.engine import Explanation, Request, explain_once
from dogcam.cam.targets import Targets

WIDTH = 3
"""The axis of (N, C, H, W) along which pictures and maps are mirrored."""


@dataclass(frozen=True)
class Views:
    """In which sizes, and whether mirrored too, the network sees each picture.

    Attributes:
        scales: factors of the picture's height and width, each above 0.
        flip: see each size mirrored, left and right swapped, as well.

    Raises:
        ValueError: where there is no scale, or one that is no factor.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise ValueError(f"the scales are {self.scales}; expected one factor or more, each above 0")

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the (height, width) in pixels, at least 1 each, in which a picture of that size is seen."""
        height, width = size
        return [(max(1, round(scale * height)), max(1, round(scale * width))) for scale in self.scales]

    def of(self, images: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """Return each view of a batch (N, C, H, W), and whether it is mirrored."""
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

    Where it is found, and verified on the batch, that averaging and one head are all that follows a layer,
    the maps of all classes are one product and nothing is differentiated; elsewhere gradients run from the
    score to the layer and no further. The caller's gradient mode makes no difference: it works under
    `torch.no_grad` and `torch.inference_mode`. A network under `torch.compile` or `DataParallel` is looked
    into without either.

    With several views, each view's map keeps its positive part, is divided by its peak (a map without one
    stays 0), mirrored back if its picture was, and resized bilinearly to the largest of the views' maps; the
    mean of them all is the map, in [0, 1], and the mean of the views' logits are the logits.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; left exactly as it was found.
        images: (N, 3, H, W) float tensor, preprocessed, on the network's device.
        targets: K indices of logits, the classes to explain, the same for every image; or N rows of K.
        requests: which maps are wanted.
        views: in which sizes and directions the pictures are shown.

    Raises:
        ModelError: where a layer or a class does not exist, the logits do not hang on the layer, CAM is asked
            of a network that has none, activations are no numbers, or the images are on another device.
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


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pictures.shape[2:]) == size:
        return pictures
    # In half precision torch resizes on some devices only.
    wide = pictures.float() if pictures.dtype.itemsize < 4 else pictures
    resized = F.interpolate(wide, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(pictures.dtype)
