"""Label permutation test: maps of a linear head that is refitted to permuted labels on frozen features.

Adebayo et al. 2018 train the whole network on permuted labels. Here only the head is refitted, on the spatial
means of the activation maps of the target layer. This takes milliseconds instead of hours, but the check is
weaker: it tests whether a map depends on the head, not whether it depends on the features.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
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

    Args:
        pooled: (N, C) float array, spatial means of the activation maps of N images.
        labels: (N,) bool array with both values.

    Returns:
        (C,) float array; 0 for a feature that is constant over the images.
    """
    # Imported late: it takes as long as torch, and most commands do without.
    from sklearn.linear_model import LogisticRegression

    spread = pooled.std(axis=0, dtype=np.float64)
    varies = spread > 1e-12
    scaled = (pooled[:, varies] - pooled[:, varies].mean(axis=0)) / spread[varies]
    model = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=1000)
    weights = np.zeros(pooled.shape[1])
    weights[varies] = model.fit(scaled, labels).coef_[0] / spread[varies]
    return weights


def maps_of(activations: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the CAM, after ReLU, of a linear head.

    Args:
        activations: (N, C, h, w) float array.
        weights: (C,) float array.

    Returns:
        (N, h, w) float32 array, >= 0.
    """
    return np.maximum(np.einsum("nchw,c->nhw", activations, weights), 0).astype(np.float32)
