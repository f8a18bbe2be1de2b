"""The claims of a report: each a sentence that compares, with the rule by which the record decides it.

A claim is declared once, here. What it says is one of the wordings that belong to it, chosen by its status;
the status follows from numbers of the record alone, so that a result that flips takes its sentence along.
Templates name claims by their ids and never word a comparison themselves.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dogcam.errors import RecordError
from report.record import Claim, ClaimChange, ClaimPart, Estimate, Results
from report.record.claims import Status
from report.record.refs import Ref, find, path_of, raw

PAIRED = "the interval of the paired difference lies above zero, holds it, or lies below"
TOLERANCE = "the largest difference lies within the tolerance that was set in advance"

_WORDS: dict[Status, str] = {
    "supported": "better than",
    "not distinguishable": "not distinguishable from",
    "contradicted": "worse than",
}

VERDICTS = {"supported": "better", "not distinguishable": "not distinguishable", "contradicted": "worse"}
"""What the tables of paired differences call each status."""


@dataclass(frozen=True)
class Part:
    """What stands in the place of a {name}: a ref, and the formatter that shows it."""

    name: str
    ref: Ref
    form: str
    digits: int | None = None


@dataclass(frozen=True)
class Finding:
    """What the record has to say about a claim: the status, the refs that decide it, the parts to show."""

    status: Status
    rests_on: tuple[Ref, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Declaration:
    """One claim that a report may make.

    Attributes:
        id: what templates call it.
        rule: how its status follows from the numbers, for people.
        find: looks it up in the record; None where that has nothing about it.
        wordings: the sentence for each status that the rule can give.
    """

    id: str
    rule: str
    find: Callable[[Ref], Finding | None]
    wordings: dict[Status, str]


def status_of(difference: Estimate) -> Status:
    """Return what a paired difference with its interval says of "more than"."""
    interval = difference.interval
    if interval is None or interval.low is None or interval.high is None:
        return "not distinguishable"
    if interval.low > 0:
        return "supported"
    return "contradicted" if interval.high < 0 else "not distinguishable"


def _of_average_precision(name: str, method: str, other: str, than: str | None = None) -> Declaration:
    """Declare that a method's average precision is above another's, at the operating point's IoU.

    Args:
        name: the claim's id.
        method: the other one's name in the record.
        other: the other one in words.
        than: the method of which it is claimed; None for the main one.
    """

    def look_up(record: Ref) -> Finding | None:
        iou, a = record.operating_point.iou, than or record.operating_point.method
        found = [c for c in record.detection.comparisons if (c.a, c.b) == (a, method) and c.iou == iou]
        if not found:
            return None
        title = find(record.detection.methods, name=found[0].a).title
        return _paired(
            found[0].difference, Part("iou", found[0].iou, "decimal", 1), Part("method", title, "text")
        )

    return Declaration(
        name, PAIRED, look_up,
        {
            status: f"At IoU {{iou}}, {{method}} is {words} {other}: {{difference}} of average precision"
            for status, words in _WORDS.items()
        },
    )  # fmt: skip


def _of_masks(record: Ref) -> Finding | None:
    return _paired(record.segmentation.gain) if record.segmentation else None


def _of_equal_maps(record: Ref) -> Finding | None:
    maps = find(record.map_comparisons, b="cam")
    if not maps.n_images:
        return None
    within = raw(maps.largest_difference) <= raw(maps.tolerance) and maps.n_empty_a == maps.n_empty_b
    decides = maps.largest_difference, maps.tolerance, maps.n_empty_a, maps.n_empty_b
    parts = Part("largest", maps.largest_difference, "power"), Part("tolerance", maps.tolerance, "power")
    return Finding("supported" if within else "contradicted", decides, parts)


def _paired(difference: Ref, *parts: Part) -> Finding:
    shown = (*parts, Part("difference", difference, "gap"))
    return Finding(status_of(raw(difference)), (difference.interval,), shown)


DECLARATIONS = (
    _of_average_precision(
        "map_beats_scored_centre_box", "centerbox_scored",
        "a box in the centre of every image, scored by the same classifier",
    ),
    _of_average_precision(
        "map_beats_cheating_centre_box", "cheating_centerbox",
        "a box in the centre of exactly those images that hold the object, which is cheating",
    ),
    _of_average_precision(
        "map_beats_full_image", "full_image", "a box around every whole image, scored by the same classifier"
    ),
    _of_average_precision(
        "target_layer_beats_earlier_layer", "grad_cam_earlier", "the same at the earlier layer"
    ),
    *(
        _of_average_precision(
            f"grad_cam_beats_{method}", method, f"{title} at the same layer", "grad_cam_earlier"
        )
        for method, title in (
            ("hires_cam_earlier", "HiResCAM"),
            ("layer_cam_earlier", "LayerCAM"),
            ("grad_cam_plus_plus_earlier", "Grad-CAM++"),
        )
    ),
    Declaration(
        "cam_is_grad_cam", TOLERANCE, _of_equal_maps,
        {
            "supported": "CAM and Grad-CAM are the same: in no cell of any pair of normalised maps is the "
            "difference above {largest}; up to {tolerance} was set in advance as what rounding can explain",
            "contradicted": "CAM and Grad-CAM are not the same: the normalised maps differ by up to "
            "{largest}, where rounding can explain {tolerance}",
        },
    ),
    Declaration(
        "growing_beats_cutting", PAIRED, _of_masks,
        {
            status: f"Masks that grow from the map are {words} the map that is cut: {{difference}} of IoU"
            for status, words in _WORDS.items()
        },
    ),
)  # fmt: skip


def state_claims(record: Results, declarations: Iterable[Declaration] = DECLARATIONS) -> list[Claim]:
    """Decide every claim of which a record has something to say, by its numbers alone."""
    stated = ((declared, declared.find(Ref(record))) for declared in declarations)
    return [_state(declared, finding) for declared, finding in stated if finding is not None]


def _state(declared: Declaration, finding: Finding) -> Claim:
    return Claim(
        id=declared.id,
        status=finding.status,
        sentence=declared.wordings[finding.status],
        rule=declared.rule,
        rests_on=[path_of(ref) for ref in finding.rests_on],
        parts=[
            ClaimPart(name=part.name, path=path_of(part.ref), form=part.form, digits=part.digits)
            for part in finding.parts
        ],
    )


def with_claims(record: Results, earlier: list[Claim] | None = None) -> Results:
    """Return a record with its claims, and with what became of those of an earlier run."""
    claims = state_claims(record)
    changes = changed_claims(earlier, claims) if earlier is not None else []
    return record.model_copy(update={"claims": claims, "claim_changes": changes})


def changed_claims(before: list[Claim], now: list[Claim]) -> list[ClaimChange]:
    """Return the claims whose status is another, those of the later list first."""
    old, new = ({claim.id: claim.status for claim in claims} for claims in (before, now))
    return [
        ClaimChange(id=name, before=old.get(name), now=new.get(name))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]


def verify_claims(record: Results) -> None:
    """Refuse a record whose claims do not follow from its numbers.

    Raises:
        RecordError: it names the first claim, or paired difference, that says something else.
    """
    follow = {claim.id: claim for claim in state_claims(record)}
    stored = {claim.id: claim for claim in record.claims}
    for name in dict.fromkeys([*follow, *stored]):
        if stored.get(name) != follow.get(name):
            raise RecordError(
                f"the claim {name!r} is {_said(stored.get(name))} in the record, but from its numbers "
                f"follows {_said(follow.get(name))}: it was changed by hand, or made by another version"
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
