"""A proposal method in steps, from one threshold on a dense map to the full method."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dogcam.detection.boxes_from_maps import DEFAULT_RULE, LocalisationRule, Located, localise
from dogcam.detection.evidence import Evidence, Grid, View
from dogcam.detection.grid_evidence import probability_of
from dogcam.detection.localiser_method import LocaliserMethod
from dogcam.detection.proposal_method import ProposalMethod, ViewEvidence
from dogcam.structures.boxes import clip

NO_VOTES = 1.0
"""The `vote_iou` that leaves every kept box as it is."""


@dataclass(frozen=True)
class DenseThreshold:
    """One threshold on the class activation map of one view: every connected component is a box.

    Attributes:
        view: of the image.
        rule: the threshold; that of the preset `published` by default.
    """

    view: View
    rule: LocalisationRule = DEFAULT_RULE

    @property
    def all_views(self) -> tuple[View, ...]:
        """The one view."""
        return (self.view,)

    def observe(self, evidence_of: ViewEvidence) -> list[list[Evidence]]:
        """Return the evidence of the view for each of K classes, see `ProposalMethod.observe`."""
        return [[each] for each in evidence_of(self.view)]

    def locate(self, evidence: Sequence[Evidence], size: tuple[int, int], side: int) -> Located:
        """Return the boxes of an image and their scores, see `ProposalMethod.locate`."""
        grid = Grid(size)
        boxes, scores = localise(grid.class_map(evidence[0]), probability_of(evidence), self.rule)
        return clip(grid.to_pixels(boxes), size), scores


@dataclass(frozen=True)
class Step:
    """One step of an ablation.

    Attributes:
        name: of the step, unique in its ablation.
        title: what the step adds to the one before, in words.
        method: everything up to and with this step.
    """

    name: str
    title: str
    method: ProposalMethod | DenseThreshold


def steps_to(method: ProposalMethod, proposals: ProposalMethod) -> list[Step]:
    """Return the steps from one threshold on a dense map to a method, one addition at a time.

    Steps that the method does not have are left out. The numbers are those of the method throughout; the last
    step is the method itself. With a localiser, it follows proposals of the same views without one.

    Args:
        method: the last step, with or without a localiser.
        proposals: what a localiser is compared with.
    """
    if isinstance(method, LocaliserMethod):
        views = tuple(replace(view, regressed=False) for view in method.views)
        before = replace(proposals, views=views, further_views=method.further_views)
        title = "ranks that a localiser supports"
        return [*steps_to(before, proposals), Step("localiser", title, method)]
    votes = replace(method, share_exponent=0.0)
    further = replace(votes, vote_iou=NO_VOTES)
    scales = replace(further, further_views=())
    single = replace(scales, views=method.views[:1])
    first = Step("dense", "dense map", DenseThreshold(method.views[0]))
    chain = [
        first,
        Step("proposals", "nested proposals, ranked by their fit", single),
        Step("scales", "magnified views of the image", scales),
        Step("further", "a mirrored and a more magnified view", further),
        Step("votes", "mean of the proposals that overlap a box", votes),
        Step("size", "scores that increase with the size of the box", method),
    ]
    return [first, *(step for before, step in pairwise(chain) if step.method != before.method)]
