"""A classifier whose labels were shuffled: a linear head on frozen features, and the maps that it makes.

Adebayo et al. 2018 train the whole network on permuted labels. Here only the head learns anew, on the
averaged activation maps of the target layer: hours become milliseconds, but the features below keep what
they know, so that the check is weaker. It says whether a map follows the head, not whether it follows the
features.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from dogcam.cam.forward import forward_pass

REGULARISATION = 0.1
"""The inverse strength of the head's penalty on standardised features."""


def activation_maps(
    network: nn.Module, batches: Iterable[Tensor], layer: str, *, pooled: bool
) -> NDArray[np.float32]:
    """Return the activation maps of a layer, also where it puts out tokens.

    Args:
        network: left as it was found.
        batches: of (N, 3, H, W) float tensors, at least one.
        layer: dotted name of the layer.
        pooled: average each map over the picture.

    Returns:
        (N, C, h, w) float array, or (N, C) where they are averaged.
    """
    parts = []
    for batch in batches:
        with forward_pass(network, batch, [0], [layer], graph=False) as forward:
            maps = forward.layers[layer].maps
            parts.append((maps.mean(dim=(2, 3)) if pooled else maps).cpu().numpy())
    return np.concatenate(parts)


def fit_linear_map(pooled: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit a logistic regression and return its weights for the features as they are.

    Args:
        pooled: (N, C) float array, the activation maps of N images averaged over the picture.
        labels: (N,) bool array with both values in it.

    Returns:
        (C,) float array; 0 for a feature that is the same in all images.
    """
    spread = pooled.std(axis=0, dtype=np.float64)
    varies = spread > 1e-12
    scaled = (pooled[:, varies] - pooled[:, varies].mean(axis=0)) / spread[varies]
    model = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=1000)
    weights = np.zeros(pooled.shape[1])
    weights[varies] = model.fit(scaled, labels).coef_[0] / spread[varies]
    return weights


def maps_of(activations: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the positive part of the weighted sum of activation maps: CAM, and Grad-CAM, of a linear head.

    Args:
        activations: (N, C, h, w) float array.
        weights: (C,) float array.

    Returns:
        (N, h, w) float32 array, >= 0.
    """
    return np.maximum(np.einsum("nchw,c->nhw", activations, weights), 0).astype(np.float32)
