"""Fit the head to what the body says already, before the body learns: a linear probe."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.errors import ConfigError
from dogcam.evaluate.classification import predict
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_head
from dogcam.network.heads import JointHead
from dogcam.network.hooks import evaluation_mode
from dogcam.structures.images import LabelledImage
from dogcam.train.fine_tuning import head_of

ITERATIONS = 100
"""Of L-BFGS, at most; the fit is a convex problem, and near its end long before."""


def fit_head(network: nn.Module, pooled: Tensor, labels: Tensor, penalty: float) -> float:
    """Fit the head's linear layer, and its share of an older head, with the rest of the network as it is.

    A new head that knows nothing sends the body wrong gradients until it has learned, and what the body knew
    is distorted; a head that was fitted first does not (Kumar et al. 2022). Minimised is

        mean binary cross-entropy + penalty * sum of squared weights.

    Parameters that are frozen, and weights whose gradient is held at 0, stay as they are.

    Args:
        network: maps (n, 3, H, W) images to (n, K) logits, its last part is the head; changed in place.
        pooled: what the head is given of N photographs, as `head_inputs` returns it.
        labels: (N, K) float tensor of 0 and 1.
        penalty: 0 or more.

    Returns:
        What was minimised, at its end.

    Raises:
        ModelError: where the head has no linear layer of K outputs.
        ConfigError: where all of the head is frozen.
    """
    head = head_of(network)
    linear = network.get_submodule(find_head(network, labels.shape[1]))
    labels = labels.to(pooled.device)
    fitted = [*linear.parameters(), *([head.scale] if isinstance(head, JointHead) else [])]
    learned = [each for each in fitted if each.requires_grad]
    if not learned:
        raise ConfigError("probe fits the head, which is frozen; leave probe out, or the head unfrozen")
    optimizer = torch.optim.LBFGS(learned, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        loss = F.binary_cross_entropy_with_logits(head(pooled), labels)
        return loss + penalty * linear.weight.square().sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()
        return value

    with evaluation_mode(network):
        optimizer.step(closure)
        optimizer.zero_grad()
        with torch.no_grad():
            return objective().item()


def head_inputs(
    network: nn.Module, images: Sequence[LabelledImage], preprocessing: Preprocessing, batch_size: int
) -> Tensor:
    """Return what the head is given of each photograph, whole, and prepared as the network is used.

    Args:
        network: its last part is the head.
        images: N photographs.
        preprocessing: makes the network's input of them.
        batch_size: photographs at a time.

    Returns:
        (N, C) pooled activations, on the network's device.
    """
    seen: list[Tensor] = []
    handle = head_of(network).register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0].detach())
    )
    try:
        predict(network, images, preprocessing, batch_size)
    finally:
        handle.remove()
    return torch.cat(seen)
