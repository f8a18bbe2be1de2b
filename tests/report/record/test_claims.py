"""Claims: decided by their intervals alone, worded by their status, told when they change."""

import pytest
from pydantic import TypeAdapter

from dogcam.errors import ConfigError, RecordError
from report.record import Claim, Estimate, Interval
from report.record.claim_rules import (
    DECLARATIONS,
    VERDICTS,
    changed_claims,
    state_claims,
    status_of,
    verify_claims,
    with_claims,
)
from report.record.io import read_results, write_results
from report.render.check import check_report
from report.render.loader import open_templates
from report.render.render import render, write_report
from tests.report.render.test_render import Page, rendered
from tests.support.runs import assert_one_line, change_record, invoke, options, record_of

BOX = "map_beats_scored_centre_box"


def difference(low: float | None, high: float | None) -> dict:
    middle = None if low is None else (low + high) / 2
    return {"value": middle, "interval": {"low": low, "high": high, "level": 0.95}}


def estimate_of(low: float | None, high: float | None) -> Estimate:
    return TypeAdapter(Estimate).validate_python(difference(low, high))


def let_differences_be(run, low: float, high: float):
    """Give every paired difference of a run this interval, and return the record with what follows."""
    verdict = VERDICTS[status_of(estimate_of(low, high))]

    def change(record):
        for each in record["detection"]["comparisons"]:
            each.update(difference=difference(low, high), verdict=verdict)
        record["segmentation"]["gain"] = difference(low, high)

    change_record(run, change)
    record = with_claims(read_results(run))
    write_results(record, run)
    return record


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.01, 0.02, "supported"),
        (0.0, 0.02, "not distinguishable"),
        (-0.01, 0.02, "not distinguishable"),
        (-0.02, 0.0, "not distinguishable"),
        (-0.02, -0.01, "contradicted"),
        (None, None, "not distinguishable"),
    ],
)
def test_a_paired_interval_decides(low, high, status):
    assert status_of(estimate_of(low, high)) == status


def test_without_an_interval_nothing_can_be_told():
    assert status_of(Estimate(value=0.5)) == "not distinguishable"


FLIPPED = {
    "supported": (0.01, 0.03, "is better than", "are better than"),
    "contradicted": (-0.03, -0.01, "is worse than", "are worse than"),
    "not distinguishable": (-0.01, 0.03, "is not distinguishable from", "are not distinguishable from"),
}


@pytest.mark.parametrize("status", FLIPPED)
def test_a_flipped_result_flips_the_sentence(copied, status):
    low, high, *said = FLIPPED[status]
    record = let_differences_be(copied, low, high)
    paired = [claim for claim in record.claims if claim.id != "cam_is_grad_cam"]
    assert len(paired) == len(DECLARATIONS) - 1
    assert {claim.status for claim in paired} == {status}
    others = {words for other, (_, _, *all_) in FLIPPED.items() if other != status for words in all_}
    texts = rendered(copied)
    for text in (Page(texts["report.html"]).text, texts["report.md"]):
        assert text.count(said[0]) >= 4
        assert text.count(said[1]) >= 1
        assert not any(words in text for words in others)


def test_maps_that_part_are_said_to(copied):
    def change(record):
        maps = next(each for each in record["map_comparisons"] if each["b"] == "cam")
        maps["largest_difference"] = 2 * maps["tolerance"]

    change_record(copied, change)
    claims = {claim.id: claim for claim in state_claims(read_results(copied))}
    assert claims["cam_is_grad_cam"].status == "contradicted"
    assert "are not the same" in claims["cam_is_grad_cam"].sentence


def test_a_claim_names_what_it_rests_on(finished):
    document = record_of(finished)
    for claim in document["claims"]:
        assert claim["rests_on"]
        for path in [*claim["rests_on"], *(part["path"] for part in claim["parts"])]:
            found = document
            for name in path.split("."):
                found = found[int(name)] if isinstance(found, list) else found[name]
            assert found is not None


def test_every_status_that_a_rule_can_give_has_a_wording():
    for declared in DECLARATIONS:
        assert {"supported", "contradicted"} <= declared.wordings.keys(), declared.id
        assert len(set(declared.wordings.values())) == len(declared.wordings)


def test_the_page_lists_its_claims(finished):
    record = record_of(finished)
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    for claim in record["claims"]:
        assert claim["rule"] in page.text
        assert all(path in page.text for path in claim["rests_on"])


def plant(claim_id: str, **values):
    def change(record):
        next(claim for claim in record["claims"] if claim["id"] == claim_id).update(values)

    return change


FALSE = {
    "a status": plant(BOX, status="contradicted"),
    "a wording": plant(BOX, sentence="Grad-CAM is better than everything"),
    "what it rests on": plant(BOX, rests_on=["operating_point.f1.interval"]),
    "what it shows": plant(BOX, parts=[]),
    "a claim that is not made": lambda record: record["claims"].pop(),
    "a claim that nobody declared": lambda record: record["claims"].append(
        {**record["claims"][0], "id": "all_is_well"}
    ),
}


@pytest.mark.parametrize("fault", FALSE)
def test_a_claim_that_does_not_follow_is_refused(copied, fault):
    let_differences_be(copied, 0.01, 0.03)
    change_record(copied, FALSE[fault])
    with pytest.raises(RecordError, match="the claim '"):
        verify_claims(read_results(copied))
    assert_one_line(invoke(["check", str(copied)]), 1, "from its numbers follows")


def test_a_verdict_that_does_not_follow_is_refused(copied):
    let_differences_be(copied, 0.01, 0.03)
    change_record(copied, lambda record: record["detection"]["comparisons"][0].update(verdict="worse"))
    with pytest.raises(RecordError, match="'better'"):
        verify_claims(read_results(copied))


def test_an_interval_that_was_changed_without_its_claim_is_refused(copied):
    record = let_differences_be(copied, 0.01, 0.03)
    write_report(record, copied)
    check_report(copied)

    def widen(record):
        for each in record["detection"]["comparisons"]:
            each.update(difference=difference(-0.01, 0.03), verdict="not distinguishable")

    change_record(copied, widen)
    with pytest.raises(RecordError, match="'supported'"):
        check_report(copied)


def test_a_claim_that_is_not_made_cannot_be_stated(finished, tmp_path):
    section = tmp_path / "own" / "sections" / "95-mine.md.j2"
    section.parent.mkdir(parents=True)
    section.write_text('## Mine\n\n{{ claim("map_beats_scored_center_box") }}.\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=f"map_beats_scored_center_box.*{BOX}"):
        render(read_results(finished), finished, open_templates(section.parent.parent))


def claim(name: str, status: str) -> Claim:
    return Claim(id=name, status=status, sentence="", rule="", rests_on=[], parts=[])


def test_changes_are_those_of_the_status():
    before = [claim("a", "supported"), claim("b", "supported"), claim("c", "contradicted")]
    now = [claim("a", "supported"), claim("b", "not distinguishable"), claim("d", "supported")]
    changes = [(change.id, change.before, change.now) for change in changed_claims(before, now)]
    assert changes == [
        ("b", "supported", "not distinguishable"),
        ("d", None, "supported"),
        ("c", "contradicted", None),
    ]


def test_a_run_that_changes_a_claim_says_so(small_data, small_checkpoint, copied):
    now = next(each for each in record_of(copied)["claims"] if each["id"] == BOX)["status"]
    other = next(status for status in FLIPPED if status != now)
    change_record(copied, plant(BOX, status=other))
    result = invoke(options(small_data, small_checkpoint, copied))
    assert result.exit_code == 0, result.output
    assert f"claim changed  {BOX}: {other} -> {now}" in result.stderr
    assert record_of(copied)["claim_changes"] == [{"id": BOX, "before": other, "now": now}]
    for name in ("report.html", "report.md"):
        text = (copied / name).read_text(encoding="utf-8")
        assert "Against the run that was in the same folder before" in text
    again = invoke(options(small_data, small_checkpoint, copied))
    assert "claim changed" not in again.output
    assert record_of(copied)["claim_changes"] == []


def test_a_first_run_changes_nothing(first_run):
    result, out = first_run
    assert "claim changed" not in result.output
    assert record_of(out)["claim_changes"] == []


def test_interval_of_one_side_is_not_one():
    assert status_of(Estimate(value=0.1, interval=Interval(low=0.1, high=None, level=0.95))) == (
        "not distinguishable"
    )
