"""Label permutation test: maps of a linear head that is refitted to permuted labels on frozen features.

Adebayo et al. 2018 train the whole network on permuted labels. Here only the head is refitted, on the spatial
means of the activation maps of the target layer. This takes milliseconds instead of hours, but the check is
weaker: it tests whether a map depends on the head, not whether it depends on the features.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn

from dogcam.cam.forward import forward_pass

REGULARISATION = 0.1
"""Inverse regularisation strength of the head on standardised features."""


def activation_maps(
    network: nn.Module, batches: Iterable[Tensor], layer: str, *, pooled: bool
) -> NDArray[np.float32]:
    """Return the activation maps of a layer, whose output may also be tokens.

    Args:
        network: restored to its state afterwards.
        batches: (N, 3, H, W) float tensors, at least one.
        layer: dotted name of the layer.
        pooled: return the spatial mean of each map.

    Returns:
        (N, C, h, w) float array, or (N, C) if pooled.
    """
    parts = []
    for batch in batches:
        with forward_pass(network, batch, [0], [layer], graph=False) as forward:
            maps = forward.layers[layer].maps
            parts.append((maps.mean(dim=(2, 3)) if pooled else maps).cpu().numpy())
    return np.concatenate(parts)


def fit_linear_map(pooled: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit a logistic regression and return its weights for the unscaled features.

    The two values of the label have equal weight in total. The objective is that of scikit-learn with
    `class_weight="balanced"`: the mean weighted cross-entropy plus half the squared weights over C * N, with
    C = `REGULARISATION`; the bias is not regularised.

    Args:
        pooled: (N, C) float array, spatial means of the activation maps of N images.
        labels: (N,) bool array with both values.

    Returns:
        (C,) float array; 0 for a feature that is constant over the images.
    """
    spread = pooled.std(axis=0, dtype=np.float64)
    varies = spread > 1e-12
    scaled = (pooled[:, varies] - pooled[:, varies].mean(axis=0)) / spread[varies]
    weights = np.zeros(pooled.shape[1])
    weights[varies] = _fit_balanced(scaled, labels) / spread[varies]
    return weights


def _fit_balanced(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the (C,) weights of the logistic regression of standardised (N, C) features."""
    n = len(labels)
    share = np.where(labels, 1 / labels.sum(), 1 / (~labels).sum()) / 2
    penalty = 1 / (REGULARISATION * n)

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = parameters[:-1]
        logits = features @ weights + parameters[-1]
        loss = share @ (np.logaddexp(0, logits) - labels * logits) + penalty * (weights @ weights) / 2
        slope = share * (expit(logits) - labels)
        return loss, np.append(features.T @ slope + penalty * weights, slope.sum())

    start = np.zeros(features.shape[1] + 1)
    # The limits of scikit-learn.
    limits = {"maxiter": 1000, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
    return minimize(objective, start, jac=True, method="L-BFGS-B", options=limits).x[:-1]


def maps_of(activations: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the CAM, after ReLU, of a linear head.

    Args:
        activations: (N, C, h, w) float array.
        weights: (C,) float array.

    Returns:
        (N, h, w) float32 array, >= 0.
    """
    return np.maximum(np.einsum("nchw,c->nhw", activations, weights), 0).astype(np.float32)
