"""The rules of the verdict: position, size, missed objects, and the meaning of the score."""

from collections.abc import Sequence

from report.record.claims import Status
from report.record.findings import Finding, Part, status_of
from report.record.refs import Ref, find, raw
from report.record.words import plural_of

MOSTLY = 0.9
"""The share of boxes scored by the image's probability from which the score is stated to rank images."""


_N_INSTANCES = {
    "alone": "{targets} alone in their image",
    "two together": "{targets} in images that show exactly two",
    "three or more": "{targets} in images that show three or more",
}
"""What the groups by number in the image are called in a sentence."""


def _enumerated(words: Sequence[str]) -> str:
    """Join words: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def where(record: Ref) -> Finding | None:
    """Compare the pointing game of the maps with always pointing at the centre."""
    pointing = record.evidence.pointing
    if not pointing.n_images:
        return None
    status = status_of(raw(pointing.difference))
    leads = {
        "supported": "Where: yes.",
        "not distinguishable": "Where: not shown to beat the image centre.",
        "contradicted": "Where: worse than the image centre.",
    }
    sentence = (
        "The map's peak is within {tolerance} pixels of {target} in {map} of the images with one, the image "
        "centre in {centre}: {difference}"
    )
    parts = (
        Part("map", pointing.map.value, "percent", 0), Part("centre", pointing.centre.value, "percent", 0),
        Part("target", record.data.target, "article"), Part("difference", pointing.difference, "gap"),
        Part("tolerance", record.localisation.tolerance, "count"),
    )  # fmt: skip
    return Finding(status, sentence, (pointing.difference.interval,), parts, leads[status])


def how_large(record: Ref) -> Finding | None:
    """Compare the boxes with a centre box of the same scores, at every IoU threshold."""
    main = record.operating_point.method
    pairs = [c for c in record.detection.comparisons if c.a == main and c.b == "centerbox_scored"]
    if not pairs:
        return None
    statuses = [status_of(raw(pair.difference)) for pair in pairs]
    leads = {
        "supported": "How large: better than a centre box.",
        "not distinguishable": "How large: not shown to beat a centre box.",
        "contradicted": "How large: worse than a centre box.",
    }
    lead = leads[statuses[-1]]
    if statuses[-1] != "supported" and "supported" in statuses:
        lead = "How large: only roughly."
    elif statuses[-1] == "supported" and "contradicted" in statuses:
        lead = "How large: partly."
    verbs = {
        "supported": "beat a fixed centre box with the same scores",
        "contradicted": "are worse than a fixed centre box with the same scores",
        "not distinguishable": "show no difference from it" if set(statuses) - {"not distinguishable"}
        else "show no difference from a fixed centre box with the same scores",
    }  # fmt: skip
    clauses, parts = [], []
    for status in ("supported", "contradicted", "not distinguishable"):
        places = [index for index, each in enumerate(statuses) if each == status]
        if places:
            # The interval is stated if it decides nothing; the tables have them all.
            before, after = (": ", "") if status == "not distinguishable" else (" (", " points)")
            shown = _enumerated([f"{{iou{index}}}{before}{{gap{index}}}{after}" for index in places])
            clauses.append(f"{verbs[status]} at IoU {shown}")
    for index, pair in enumerate(pairs):
        decided = statuses[index] != "not distinguishable"
        name = f"gap{index}"
        gap = Part(name, pair.difference.value, "points") if decided else Part(name, pair.difference, "gap")
        parts += [Part(f"iou{index}", pair.iou, "decimal", 1), gap]
    sentence = f"By AP, the boxes {'; they '.join(clauses)}"
    return Finding(statuses[-1], sentence, tuple(p.difference.interval for p in pairs), tuple(parts), lead)


def _groups(record: Ref) -> list[tuple[str, Ref]]:
    """Return the groups by size and by number in the image that have enough objects, with their names."""
    named = []
    for group in (group for group in record.breakdowns.breakdowns if group.by in ("size", "n_instances")):
        for row in group.rows:
            if not raw(row.few) and raw(row.recall.value) is not None:
                name = raw(row.name)
                named.append(
                    (f"{name} {{targets}}" if group.by == "size" else _N_INSTANCES.get(name, name), row)
                )
    return named


def _apart(record: Ref, above: bool) -> list[tuple[str, Ref]]:
    """Return the groups whose recall's interval lies above, or below, the recall of all objects."""
    overall = raw(record.operating_point.recall.value)
    found = []
    for name, row in _groups(record):
        interval = raw(row.recall.interval)
        if interval is None or interval.low is None or interval.high is None or overall is None:
            continue
        if interval.low > overall if above else interval.high < overall:
            found.append((name, row))
    return found


def _of_groups(record: Ref, groups: list[tuple[str, Ref]], start: str) -> tuple[str, tuple[Part, ...]]:
    words = []
    parts = [Part("targets", record.data.target, "plural")]
    for index, (name, row) in enumerate(groups):
        words.append(f"{name} ({{found{index}}} of {{objects{index}}})")
        parts += [
            Part(f"found{index}", row.n_found, "count"),
            Part(f"objects{index}", row.n_objects, "count"),
        ]
    return f"{start} {_enumerated(words)}", tuple(parts)


def which_not(record: Ref) -> Finding | None:
    """Name the groups by size and number that are found less often than all objects."""
    low = _apart(record, above=False)
    rests_on = tuple(row.recall.interval for _, row in low) or (record.operating_point.recall.interval,)
    overall = Part("overall", record.operating_point.recall.value, "percent")
    if not low:
        said = (overall, Part("targets", record.data.target, "plural"))
        sentence = (
            "No size and no number of {targets} in an image shows a recall below that of all, {overall}"
        )
        return Finding("not distinguishable", sentence, rests_on, said, "Which not: no group stands out.")
    groups, parts = _of_groups(record, low, "Found less often:")
    names = _enumerated([name for name, _ in low])
    lead = f"Which not: {names.replace('{targets}', plural_of(raw(record.data.target)))}."
    sentence = f"{groups}; recall of all {{targets}}: {{overall}}"
    return Finding("supported", sentence, rests_on, (*parts, overall), lead, relation="below all")


def found_more(record: Ref) -> Finding | None:
    """Name the groups by size and number that are found more often than all objects."""
    high = _apart(record, above=True)
    if not high:
        return None
    sentence, parts = _of_groups(record, high, "Found more often:")
    return Finding("supported", sentence, tuple(row.recall.interval for _, row in high), parts,
                   relation="above all")  # fmt: skip


def score_meaning(record: Ref) -> Finding | None:
    """State whether the score of a box adds to the probability of the image."""
    score, point = record.evidence.score, record.operating_point
    if not score.n_boxes:
        return None
    of_images = raw(score.n_equal) >= MOSTLY * raw(score.n_boxes)
    high = score.bins[len(score.bins) - 1]
    overall, interval = raw(point.precision.value), raw(high.correct.interval)
    separates = (
        raw(high.n_boxes) >= raw(record.breakdowns.few_below)
        and interval is not None and interval.low is not None
        and overall is not None and interval.low > overall
    )  # fmt: skip
    lead = {
        (True, False): "The score ranks images; it is not shown that high scores have better boxes.",
        (True, True): "The score ranks images; high scores also have better boxes.",
        (False, False): "It is not shown that high scores have better boxes.",
        (False, True): "High scores have better boxes.",
    }[of_images, separates]
    sentence = "Correct boxes: {precision} of all"
    if raw(score.n_high):
        sentence += ", {correct} of {high} with a score of at least {from}"
    sentence += "; the score of {equal} of {boxes} is the image's probability"
    parts = (
        Part("equal", score.n_equal, "count"), Part("boxes", score.n_boxes, "count"),
        Part("correct", score.n_high_correct, "count"), Part("high", score.n_high, "count"),
        Part("from", score.high_score, "decimal", 1), Part("precision", point.precision.value, "percent"),
    )  # fmt: skip
    status: Status = "supported" if separates else "not distinguishable"
    rests_on = score.n_equal, score.n_boxes, high.correct.interval, point.precision.value
    return Finding(
        status, sentence, rests_on, parts, lead, "high scores better" if separates else "not shown"
    )


def best_method(record: Ref) -> Finding | None:
    """Name the map with the highest AP at the operating point's IoU, if it is not the main one."""
    iou, main = record.operating_point.iou, raw(record.operating_point.method)
    maps = [method for method in record.detection.methods if method.kind == "map"]
    rows = {raw(method.name): find(method.rows, iou=raw(iou)) for method in maps}
    known = {name: row for name, row in rows.items() if raw(row.ap) is not None}
    if main not in known:
        return None
    best = max(known, key=lambda name: (raw(known[name].ap), name == main))
    titles = {raw(method.name): method.title for method in maps}
    parts = [Part("iou", iou, "decimal", 1), Part("best", titles[best], "text"),
             Part("ap", known[best].ap, "percent")]  # fmt: skip
    if best == main:
        sentence = "At IoU {iou}, {best} has the highest AP of all maps, {ap}"
        return Finding("supported", sentence, (known[best].ap,), tuple(parts), relation="highest")
    pair = find(record.detection.comparisons, a=main, b=best, iou=raw(iou))
    status = status_of(raw(pair.difference))
    ending = "a real difference" if status == "contradicted" else "no difference shown"
    sentence = (
        "At IoU {iou}, {best} has the highest AP of all maps, {ap}; {main}, the subject of this report, has "
        f"{{own}}, a difference of {{difference}}: {ending}"
    )
    parts += [Part("main", titles[main], "text"), Part("own", known[main].ap, "percent"),
              Part("difference", pair.difference, "gap")]  # fmt: skip
    return Finding(status, sentence, (pair.difference.interval, known[best].ap), tuple(parts))


def sanity(record: Ref) -> Finding | None:
    """Count the sanity checks that passed."""
    checks = record.sanity.checks
    failed = [check for check in checks if raw(check.passed) is False]
    undefined = [check for check in checks if raw(check.passed) is None]
    status: Status
    if failed:
        lead, status = "Not all checks passed.", "contradicted"
    elif undefined:
        lead, status = "No check failed; some are undefined.", "not distinguishable"
    else:
        lead, status = "All checks passed.", "supported"
    sentence = "Failed: {failed} of {all}; undefined: {undefined}; images: {images}"
    parts = (
        Part("failed", record.sanity.n_failed, "count"),
        Part("undefined", record.sanity.n_undefined, "count"),
        Part("all", record.sanity.n_checks, "count"), Part("images", record.sanity.n_images, "count"),
    )  # fmt: skip
    rests_on = tuple(check.value.interval for check in checks)
    return Finding(status, sentence, rests_on, parts, lead, lead.rstrip(".").lower())
