"""Whether the maps depend on what the network learned."""

from typing import Literal

from pydantic import Field

from report.record.base import Estimate, Fraction, Model


class SanityCheck(Model):
    """One measured mean and the limit that it must meet."""

    name: Literal[
        "randomised_spearman", "randomised_ssim", "permuted_spearman",
        "deletion_random", "deletion_centre", "insertion_random", "insertion_centre", "centre_box",
    ]  # fmt: skip
    value: Estimate
    rule: Literal["within", "above"] = Field(
        description="a check passes if its whole interval is between -limit and limit, or above limit"
    )
    limit: float
    passed: bool | None = Field(description="null if the mean is not defined")


class SanityDepth(Model):
    """Similarity of the maps to the original ones after the last layers are permuted."""

    layer: str = Field(description="the lowest layer that is permuted")
    n_layers: int
    share_of_parameters: Fraction
    spearman: Estimate
    ssim: Estimate
    n_maps: int = Field(description="over all permutations")
    n_empty: int = Field(description="those of them that are zero everywhere, left out of the similarity")


class PermutedLabels(Model):
    """Similarity of the maps of refitted heads to the original ones."""

    n_with: int = Field(description="tuning images with the target that the heads were fitted to")
    n_without: int
    n_permutations: int
    spearman_true: Estimate = Field(description="of the head that was fitted to the true labels")
    spearman: Estimate = Field(description="of the heads that were fitted to permuted labels")
    n_empty: int = Field(description="maps of these that are zero everywhere, over all permutations")


class InsertionDeletionCurve(Model):
    """The class's mean probability while pixels are erased, and while they are revealed, in one order."""

    order: Literal["map", "random", "centre"]
    deletion: list[Fraction] = Field(description="one for each fraction of the pixels")
    insertion: list[Fraction]
    deletion_auc: Estimate
    insertion_auc: Estimate


class Sanity(Model):
    """Randomised weights, permuted labels, erased pixels and the centre box."""

    n_images: int = Field(description="images with a target and a map that is not zero, drawn at random")
    n_draws: int = Field(description="permutations of the weights at each depth")
    seed: int
    depths: list[SanityDepth]
    permuted: PermutedLabels | None = Field(description="null without tuning images of both sorts")
    fractions: list[Fraction]
    curves: list[InsertionDeletionCurve]
    centre_box: Estimate = Field(description="mean IoU of the centre box, over all target images")
    best_box: Estimate = Field(description="the same of the top-scoring box of the map")
    checks: list[SanityCheck]
    n_checks: int
    n_failed: int
    n_undefined: int
