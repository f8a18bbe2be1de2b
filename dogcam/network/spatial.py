"""Where in the picture the numbers of a layer stand: maps, maps with the channels last, or tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dogcam.errors import ModelError

MOST_EXTRA_TOKENS = 8
"""Class, distillation and register tokens in front of the picture's; networks in use have up to five."""

SAME_ASPECT = math.log(1.5)
"""How far the aspect of a map may be from its picture's, apart from rounding to whole cells: unpadded layers
eat into the shorter side, whereas a channel axis taken for a side is off by far more."""


@dataclass(frozen=True)
class Layout:
    """How a layer's output is cut into places.

    Attributes:
        kind: (N, C, h, w), (N, h, w, C) or (N, T, C).
        height, width: the places, h x w.
        extra: how many of the T tokens stand in front of the picture's, which follow row by row.
    """

    kind: Literal["channels first", "channels last", "tokens"]
    height: int
    width: int
    extra: int = 0

    @property
    def n_positions(self) -> int:
        """How many places there are."""
        return self.height * self.width

    def maps(self, output: Tensor) -> Tensor:
        """Return an output of this layout, or its gradient, as (N, C, h, w) maps, extra tokens dropped."""
        if self.kind == "channels first":
            return output
        if self.kind == "channels last":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.extra :].transpose(1, 2)
        return tokens.unflatten(2, (self.height, self.width))

    def __str__(self) -> str:
        places = f"{self.height} x {self.width} places"
        if self.kind == "tokens":
            dropped = f" of which the first {self.extra} are dropped" if self.extra else ""
            return f"{places}, as tokens{dropped}"
        return f"{places}, {self.kind}"


def layout_of(shape: Sequence[int], image_size: tuple[int, int]) -> Layout | None:
    """Tell from the shape of a layer's output where its places are.

    Four axes are (N, C, h, w), unless only the second and the third have the aspect of the picture: then they
    are (N, h, w, C). Where both pairs have it, since there are about as many channels as places along a side,
    the pair goes that a whole number s makes of the picture, H/s x W/s, each rounded up or down; where both
    or neither are so made, the pair whose aspect is nearer to the picture's; of equals the last two axes.
    Three axes are tokens (N, T, C), if there is a whole number s that cuts the picture of
    H x W pixels into H/s x W/s patches, both rounded up or both down, and T is their number and at most
    `MOST_EXTRA_TOKENS` more. Of several such numbers one that divides both sides goes first, then the one
    that leaves the fewest tokens over.

    Args:
        shape: of the output, N first.
        image_size: (height, width) of the picture in pixels.

    Returns:
        None where the output has no places.
    """
    if len(shape) == 4:
        if _channels_are_last(shape, image_size):
            return Layout("channels last", shape[1], shape[2])
        return Layout("channels first", shape[2], shape[3])
    if len(shape) == 3:
        return _tokens(shape[1], image_size)
    return None


def require_layout(layer: str, shape: Sequence[int], image_size: tuple[int, int]) -> Layout:
    """Return `layout_of`, for a layer that a map is asked of.

    Raises:
        ModelError: where the output of the layer has no places.
    """
    layout = layout_of(shape, image_size)
    if layout is None:
        height, width = image_size
        raise ModelError(
            f"the layer {layer!r} puts out {tuple(shape)}; expected activation maps (N, C, h, w), "
            f"(N, h, w, C), or the tokens (N, T, C) of an image of {height} x {width} pixels; name another "
            "layer"
        )
    return layout


def _channels_are_last(shape: Sequence[int], image_size: tuple[int, int]) -> bool:
    last_two, middle = (shape[2], shape[3]), (shape[1], shape[2])
    if not _has_aspect(*middle, image_size):
        return False
    if not _has_aspect(*last_two, image_size):
        return True
    made = _is_cut_from(*middle, image_size)
    if made != _is_cut_from(*last_two, image_size):
        return made
    return _deviation(*middle, image_size) < _deviation(*last_two, image_size)


def _has_aspect(height: int, width: int, image_size: tuple[int, int]) -> bool:
    if min(height, width, *image_size) < 1:
        return False
    return _deviation(height, width, image_size) <= SAME_ASPECT + 1 / height + 1 / width


def _deviation(height: int, width: int, image_size: tuple[int, int]) -> float:
    return abs(math.log(height / width) - math.log(image_size[0] / image_size[1]))


def _is_cut_from(height: int, width: int, image_size: tuple[int, int]) -> bool:
    """Tell whether one stride for both sides makes that many places of the picture."""
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
