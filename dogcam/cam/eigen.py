"""Eigen-CAM: what the activation maps have in common, whatever the class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dogcam.cam.forward import ForwardPass

WITHOUT_DOUBLE = ("mps",)
"""The kinds of device that have no double precision."""


@dataclass(frozen=True)
class EigenCam:
    """Ask for Eigen-CAM (Muhammad and Yeasin 2020, equations 1 and 2).

        A = U S V^T,    L = ReLU(A v_1)

    with the maps as the columns of A, a row for each place, and v_1 the first right singular vector; the maps
    are not centred. Its sign, which the decomposition leaves open, is the one with which L adds up to no less
    than 0. The map is the same for every class: it shows what is salient, not what speaks for a class.

    Attributes:
        layer: dotted name of the target layer.
    """

    layer: str

    @torch.no_grad()
    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the map of each image, repeated for each target class: (N, K, h, w) float tensor, >= 0."""
        found = forward.layers[self.layer]
        return principal_maps(found.maps).relu()[:, None].repeat(1, forward.targets.shape[1], 1, 1)


def principal_maps(maps: Tensor) -> Tensor:
    """Project each image's activations on their first right singular vector: (N, C, h, w) -> (N, h, w)."""
    rows = _in_double(maps.flatten(2))
    n_channels, n_positions = rows.shape[1:]
    # The eigenvectors of the smaller of both products; a decomposition of the whole is many times slower.
    if n_positions <= n_channels:
        values, vectors = torch.linalg.eigh(rows.transpose(1, 2) @ rows)
        projected = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
        projected = torch.einsum("ncp,nc->np", rows, vectors[..., -1])
    sign = torch.where(projected.sum(dim=1, keepdim=True) < 0, -1, 1)
    return (sign * projected).to(maps.device, maps.dtype).unflatten(1, maps.shape[2:])


def _in_double(tensor: Tensor) -> Tensor:
    """Return a tensor in double precision: on the CPU where its device has none, else where it is."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_DOUBLE else tensor).double()
