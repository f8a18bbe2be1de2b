"""What follows the last activation maps: a linear head, one that pools many classes, or both together."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError


class LogOddsHead(nn.Module):
    """Pool the classes of a softmax head into a few, each the log-odds of its group of classes.

    With the softmax p over all fine classes and the group G, the output is

        log(P / (1 - P)),  P = sum of p_k over k in G,

    the difference of two log-sum-exps of logits. Its sigmoid is P exactly, so that a network trained to tell
    a thousand classes apart answers "is there a dog?" like a network with a sigmoid a class.

    Args:
        linear: the softmax head, (N, C) pooled activations -> logits of the fine classes.
        groups: G groups of indices of fine classes; groups may overlap.

    Raises:
        ModelError: where a group is empty, holds every class (the odds would be infinite), names a class
            twice, or one that does not exist.
    """

    def __init__(self, linear: nn.Linear, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        for group in groups:
            _check_group(list(group), linear.out_features)
        members = torch.zeros(len(groups), linear.out_features, dtype=torch.bool)
        for row, group in zip(members, groups, strict=True):
            row[list(group)] = True
        self.linear = linear
        # Not part of the checkpoint: the groups are the head's definition, not something it learned.
        self.register_buffer("members", members, persistent=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the log-odds of each group: (N, C) pooled activations -> (N, G)."""
        inside, outside = self._split(self.linear(pooled))
        return inside.logsumexp(-1) - outside.logsumexp(-1)

    def weights(self, pooled: Tensor) -> Tensor:
        """Return the derivative of each output with respect to the pooled activations.

        Every fine class counts with its share of its side of the odds: inside the group with
        softmax(logits inside), outside it, negatively, with softmax(logits outside).

        Args:
            pooled: (N, C) float tensor.

        Returns:
            (N, G, C) float tensor.
        """
        inside, outside = self._split(self.linear(pooled))
        return (inside.softmax(-1) - outside.softmax(-1)) @ self.linear.weight

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        logits, minus_infinity = logits[:, None, :], float("-inf")
        return (
            logits.masked_fill(~self.members, minus_infinity),
            logits.masked_fill(self.members, minus_infinity),
        )


class JointHead(nn.Module):
    """Tell classes apart by new linear outputs, some of which also hear what an older head knows.

    A network that learns to tell a few classes apart forgets what it does not need for that, such as how far
    a dog reaches. The older head's groups of classes stay outputs of the same network, and count:

        y_k = w_k . a + b_k + s_k * log-odds_k(a),

    where the log-odds are those of the group of output k; outputs without a group are linear. The score of a
    single place p, y_k(a(p)) + v_k . a(p), may use more (`of_positions`): what tells a dog from a cat is less
    of the dog than what tells breeds apart, and would make its map smaller if the average heard it. The
    weights v, `near`, are 0 until they are learned, or taken from w by `keep_near`.

    Args:
        linear: (N, C) pooled activations -> (N, K) logits, the new part.
        known: the older head with its G groups, for the outputs that have one.
        outputs: the index of the output that each group belongs to.
        scale: what s_k is to begin with.

    Raises:
        ModelError: where the outputs are not G different ones of the K.
    """

    def __init__(
        self, linear: nn.Linear, known: LogOddsHead, outputs: Sequence[int], scale: float = 0.5
    ) -> None:
        super().__init__()
        outputs, n_groups = list(outputs), len(known.members)
        fits = all(0 <= each < linear.out_features for each in outputs)
        if not fits or not len(set(outputs)) == len(outputs) == n_groups:
            raise ModelError(
                f"{n_groups} groups belong to the outputs {outputs}; expected as many different ones of the "
                f"{linear.out_features}"
            )
        self.linear, self.known = linear, known
        self.scale = nn.Parameter(torch.full((n_groups,), scale))
        self.near = nn.Parameter(torch.zeros(n_groups, linear.in_features, dtype=linear.weight.dtype))
        places = nn.functional.one_hot(torch.tensor(outputs), linear.out_features).to(linear.weight.dtype)
        # Not part of the checkpoint, as the groups themselves: (G, K), 1 where a group counts.
        self.register_buffer("places", places, persistent=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits: (N, C) pooled activations -> (N, K)."""
        return self.linear(pooled) + (self.scale * self.known(pooled)) @ self.places

    @torch.no_grad()
    def keep_near(self) -> None:
        """Let single places hear, as `near`, the linear weights that outputs with a group have now."""
        self.near.copy_(self.places @ self.linear.weight)

    def of_positions(self, activations: Tensor) -> Tensor:
        """Return the logits of single places, which for outputs with a group hear the weights `near` as well.

        Args:
            activations: (P, C) float tensor, of P places.

        Returns:
            (P, K) float tensor.
        """
        return self(activations) + nn.functional.linear(activations, self.near) @ self.places

    def weights(self, pooled: Tensor) -> Tensor:
        """Return the derivative of each output with respect to the pooled activations.

        Args:
            pooled: (N, C) float tensor.

        Returns:
            (N, K, C) float tensor.
        """
        known = self.scale[:, None] * self.known.weights(pooled)
        return self.linear.weight + torch.einsum("ngc,gk->nkc", known, self.places)


def position_head(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what scores single places: (P, C) activations -> (P, K) logits; the head itself for most."""
    return head.of_positions if isinstance(head, JointHead) else head


def _check_group(group: list[int], n_classes: int) -> None:
    if not 0 < len(set(group)) == len(group) < n_classes or not 0 <= min(group) <= max(group) < n_classes:
        shown = f"{group[:5]}" if len(group) <= 5 else f"{group[:5]} and {len(group) - 5} more"
        raise ModelError(
            f"a group of {len(group)} classes, {shown}; expected some, not all, of the classes from 0 to "
            f"{n_classes - 1}, each once"
        )


def is_linear(module: nn.Module) -> bool:
    """Tell a linear layer from others, subclasses that compute something else among them.

    The weights of a linear layer are its gradients. Those of a subclass are not, if it normalises its input
    first or takes a sine of its output.
    """
    # A traced network has no `forward` to look at; and somebody may have given one layer another.
    return getattr(type(module), "forward", None) is nn.Linear.forward and "forward" not in vars(module)


def has_constant_gradient(head: nn.Module) -> bool:
    """Tell whether `head_weights` knows the channel_gradients of a head."""
    if isinstance(head, JointHead):
        return is_linear(head.linear) and has_constant_gradient(head.known)
    return is_linear(head.linear if isinstance(head, LogOddsHead) else head)


def head_weights(head: nn.Module, pooled: Tensor) -> Tensor:
    """Return the weights that the head gives to each pooled activation, for each of its outputs.

    Args:
        head: an `nn.Linear`, a `LogOddsHead` or a `JointHead`, whose linear layers compute what `nn.Linear`
            does.
        pooled: (N, C) float tensor, the activation maps averaged over the picture.

    Returns:
        (N, K, C) float tensor; for a linear head the same weights for every image.

    Raises:
        ModelError: for any other head: it has no such weights, and so no CAM; and for one that takes another
            number of pooled activations.
    """
    if not has_constant_gradient(head):
        raise ModelError(
            "CAM needs a head that is one linear layer on pooled activations; this network's is a "
            f"{type(head).__name__}{_what_is_changed(head)}: use Grad-CAM, which asks nothing of the head"
        )
    linear = head.linear if isinstance(head, LogOddsHead | JointHead) else head
    if linear.in_features != pooled.shape[1]:
        raise ModelError(
            f"the head takes {linear.in_features} pooled activations, the layer has {pooled.shape[1]} maps; "
            "name the layer that is averaged over the picture and fed to the head"
        )
    if linear is head:
        return head.weight.expand(len(pooled), -1, -1)
    return head.weights(pooled)


def _what_is_changed(head: nn.Module) -> str:
    if isinstance(head, nn.Linear):
        return ", a linear layer with a forward of its own, whose gradients are not its weights"
    if isinstance(head, LogOddsHead | JointHead):
        return " on a linear layer with a forward of its own, whose gradients are not its weights"
    return ""
