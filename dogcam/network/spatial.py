"""Spatial layout of the output of a layer: maps, maps with channels last, or tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dogcam.errors import ModelError

MOST_EXTRA_TOKENS = 8
"""Most class, distillation and register tokens before the patch tokens; common networks have up to five."""

SAME_ASPECT = math.log(1.5)
"""Largest difference of the log aspect ratios of a map and its image, apart from rounding to whole cells.
Unpadded layers shorten the smaller side; a channel axis mistaken for a side differs by far more."""


@dataclass(frozen=True)
class Layout:
    """The spatial positions in the output of a layer.

    Attributes:
        kind: (N, C, h, w), (N, h, w, C) or (N, T, C).
        height, width: the number of positions, h x w.
        extra: number of tokens before the patch tokens, which follow row by row.
    """

    kind: Literal["channels first", "channels last", "tokens"]
    height: int
    width: int
    extra: int = 0

    @property
    def n_positions(self) -> int:
        """The number of spatial positions."""
        return self.height * self.width

    def maps(self, output: Tensor) -> Tensor:
        """Return an output of this layout, or its gradient, as (N, C, h, w) maps without extra tokens."""
        if self.kind == "channels first":
            return output
        if self.kind == "channels last":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.extra :].transpose(1, 2)
        return tokens.unflatten(2, (self.height, self.width))

    def __str__(self) -> str:
        positions = f"{self.height} x {self.width} positions"
        if self.kind == "tokens":
            dropped = f" without the first {self.extra}" if self.extra else ""
            return f"{positions}, as tokens{dropped}"
        return f"{positions}, {self.kind}"


def layout_of(shape: Sequence[int], image_size: tuple[int, int]) -> Layout | None:
    """Determine the spatial layout of an output from its shape.

    Four axes are (N, C, h, w), unless only the second and third have the aspect ratio of the image: then they
    are (N, h, w, C). If both pairs have it (as many channels as positions along a side), the pair is chosen
    that is H/s x W/s for an integer stride s, each rounded up or down. If both or neither are, the pair with
    the nearer aspect ratio is chosen; of equals the last two axes.

    Three axes are tokens (N, T, C) if an integer stride s divides the image of H x W pixels into H/s x W/s
    patches, both rounded up or both down, and T exceeds their number by at most `MOST_EXTRA_TOKENS`. Of
    several strides, one that divides both sides is preferred, then the one with the fewest extra tokens.

    Args:
        shape: of the output, N first.
        image_size: (height, width) of the image in pixels.

    Returns:
        None if the output has no spatial positions.
    """
    if len(shape) == 4:
        if _channels_are_last(shape, image_size):
            return Layout("channels last", shape[1], shape[2])
        return Layout("channels first", shape[2], shape[3])
    if len(shape) == 3:
        return _tokens(shape[1], image_size)
    return None


def require_layout(layer: str, shape: Sequence[int], image_size: tuple[int, int]) -> Layout:
    """Return `layout_of` for a target layer.

    Raises:
        ModelError: if the output of the layer has no spatial positions.
    """
    layout = layout_of(shape, image_size)
    if layout is None:
        height, width = image_size
        raise ModelError(
            f"the output of the layer {layer!r} has the shape {tuple(shape)}; expected activation maps "
            f"(N, C, h, w), (N, h, w, C), or tokens (N, T, C) of an image of {height} x {width} pixels; name "
            "another layer"
        )
    return layout


def _channels_are_last(shape: Sequence[int], image_size: tuple[int, int]) -> bool:
    last_two, middle = (shape[2], shape[3]), (shape[1], shape[2])
    if not _has_aspect(*middle, image_size):
        return False
    if not _has_aspect(*last_two, image_size):
        return True
    one_stride = _has_one_stride(*middle, image_size)
    if one_stride != _has_one_stride(*last_two, image_size):
        return one_stride
    return _deviation(*middle, image_size) < _deviation(*last_two, image_size)


def _has_aspect(height: int, width: int, image_size: tuple[int, int]) -> bool:
    if min(height, width, *image_size) < 1:
        return False
    return _deviation(height, width, image_size) <= SAME_ASPECT + 1 / height + 1 / width


def _deviation(height: int, width: int, image_size: tuple[int, int]) -> float:
    return abs(math.log(height / width) - math.log(image_size[0] / image_size[1]))


def _has_one_stride(height: int, width: int, image_size: tuple[int, int]) -> bool:
    """Check whether one stride for both sides of the image gives this number of positions."""
    return any(
        height in (image_size[0] // stride, -(-image_size[0] // stride))
        and width in (image_size[1] // stride, -(-image_size[1] // stride))
        for stride in range(1, max(image_size) + 1)
    )


def _tokens(n_tokens: int, image_size: tuple[int, int]) -> Layout | None:
    fitting = []
    for stride in range(1, max(image_size) + 1):
        rounded = any(side % stride for side in image_size)
        for height, width in ([s // stride for s in image_size], [-(-s // stride) for s in image_size]):
            extra = n_tokens - height * width
            if height * width and 0 <= extra <= MOST_EXTRA_TOKENS:
                fitting.append((rounded, extra, height, width))
    if not fitting:
        return None
    _, extra, height, width = min(fitting)
    return Layout("tokens", height, width, extra)
