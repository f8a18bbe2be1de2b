"""Eigen-CAM: the first principal component of the activation maps, independent of the class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dogcam.cam.forward import ForwardPass, ForwardRequest

WITHOUT_DOUBLE = ("mps",)
"""Device types without double precision."""


@dataclass(frozen=True)
class EigenCam(ForwardRequest):
    """Request Eigen-CAM (Muhammad and Yeasin 2020, equations 1 and 2).

        A = U S V^T,    L = ReLU(A v_1)

    A has one row for each spatial position and one column for each activation map; v_1 is the first right
    singular vector. The maps are not centred. The sign of v_1, which the decomposition does not determine, is
    chosen so that the sum over A v_1 is at least 0. The map is the same for all classes: it shows what is
    salient, not what supports a class.

    Attributes:
        layer: dotted name of the target layer.
    """

    @torch.no_grad()
    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the map of each image, repeated for each target class: (N, K, h, w) float tensor, >= 0."""
        found = forward.layers[self.layer]
        return principal_maps(found.maps).relu()[:, None].repeat(1, forward.targets.shape[1], 1, 1)


def principal_maps(maps: Tensor) -> Tensor:
    """Project each image's activations on their first right singular vector: (N, C, h, w) -> (N, h, w)."""
    rows = _in_double(maps.flatten(2))
    n_channels, n_positions = rows.shape[1:]
    # Eigenvectors of the smaller of the two products: an SVD of the whole matrix is many times slower.
    if n_positions <= n_channels:
        values, vectors = torch.linalg.eigh(rows.transpose(1, 2) @ rows)
        projected = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
        projected = torch.einsum("ncp,nc->np", rows, vectors[..., -1])
    sign = torch.where(projected.sum(dim=1, keepdim=True) < 0, -1, 1)
    return (sign * projected).to(maps.device, maps.dtype).unflatten(1, maps.shape[2:])


def _in_double(tensor: Tensor) -> Tensor:
    """Return a tensor in double precision, on the CPU if its device has none."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_DOUBLE else tensor).double()
