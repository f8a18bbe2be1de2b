"""The activation of a head, which turns logits into probabilities."""

from typing import Literal, get_args

from torch import Tensor

Activation = Literal["sigmoid", "softmax"]
"""`sigmoid` for classes that occur together, `softmax` for classes that exclude each other."""

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Return the probabilities of logits: (N, C) float tensor -> (N, C) float tensor in [0, 1]."""
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def log_odds(logits: Tensor, activation: Activation) -> Tensor:
    """Return log(p / (1 - p)) of each class, which ranks as the probability does but never saturates.

    Args:
        logits: (N, C) float tensor.
        activation: of the head.

    Returns:
        (N, C) float tensor; for a sigmoid the logits themselves.

    Raises:
        ValueError: if a softmax has one class only, whose probability is always 1.
    """
    if activation == "sigmoid":
        return logits
    n_classes = logits.shape[1]
    if n_classes < 2:
        raise ValueError("a softmax over 1 class is always 1; expected 2 classes or more, or a sigmoid")
    others = logits[:, None, :].expand(-1, n_classes, -1)
    own = logits.new_ones(n_classes, n_classes).tril(0).triu(0).bool()
    return logits - others.masked_fill(own, float("-inf")).logsumexp(dim=-1)
