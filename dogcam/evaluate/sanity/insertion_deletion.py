"""Deletion and insertion (Petsiuk et al. 2018): the probability of the class in the order of a map.

*Deletion* blurs pixels by descending map value; *insertion* restores them in that order from a blurred image.
Lower deletion and higher insertion AUC are better. Pixels are blurred, not blackened: the edges of a black
patch change the logit even if the map is zero there.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dogcam.detection.boxes_from_maps import Map, resize
from dogcam.network.hooks import evaluation_mode

Order = Literal["map", "random", "centre"]
ORDERS: tuple[Order, ...] = get_args(Order)

BLUR = 1 / 12
"""The standard deviation of the blur, as a share of the picture's shorter side."""


def blurred(images: Tensor) -> Tensor:
    """Return (N, 3, H, W) float images without detail: blurred along both axes, mirrored at the edges."""
    height, width = images.shape[2:]
    sigma = BLUR * min(height, width)
    reach = min(round(3 * sigma), min(height, width) - 1)
    rows, columns = (_gaussian_matrix(length, sigma, reach).to(images) for length in (height, width))
    return rows.T @ images @ columns


def _gaussian_matrix(length: int, sigma: float, reach: int) -> Tensor:
    """Return the (length, length) matrix that blurs a row from its right, mirrored at both ends."""
    distances = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (distances / sigma) ** 2)
    mirrored = functional.pad(torch.eye(length)[None], [reach, reach], mode="reflect")[0]
    return mirrored.unfold(1, len(kernel), 1) @ (kernel / kernel.sum())


def removal_orders(
    map_: Map, size: tuple[int, int], rng: np.random.Generator
) -> dict[Order, NDArray[np.int64]]:
    """Return the pixels of an image in three orders, the first to be deleted first.

    - `map`: by the resized map, descending;
    - `random`: by the same map with its values shuffled, which is as smooth;
    - `centre`: from the centre outwards, along boxes of the aspect ratio of the image.

    Equal values come in random order, so that no position is favoured.

    Args:
        map_: (h, w) float array.
        size: (height, width) of the picture in pixels.
        rng: of the shuffles.

    Returns:
        For each of `ORDERS` a (height * width,) int array of indices into the flattened picture.
    """
    height, width = size
    y = np.abs((np.arange(height) + 0.5) / height - 0.5)
    x = np.abs((np.arange(width) + 0.5) / width - 0.5)
    salience: dict[Order, NDArray] = {
        "map": resize(map_, size),
        "random": resize(rng.permutation(map_.ravel()).reshape(map_.shape), size),
        "centre": -np.maximum(y[:, None], x[None, :]),
    }
    ties = rng.permutation(height * width)
    return {order: np.lexsort((ties, -values.ravel())) for order, values in salience.items()}


@torch.no_grad()
def probabilities_during(
    network: nn.Module,
    probabilities: Callable[[Tensor], NDArray[np.float64]],
    image: Tensor,
    blank: Tensor,
    orders: Sequence[NDArray[np.int64]],
    target: int,
    fractions: Sequence[float],
    batch_size: int,
) -> NDArray[np.float64]:
    """Return the class's probability at each stage of the deletion and of the insertion in several orders.

    The deletion blurs the first pixels of an order, the insertion all but these. Both ends of every curve are
    the image and its blurred version, which run once.

    Args:
        network: maps images to logits.
        probabilities: (N, C) logits -> (N, C) probabilities, as `Classifier.probabilities`.
        image: (3, H, W) float tensor, preprocessed.
        blank: (3, H, W) float tensor, what it is blurred to.
        orders: O (H * W,) int arrays, as `removal_orders` returns them.
        target: index of the class.
        fractions: S shares of the pixels in [0, 1].
        batch_size: how many stages run at a time.

    Returns:
        (O, 2, S) float64 array in [0, 1]: for each order the deletion and the insertion.
    """
    n_pixels = image.shape[1] * image.shape[2]
    limits = np.round(np.asarray(fractions) * n_pixels)
    inner = (limits > 0) & (limits < n_pixels)
    first = torch.from_numpy(np.argsort(orders, axis=1)[:, None] < limits[inner, None])
    first = first.view(-1, 1, *image.shape[1:]).to(image.device)
    stages = torch.cat(
        [image[None], blank[None], torch.where(first, blank, image), torch.where(first, image, blank)]
    ).contiguous(memory_format=torch.channels_last)
    with evaluation_mode(network):
        logits = torch.cat([network(part) for part in stages.split(batch_size)])
    of_image, of_blank, *others = probabilities(logits)[:, target]
    values = np.empty((len(orders), 2, len(limits)))
    values[:, 0] = np.where(limits == 0, of_image, of_blank)
    values[:, 1] = np.where(limits == 0, of_blank, of_image)
    values[:, :, inner] = np.reshape(others, (2, len(orders), -1)).swapaxes(0, 1)
    return values


def auc(values: NDArray[np.float64], fractions: Sequence[float]) -> NDArray[np.float64]:
    """Return the areas under curves by the trapezoidal rule.

    Args:
        values: (..., S) float array.
        fractions: S ascending numbers, from 0 to 1 for areas that are means.

    Returns:
        (...) float array.
    """
    return (np.diff(fractions) * (values[..., 1:] + values[..., :-1]) / 2).sum(axis=-1)
