"""The methods that weigh activation maps by the gradient of the class's score.

Each computes from the maps A (channels k, places ij, Z of them) and the gradient G = dy/dA of the score y of
one class. Where averaging and one head follow the layer, G is the same number at every place of a map, and
every method comes down to one weight for each map: `weights` gives them, for all classes at once.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Score = Literal["logit", "probability"]


@dataclass(frozen=True)
class _Gradients:
    """What the methods have in common: the layer, and the score that is differentiated, the logit."""

    layer: str

    @property
    def differentiated(self) -> Score:
        return "logit"

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the map of one class before its positive part is taken.

        Args:
            maps: (N, C, h, w) float tensor, the activation maps A.
            gradient: (N, C, h, w) float tensor, G for one class.

        Returns:
            (N, h, w) float tensor.
        """
        raise NotImplementedError

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the weight of each map for each class where G does not depend on the place.

        Args:
            maps: (N, C, h, w) float tensor, the activation maps A.
            channel_gradients: (N, K, C) float tensor, G at any place of each map, for each class.

        Returns:
            (N, K, C) float tensor.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class GradCam(_Gradients):
    """Ask for Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).

        alpha_k = 1/Z sum_ij G_kij,    L = ReLU(sum_k alpha_k A_k)

    Attributes:
        layer: dotted name of the target layer.
        score: differentiate the logit, or the probability, its sigmoid; their gradients differ by the
            factor p (1 - p), which leaves the map's shape alone until it is too small for the number format.
    """

    score: Score = "logit"

    @property
    def differentiated(self) -> Score:
        """Which score is differentiated."""
        return self.score

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weigh each map by its mean gradient."""
        return _weighted(maps, gradient.mean(dim=(2, 3)))

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """The mean of what is the same everywhere is itself."""
        return channel_gradients


@dataclass(frozen=True)
class HiResCam(_Gradients):
    """Ask for HiResCAM (Draelos and Carin 2020): each activation counts with its own gradient.

        L = ReLU(sum_k G_k * A_k)

    the product taken place by place. The paper shows the sum with its sign; the positive part is taken here
    as in Grad-CAM, with which it is the same map where averaging and a linear layer follow. Where layer
    normalisation follows, as between the stages of ConvNeXt, it is 0: the score does not change when all
    activations of a place are scaled together.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Multiply place by place, then sum over the maps."""
        return torch.einsum("nchw,nchw->nhw", maps, gradient)

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """The same weight at every place of a map."""
        return channel_gradients


@dataclass(frozen=True)
class LayerCam(_Gradients):
    """Ask for LayerCAM (Jiang et al. 2021, equations 5 to 7): as HiResCAM, positive gradients alone.

        L = ReLU(sum_k ReLU(G_k) * A_k)

    Made for earlier layers, whose gradients differ from place to place.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Multiply by the positive part of the gradient, then sum over the maps."""
        return torch.einsum("nchw,nchw->nhw", maps, gradient.relu())

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Maps that speak against the class do not count."""
        return channel_gradients.relu()


@dataclass(frozen=True)
class GradCamPlusPlus(_Gradients):
    """Ask for Grad-CAM++ (Chattopadhyay et al. 2018, equations 13, 17 and 19), of the score exp(y).

        alpha_kij = G_kij^2 / (2 G_kij^2 + G_kij^3 sum_ab A_kab) = 1 / (2 + G_kij sum_ab A_kab)
        w_k = sum_ij alpha_kij ReLU(G_kij),    L = ReLU(sum_k w_k A_k)

    The paper's gradient of exp(y) has the factor exp(y) more, which is the same for the whole map; it is left
    out, since it overflows. Where the denominator is 0, alpha is 0.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weigh each map by its positive gradients, shared out by alpha."""
        alpha = _inverse(2 + gradient * maps.sum(dim=(2, 3), keepdim=True))
        return _weighted(maps, (alpha * gradient.relu()).sum(dim=(2, 3)))

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Every place has the same alpha, so that their sum is Z times it."""
        n_positions = maps.shape[2] * maps.shape[3]
        alpha = _inverse(2 + channel_gradients * maps.sum(dim=(2, 3))[:, None])
        return n_positions * alpha * channel_gradients.relu()


@dataclass(frozen=True)
class XGradCam(_Gradients):
    """Ask for XGrad-CAM (Fu et al. 2020, equation 8): gradients weighted by the activations.

        w_k = sum_ij A_kij / (sum_ab A_kab) G_kij,    L = ReLU(sum_k w_k A_k)

    A map whose activations add up to 0 has the weight 0; where all are 0, that is all it can have.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weigh each map by its activations' mean gradient."""
        share = _inverse(maps.sum(dim=(2, 3)))
        return _weighted(maps, torch.einsum("nchw,nchw->nc", maps, gradient) * share)

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Any weighted mean of what is the same everywhere is itself."""
        return channel_gradients * (maps.sum(dim=(2, 3)) != 0)[:, None]


def _weighted(maps: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("nchw,nc->nhw", maps, weights)


def _inverse(values: Tensor) -> Tensor:
    """Return 1 / values, and 0 where a value is 0."""
    return torch.where(values == 0, 0, 1 / values)
