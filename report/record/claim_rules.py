"""The claims of a report: sentences whose wording the record decides.

A claim is declared once, here: a rule that reads numbers of the record and selects the wording by them. A
result that changes thus changes its sentence. Templates name claims by their ids.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dogcam.errors import RecordError
from dogcam.structures.presets import PRESET_NAMES, PUBLISHED
from report.record import Claim, ClaimChange, ClaimPart, Results, preset_rules, verdict_rules
from report.record.claims import Status
from report.record.findings import Finding, Part, status_of
from report.record.refs import Ref, find, path_of, raw

VERDICTS = {"supported": "better", "not distinguishable": "not distinguishable", "contradicted": "worse"}
"""The term for each status in the tables of paired differences."""

RELATIONS = {"supported": "better", "not distinguishable": "no difference shown", "contradicted": "worse"}
"""The same in the words of the report."""


@dataclass(frozen=True)
class Declaration:
    """One claim: its id, and the rule that finds it in the record (None: the record has nothing about it)."""

    id: str
    find: Callable[[Ref], Finding | None]


def _of_ap(name: str, other: str, words: dict[Status, str], than: str | None = None) -> Declaration:
    """Declare the difference of a method's AP from another's, at the operating point's IoU.

    Args:
        name: the claim's id.
        other: the other method's name in the record.
        words: the sentence for each status, which may show {iou}, {method} and {difference}.
        than: the first of the two methods; None for the main one.
    """

    def look_up(record: Ref) -> Finding | None:
        iou, a = record.operating_point.iou, than or record.operating_point.method
        pairs = [c for c in record.detection.comparisons if c.a == a and c.b == other and c.iou == iou]
        if not pairs:
            return None
        title = find(record.detection.methods, name=raw(pairs[0].a)).title
        parts = (
            Part("iou", pairs[0].iou, "decimal", 1), Part("method", title, "text"),
            Part("difference", pairs[0].difference, "gap"),
        )  # fmt: skip
        status = status_of(raw(pairs[0].difference))
        return Finding(status, words[status], (pairs[0].difference.interval,), parts)

    return Declaration(name, look_up)


def _against(other: str) -> dict[Status, str]:
    """Word a comparison of a method with something else."""
    return {
        "supported": f"At IoU {{iou}}, {{method}} beats {other}: {{difference}} of AP",
        "not distinguishable": f"At IoU {{iou}}, no difference in AP between {{method}} and {other} is "
        "shown: {difference}",
        "contradicted": f"At IoU {{iou}}, {{method}} is worse than {other}: {{difference}} of AP",
    }


def _at_earlier_layer(other: str) -> dict[Status, str]:
    """Word a comparison of Grad-CAM with a relative, both at the earlier layer."""
    return {
        "supported": f"At the earlier layer and IoU {{iou}}, Grad-CAM beats {other}: {{difference}} of AP",
        "not distinguishable": "At the earlier layer and IoU {iou}, no difference in AP between Grad-CAM and "
        f"{other} is shown: {{difference}}",
        "contradicted": f"At the earlier layer and IoU {{iou}}, Grad-CAM is worse than {other}: "
        "{difference} of AP",
    }


_PRESET_WORDS: dict[Status, str] = {
    "supported": "{method}, IoU {iou}: AP is above that of the published method, {difference}",
    "not distinguishable": "{method}, IoU {iou}: no difference in AP from the published method is shown, "
    "{difference}",
    "contradicted": "{method}, IoU {iou}: AP is below that of the published method, {difference}",
}


def _of_masks(record: Ref) -> Finding | None:
    if not record.segmentation:
        return None
    gain = record.segmentation.gain
    status = status_of(raw(gain))
    words = {
        "supported": "Random-walker masks beat the thresholded map by an IoU of {difference}, paired",
        "not distinguishable": "No difference in IoU between random-walker masks and the thresholded map is "
        "shown: {difference}, paired",
        "contradicted": "Random-walker masks are worse than the thresholded map: IoU {difference}, paired",
    }
    return Finding(status, words[status], (gain.interval,), (Part("difference", gain, "shift"),))


EARLIER = "grad_cam_earlier"

DECLARATIONS = (
    Declaration("where", verdict_rules.where),
    Declaration("how_large", verdict_rules.how_large),
    Declaration("which_not", verdict_rules.which_not),
    Declaration("score_meaning", verdict_rules.score_meaning),
    Declaration("found_more", verdict_rules.found_more),
    Declaration("best_method", verdict_rules.best_method),
    Declaration("sanity", verdict_rules.sanity),
    _of_ap("map_beats_scored_centre_box", "centerbox_scored",
           _against("a fixed centre box with the same scores")),
    _of_ap("map_beats_cheating_centre_box", "cheating_centerbox",
           _against("a centre box that is told which images show the class")),
    _of_ap("map_beats_full_image", "full_image", _against("the whole image with the same scores")),
    _of_ap("target_layer_beats_earlier_layer", EARLIER, _against("Grad-CAM at the earlier layer")),
    *(
        _of_ap(f"{preset}_beats_published", PUBLISHED, _PRESET_WORDS, preset)
        for preset in PRESET_NAMES if preset != PUBLISHED
    ),
    Declaration("preset_steps", preset_rules.preset_steps),
    Declaration("growing_beats_thresholding", _of_masks),
)  # fmt: skip


def at_earlier_layer(record: Results) -> list[Declaration]:
    """Declare a claim for each method that the record compares with Grad-CAM at the earlier layer."""
    compared = dict.fromkeys(each.b for each in record.detection.comparisons if each.a == EARLIER)
    titles = {name: record.detection.method(name).title.partition(",")[0] for name in compared}
    return [
        _of_ap(f"grad_cam_beats_{name}", name, _at_earlier_layer(title), EARLIER)
        for name, title in titles.items()
    ]


def state_claims(record: Results) -> list[Claim]:
    """Decide every claim that a record has numbers for."""
    declarations = [*DECLARATIONS, *at_earlier_layer(record)]
    stated = ((declared, declared.find(Ref(record))) for declared in declarations)
    return [_state(declared, finding) for declared, finding in stated if finding is not None]


def _state(declared: Declaration, finding: Finding) -> Claim:
    named = {part.name: part for part in finding.parts}
    return Claim(
        id=declared.id,
        status=finding.status,
        relation=finding.relation or RELATIONS[finding.status],
        lead=finding.lead,
        sentence=finding.sentence,
        rests_on=[path_of(ref) for ref in finding.rests_on],
        parts=[
            ClaimPart(name=part.name, path=path_of(part.ref), form=part.form, digits=part.digits)
            for part in named.values() if f"{{{part.name}}}" in finding.sentence
        ],
    )  # fmt: skip


def with_claims(record: Results, earlier: list[Claim] | None = None) -> Results:
    """Return a record with its claims, and with those whose status differs from an earlier run's."""
    claims = state_claims(record)
    changes = changed_claims(earlier, claims) if earlier is not None else []
    return record.model_copy(update={"claims": claims, "claim_changes": changes})


def changed_claims(before: list[Claim], now: list[Claim]) -> list[ClaimChange]:
    """Return the claims whose status differs, those of the later list first."""
    old, new = ({claim.id: claim.status for claim in claims} for claims in (before, now))
    return [
        ClaimChange(id=name, before=old.get(name), now=new.get(name))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]


def verify_claims(record: Results) -> None:
    """Refuse a record whose claims do not follow from its numbers.

    Raises:
        RecordError: it names the first claim, or paired difference, that differs.
    """
    follow = {claim.id: claim for claim in state_claims(record)}
    stored = {claim.id: claim for claim in record.claims}
    for name in dict.fromkeys([*follow, *stored]):
        if stored.get(name) != follow.get(name):
            raise RecordError(
                f"the claim {name!r} is {_said(stored.get(name))} in the record, but from its numbers "
                f"follows {_said(follow.get(name))}: it was changed by hand, or made by another "
                "version; run `dogcam-report run` again"
            )
    for comparison in record.detection.comparisons:
        verdict = VERDICTS[status_of(comparison.difference)]
        if comparison.verdict != verdict:
            raise RecordError(
                f"the record calls {comparison.a} against {comparison.b} at IoU {comparison.iou} "
                f"{comparison.verdict!r}; from its interval follows {verdict!r}"
            )


def _said(claim: Claim | None) -> str:
    return f"{claim.status!r} ({claim.sentence})" if claim else "not made"
