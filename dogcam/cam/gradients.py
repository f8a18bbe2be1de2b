"""CAM methods that weight activation maps by the gradient of the class score.

Inputs are the activation maps A (channels k, spatial positions ij, Z of them) and the gradient G = dy/dA of
the score y of one class. If only global average pooling and one head follow the layer, G is equal at all
positions of a channel. Then every method reduces to one weight for each map; `weights` computes these for all
classes at once.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dogcam.network.activation import Activation

Score = Literal["logit"] | Activation
"""What is differentiated: the logit, or the probability that an activation makes of it."""


@dataclass(frozen=True)
class GradientRequest:
    """Base class of the methods that need gradients.

    Attributes:
        layer: dotted name of the target layer.
    """

    layer: str

    @property
    def differentiated(self) -> Score:
        """The score whose gradient is taken."""
        return "logit"

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the map of one class before ReLU.

        Args:
            maps: (N, C, h, w) float tensor, the activation maps A.
            gradient: (N, C, h, w) float tensor, G for one class.

        Returns:
            (N, h, w) float tensor.
        """
        raise NotImplementedError

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the weight of each map for each class if G is equal at all positions.

        Args:
            maps: (N, C, h, w) float tensor, the activation maps A.
            channel_gradients: (N, K, C) float tensor, G of each channel for each class.

        Returns:
            (N, K, C) float tensor.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class GradCam(GradientRequest):
    """Request Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).

        alpha_k = 1/Z sum_ij G_kij,    L = ReLU(sum_k alpha_k A_k)

    Attributes:
        layer: dotted name of the target layer.
        score: differentiate the `logit`, or the probability: its `sigmoid`, or the `softmax` of all logits.
            The gradient of a sigmoid p is that of the logit times p (1 - p), which does not change the shape
            of the map unless it underflows; that of a softmax depends on all classes.
    """

    score: Score = "logit"

    @property
    def differentiated(self) -> Score:
        """The score whose gradient is taken."""
        return self.score

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weight each map by its mean gradient."""
        return _weighted(maps, gradient.mean(dim=(2, 3)))

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the channel gradients: the mean of a constant is the constant."""
        return channel_gradients


@dataclass(frozen=True)
class HiResCam(GradientRequest):
    """Request HiResCAM (Draelos and Carin 2020): each activation is weighted by its own gradient.

        L = ReLU(sum_k G_k * A_k)

    with an element-wise product. The paper keeps the sign of the sum; here ReLU is applied as in Grad-CAM.
    The two are the same map if global average pooling and a linear layer follow. If layer normalisation
    follows, as between the stages of ConvNeXt, the map is 0: scaling all activations of a position leaves the
    score unchanged.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Multiply element by element, then sum over the channels."""
        return torch.einsum("nchw,nchw->nhw", maps, gradient)

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the channel gradients: the weight of a channel is the same at all positions."""
        return channel_gradients


@dataclass(frozen=True)
class LayerCam(GradientRequest):
    """Request LayerCAM (Jiang et al. 2021, equations 5 to 7): HiResCAM with positive gradients only.

        L = ReLU(sum_k ReLU(G_k) * A_k)

    Made for earlier layers, whose gradients differ between positions.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Multiply by the positive part of the gradient, then sum over the maps."""
        return torch.einsum("nchw,nchw->nhw", maps, gradient.relu())

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the positive channel gradients."""
        return channel_gradients.relu()


@dataclass(frozen=True)
class GradCamPlusPlus(GradientRequest):
    """Request Grad-CAM++ (Chattopadhyay et al. 2018, equations 13, 17 and 19) of the score exp(y).

        alpha_kij = G_kij^2 / (2 G_kij^2 + G_kij^3 sum_ab A_kab) = 1 / (2 + G_kij sum_ab A_kab)
        w_k = sum_ij alpha_kij ReLU(G_kij),    L = ReLU(sum_k w_k A_k)

    The gradient of exp(y) in the paper has an additional factor exp(y). It is constant over the map and would
    overflow, so it is omitted. If the denominator is 0, alpha is 0.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weight each map by its positive gradients, weighted by alpha."""
        alpha = _inverse(2 + gradient * maps.sum(dim=(2, 3), keepdim=True))
        return _weighted(maps, (alpha * gradient.relu()).sum(dim=(2, 3)))

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return Z alpha ReLU(G): alpha is the same at all Z positions."""
        n_positions = maps.shape[2] * maps.shape[3]
        alpha = _inverse(2 + channel_gradients * maps.sum(dim=(2, 3))[:, None])
        return n_positions * alpha * channel_gradients.relu()


@dataclass(frozen=True)
class XGradCam(GradientRequest):
    """Request XGrad-CAM (Fu et al. 2020, equation 8): gradients weighted by the activations.

        w_k = sum_ij A_kij / (sum_ab A_kab) G_kij,    L = ReLU(sum_k w_k A_k)

    A map whose activations sum to 0 has the weight 0.
    """

    def map(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Weight each map by the mean of its gradients, weighted by its activations."""
        share = _inverse(maps.sum(dim=(2, 3)))
        return _weighted(maps, torch.einsum("nchw,nchw->nc", maps, gradient) * share)

    def weights(self, maps: Tensor, channel_gradients: Tensor) -> Tensor:
        """Return the channel gradients, and 0 for maps that sum to 0."""
        return channel_gradients * (maps.sum(dim=(2, 3)) != 0)[:, None]


def _weighted(maps: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("nchw,nc->nhw", maps, weights)


def _inverse(values: Tensor) -> Tensor:
    """Return 1 / values; 0 for values of 0."""
    return torch.where(values == 0, 0, 1 / values)
