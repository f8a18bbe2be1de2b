"""The rule of the claim about the ablation: which steps change AP, and in which direction."""

from collections.abc import Sequence

from report.record.claims import Status
from report.record.findings import Finding, Part, status_of
from report.record.refs import Ref, find, raw


def preset_steps(record: Ref) -> Finding | None:
    """Name the steps of the ablation that change AP at the operating point's IoU, and those that do not."""
    if not record.presets or not record.presets.steps:
        return None
    iou = record.presets.iou
    rows = [(step, find(step.rows, iou=raw(iou))) for step in record.presets.steps]
    steps = [(step, row) for step, row in rows if raw(row.gain) is not None]
    parts, groups = [Part("iou", iou, "decimal", 1)], []
    words: dict[Status, str] = {
        "supported": "AP rises with", "not distinguishable": "no change is shown with",
        "contradicted": "AP falls with",
    }  # fmt: skip
    statuses = [status_of(raw(row.gain)) for _, row in steps]
    for status, start in words.items():
        chosen = [number for number, found in enumerate(statuses) if found == status]
        for number in chosen:
            step, row = steps[number]
            parts += [Part(f"step{number}", step.title, "text"), Part(f"gain{number}", row.gain, "gap")]
        if chosen:
            named = "; ".join(f"{{step{number}}}, {{gain{number}}}" for number in chosen)
            groups.append(f"{start} {named}")
    rests_on = tuple(row.gain.interval for _, row in steps)
    sentence = f"Step by step, at IoU {{iou}}: {'. '.join(_capitals(groups))}"
    return Finding(_overall(statuses), sentence, rests_on, tuple(parts), relation=_relation(statuses))


def _capitals(groups: Sequence[str]) -> list[str]:
    return [group if place == 0 else group[0].upper() + group[1:] for place, group in enumerate(groups)]


def _overall(statuses: Sequence[Status]) -> Status:
    if "supported" in statuses:
        return "supported"
    return "contradicted" if "contradicted" in statuses else "not distinguishable"


def _relation(statuses: Sequence[Status]) -> str:
    return f"{statuses.count('supported')} of {len(statuses)} steps help"
