"""Heads: a linear layer, log-odds of pooled classes, or both."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError


class LogOddsOfGroups(nn.Module):
    """Pool groups of the classes of a softmax; the output is the log-odds of each group.

    With the softmax p over all fine classes and the group G, the output is

        log(P / (1 - P)),  P = sum of p_k over k in G,

    the difference of two log-sum-exps of logits. Its sigmoid is exactly P, so a network trained with a
    softmax over a thousand classes can be used like a multi-label network.

    Args:
        n_classes: number of fine classes.
        groups: G groups of indices of fine classes; groups may overlap.

    Raises:
        ModelError: if a group is empty, contains every class (infinite odds), contains a class twice, or a
            class that does not exist.
    """

    members: Tensor

    def __init__(self, n_classes: int, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        for group in groups:
            _check_group(list(group), n_classes)
        members = torch.zeros(len(groups), n_classes, dtype=torch.bool)
        for row, group in zip(members, groups, strict=True):
            row[list(group)] = True
        # Not part of the checkpoint: the groups are a definition and are not learned.
        self.register_buffer("members", members, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the log-odds of each group: (N, n_classes) logits -> (N, G)."""
        inside, outside = self.split(logits)
        return inside.logsumexp(-1) - outside.logsumexp(-1)

    def of_many(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, up to rounding, by a matrix product: fast for many rows.

        Args:
            logits: (N, n_classes) float tensor.

        Returns:
            (N, G) tensor of the same type.
        """
        # On the CPU: some devices have no double precision.
        fine, members = logits.cpu().double(), self.members.cpu()
        odds = (fine - fine.amax(-1, keepdim=True)).exp()
        inside, outside = (odds @ group.double().T for group in (members, ~members))
        least = torch.finfo(torch.float64).tiny
        return (inside.clamp_min(least).log() - outside.clamp_min(least).log()).to(logits)

    def split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits inside and outside each group, the others -inf: (N, G, n_classes) each."""
        logits, minus_infinity = logits[:, None, :], float("-inf")
        return (
            logits.masked_fill(~self.members, minus_infinity),
            logits.masked_fill(self.members, minus_infinity),
        )


class LogOddsHead(LogOddsOfGroups):
    """A linear softmax head, (N, C) pooled activations -> logits, whose classes are pooled into groups.

    Args:
        linear: the head that the network was trained with.
        groups: as for `LogOddsOfGroups`.
    """

    def __init__(self, linear: nn.Linear, groups: Sequence[Sequence[int]]) -> None:
        super().__init__(linear.out_features, groups)
        self.linear = linear

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the log-odds of each group: (N, C) pooled activations -> (N, G)."""
        return super().forward(self.linear(pooled))

    def of_many(self, pooled: Tensor) -> Tensor:
        """Return what `forward` returns, up to rounding: (N, C) activations -> (N, G), fast for many rows."""
        return super().of_many(self.linear(pooled))

    def weights(self, pooled: Tensor) -> Tensor:
        """Return the derivative of each output with respect to the pooled activations.

        A fine class in the group has the weight softmax(logits of the group); a class outside it has the
        negative weight of softmax(logits outside the group).

        Args:
            pooled: (N, C) float tensor.

        Returns:
            (N, G, C) float tensor.
        """
        inside, outside = self.split(self.linear(pooled))
        return (inside.softmax(-1) - outside.softmax(-1)) @ self.linear.weight


class JointHead(nn.Module):
    """A new linear head, some of whose outputs also receive the log-odds of the prior (ImageNet) head.

    Fine-tuning on a few classes can discard features that localise an object well. The pooled classes of the
    prior head therefore stay part of the network:

        y_k = w_k . a + b_k + s_k * log-odds_k(a),

    with the log-odds of the group of output k; outputs without a group are linear. The score of a single
    spatial position p, y_k(a(p)) + v_k . a(p), has additional local weights v (`of_positions`). They rank
    small objects better, but in the pooled logits they would shrink the maps: features that distinguish a dog
    from a cat cover less of the dog than features that distinguish breeds. The weights v, `local`, are 0
    until they are learned, or copied from w by `copy_to_local`.

    Args:
        linear: (N, C) pooled activations -> (N, K) logits, the new part.
        prior: the prior head with its G groups.
        outputs: for each group the index of its output.
        scale: initial value of s_k.

    Raises:
        ModelError: if the outputs are not G different indices below K.
    """

    def __init__(
        self, linear: nn.Linear, prior: LogOddsHead, outputs: Sequence[int], scale: float = 0.5
    ) -> None:
        super().__init__()
        outputs, n_groups = list(outputs), len(prior.members)
        fits = all(0 <= each < linear.out_features for each in outputs)
        if not fits or not len(set(outputs)) == len(outputs) == n_groups:
            raise ModelError(
                f"{n_groups} groups have the outputs {outputs}; expected {n_groups} different indices from 0 "
                f"to {linear.out_features - 1}"
            )
        self.linear, self.prior = linear, prior
        self.scale = nn.Parameter(torch.full((n_groups,), scale))
        self.local = nn.Parameter(torch.zeros(n_groups, linear.in_features, dtype=linear.weight.dtype))
        assignment = nn.functional.one_hot(torch.tensor(outputs), linear.out_features)
        # (G, K), 1 for the output of each group. As the groups, it is not part of the checkpoint.
        self.assignment: Tensor
        self.register_buffer("assignment", assignment.to(linear.weight.dtype), persistent=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits: (N, C) pooled activations -> (N, K)."""
        return self.linear(pooled) + (self.scale * self.prior(pooled)) @ self.assignment

    @torch.no_grad()
    def copy_to_local(self) -> None:
        """Copy the current linear weights of the outputs with a group to the local weights."""
        self.local.copy_(self.assignment @ self.linear.weight)

    def of_positions(self, activations: Tensor) -> Tensor:
        """Return the logits of single positions, including the local weights.

        Args:
            activations: (P, C) float tensor, of P spatial positions.

        Returns:
            (P, K) float tensor.
        """
        return self(activations) + nn.functional.linear(activations, self.local) @ self.assignment

    def weights(self, pooled: Tensor) -> Tensor:
        """Return the derivative of each output with respect to the pooled activations.

        Args:
            pooled: (N, C) float tensor.

        Returns:
            (N, K, C) float tensor.
        """
        pooled_classes = self.scale[:, None] * self.prior.weights(pooled)
        return self.linear.weight + torch.einsum("ngc,gk->nkc", pooled_classes, self.assignment)


def position_head(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function that scores many single positions: (P, C) activations -> (P, K) logits."""
    if isinstance(head, JointHead):
        return head.of_positions
    return head.of_many if isinstance(head, LogOddsHead) else head


def _check_group(group: list[int], n_classes: int) -> None:
    if not 0 < len(set(group)) == len(group) < n_classes or not 0 <= min(group) <= max(group) < n_classes:
        shown = f"{group[:5]}" if len(group) <= 5 else f"{group[:5]} and {len(group) - 5} more"
        raise ModelError(
            f"a group of {len(group)} classes, {shown}; expected a proper subset of the classes from "
            f"0 to {n_classes - 1}, each class once"
        )


def is_linear(module: nn.Module) -> bool:
    """Check that a module computes what `nn.Linear` computes.

    The weights of a linear layer are its gradients. This does not hold for every subclass with a forward of
    its own, for example one that normalises its input: such a forward is tried on random input.
    """
    # A traced network has no `forward` of its type, and an instance may override the method.
    if "forward" in vars(module) or not isinstance(module, nn.Linear):
        return False
    return type(module).forward is nn.Linear.forward or _is_affine(module)


@torch.no_grad()
def _is_affine(module: nn.Linear) -> bool:
    inputs = torch.randn(2, module.in_features, generator=torch.Generator().manual_seed(0))
    inputs = inputs.to(module.weight)
    try:
        return torch.allclose(
            module.forward(inputs), nn.functional.linear(inputs, module.weight, module.bias)
        )
    except (RuntimeError, TypeError):
        return False


def has_constant_gradient(head: nn.Module) -> bool:
    """Check whether `head_weights` can compute the gradients of a head."""
    if isinstance(head, JointHead):
        return is_linear(head.linear) and has_constant_gradient(head.prior)
    return is_linear(head.linear if isinstance(head, LogOddsHead) else head)


def head_weights(head: nn.Module, pooled: Tensor) -> Tensor:
    """Return the weight of each pooled activation for each output of a head.

    Args:
        head: an `nn.Linear`, a `LogOddsHead` or a `JointHead`, whose linear layers compute what `nn.Linear`
            computes.
        pooled: (N, C) float tensor, the spatial means of the activation maps.

    Returns:
        (N, K, C) float tensor; for a linear head the same weights for every image.

    Raises:
        ModelError: if the head is of any other kind, which has no CAM, or takes another number of inputs.
    """
    if not has_constant_gradient(head):
        raise ModelError(
            "CAM needs a head that is one linear layer on pooled activations; the head of this network is a "
            f"{type(head).__name__}{_what_is_changed(head)}: use Grad-CAM, which works with any head"
        )
    linear = head.linear if isinstance(head, LogOddsHead | JointHead) else cast(nn.Linear, head)
    if linear.in_features != pooled.shape[1]:
        raise ModelError(
            f"the head takes {linear.in_features} pooled activations, the layer has {pooled.shape[1]} maps; "
            "name the layer whose spatial mean is the input of the head"
        )
    if isinstance(head, LogOddsHead | JointHead):
        return head.weights(pooled)
    return linear.weight.expand(len(pooled), -1, -1)


def _what_is_changed(head: nn.Module) -> str:
    if isinstance(head, nn.Linear):
        return ", a linear layer with a forward of its own, whose gradients are not its weights"
    if isinstance(head, LogOddsHead | JointHead):
        return " on a linear layer with a forward of its own, whose gradients are not its weights"
    return ""
