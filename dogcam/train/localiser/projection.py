"""A linear map from activations to fewer numbers of comparable size, estimated on some training images."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dogcam.errors import DataError


def estimate_projection(activations: Iterable[Sequence[Tensor]], most: int) -> tuple[Tensor, Tensor]:
    """Return the mean of activations, and a matrix of components of unit variance.

    Each layer has components of its own: its channels, or the first principal components of their
    correlations if it has more than `most` channels.

    Args:
        activations: for each image one (C, h, w) float tensor a layer.
        most: components of a layer at most.

    Returns:
        A (sum of C,) and an (n, sum of C) float32 tensor.

    Raises:
        DataError: if there are fewer than two positions.
    """
    layers: list[_Moments] = []
    for image in activations:
        layers = layers or [_Moments(len(each)) for each in image]
        for moments, each in zip(layers, image, strict=True):
            moments.add(each)
    if not layers or layers[0].n < 2:
        raise DataError("activations at fewer than 2 positions; expected more: use more or larger images")
    matrices = [each.components(most) for each in layers]
    return torch.cat([each.mean for each in layers]).float(), torch.block_diag(*matrices).float()


class _Moments:
    """The mean and the covariance of the channels of a layer over positions."""

    def __init__(self, n_channels: int) -> None:
        self.n = 0
        self._total = torch.zeros(n_channels, dtype=torch.float64)
        self._products = torch.zeros(n_channels, n_channels, dtype=torch.float64)

    def add(self, maps: Tensor) -> None:
        positions = maps.flatten(1).T.double().cpu()
        self.n += len(positions)
        self._total += positions.sum(0)
        self._products += positions.T @ positions

    @property
    def mean(self) -> Tensor:
        return self._total / self.n

    def components(self, most: int) -> Tensor:
        covariance = self._products / self.n - torch.outer(self.mean, self.mean)
        deviations = covariance.diagonal().clamp(min=0).sqrt()
        # A channel that never changes, as behind a ReLU, becomes 0.
        scales = torch.where(deviations > 1e-6, 1 / deviations.clamp(min=1e-6), 0.0)
        if len(scales) <= most:
            return torch.diag(scales)
        values, vectors = torch.linalg.eigh(covariance * torch.outer(scales, scales))
        chosen = values.argsort(descending=True)[: min(most, int((values > 1e-6).sum()))]
        return (vectors[:, chosen] / values[chosen].sqrt()).T * scales
