"""CAM: activation maps weighted by the weights of the head."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dogcam.cam.forward import Captured, ForwardPass, ForwardRequest
from dogcam.errors import ModelError
from dogcam.network.heads import head_weights
from dogcam.network.hooks import find_layer


@dataclass(frozen=True)
class Cam(ForwardRequest):
    """Request CAM (Zhou et al. 2016, equation 2).

        M = sum_k w_k A_k

    w are the weights of the head for the class. The mean of M plus the bias of a linear head is the logit.
    The network must end in global average pooling and the head; this is verified on the batch.

    Attributes:
        layer: dotted name of the layer whose spatial average is the input of the head.
        head: dotted name of the head; None for the linear layer or log-odds head that runs last.
    """

    head: str | None = None

    @torch.no_grad()
    def maps(self, forward: ForwardPass) -> Tensor:
        """Return the maps of the target classes: (N, K, h, w) float tensor, negative against the class."""
        found = forward.layers[self.layer]
        weights = forward.of_targets(self._verified_weights(forward, found))
        return torch.einsum("nchw,nkc->nkhw", found.maps, weights)

    def _verified_weights(self, forward: ForwardPass, found: Captured) -> Tensor:
        name, logits = self.head or forward.last_head.name, forward.logits.detach()
        if name is None:
            raise ModelError(
                "CAM needs a head that is one linear layer, and this network has none; use Grad-CAM"
            )
        head = find_layer(forward.network, name)
        pooled = found.maps.mean(dim=(2, 3)).to(found.output.dtype)
        weights = head_weights(head, pooled).to(found.maps.dtype)
        # `forward` itself: a hook of the caller may change the output of the head, which CAM cannot explain.
        outputs = head.forward(pooled)
        if outputs.shape != logits.shape:
            raise ModelError(
                f"{name!r} has {outputs.shape[1]} outputs, the network {logits.shape[1]} logits: it is "
                "not the network's last layer; use Grad-CAM, or name the right head"
            )
        differences = forward.of_targets(outputs - logits).abs()
        # Rounding errors are proportional to the terms of the sum, which may be far larger than the sum.
        size = found.maps.abs().mean(dim=(2, 3))
        terms = torch.einsum("nkc,nc->nk", forward.of_targets(weights).abs(), size)
        if not (differences <= max(1e-3, 4 * torch.finfo(logits.dtype).eps) * terms).all():
            raise ModelError(
                f"{name!r} on the average of {self.layer!r} misses the network's logits by up to "
                f"{differences.max().item():.3g}: CAM needs a network that ends in global average pooling "
                "and this head; use Grad-CAM, or name the right layer"
            )
        return weights
