"""Linear probe: fit the head to the features of the initial backbone before fine-tuning."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dogcam.errors import ConfigError
from dogcam.evaluate.classification import predict
from dogcam.models.architecture import find_head
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.heads import JointHead
from dogcam.network.hooks import evaluation_mode
from dogcam.structures.images import LabelledImage
from dogcam.train.fine_tuning import head_of
from dogcam.train.losses import label_loss

ITERATIONS = 100
"""Maximum number of iterations of L-BFGS; the problem is convex and converges earlier."""


def fit_head(network: nn.Module, pooled: Tensor, labels: Tensor, penalty: float) -> float:
    """Fit the linear layer of the head, and the scale of a prior head, with the backbone fixed.

    The gradients of an untrained head distort the features of the backbone; those of a fitted head do not
    (Kumar et al. 2022). The objective is

        mean binary cross-entropy + penalty * sum of squared weights.

    Frozen parameters, and weights whose gradient is set to 0, do not change.

    Args:
        network: maps (n, 3, H, W) images to (n, K) logits; its last part is the head, which is changed.
        pooled: (N, C) input of the head, from `head_inputs`.
        labels: (N, K) float tensor of 0 and 1.
        penalty: 0 or more.

    Returns:
        The objective after the fit.

    Raises:
        ModelError: if the head has no linear layer of K outputs.
        ConfigError: if the whole head is frozen.
    """
    head = head_of(network)
    linear = network.get_submodule(find_head(network, labels.shape[1]))
    labels = labels.to(pooled.device)
    fitted = [*linear.parameters(), *([head.scale] if isinstance(head, JointHead) else [])]
    trained = [each for each in fitted if each.requires_grad]
    if not trained:
        raise ConfigError("the linear probe fits the head, which is frozen; remove one of the two settings")
    optimizer = torch.optim.LBFGS(trained, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        weight = linear.get_parameter("weight")
        return label_loss(head(pooled), labels) + penalty * weight.square().sum()

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
    network: nn.Module,
    images: Sequence[LabelledImage],
    preprocessing: Preprocessing,
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Return the input of the head for each image, preprocessed as in evaluation.

    Args:
        network: its last part is the head.
        images: N images.
        preprocessing: input of the network.
        batch_size: images per forward pass.
        progress: receives the number of finished images, and N, after each batch.

    Returns:
        (N, C) pooled activations, on the device of the network.
    """
    inputs: list[Tensor] = []
    handle = head_of(network).register_forward_pre_hook(
        lambda _, arguments: inputs.append(arguments[0].detach())
    )
    try:
        predict(network, images, preprocessing, batch_size, progress=progress)
    finally:
        handle.remove()
    return torch.cat(inputs)
