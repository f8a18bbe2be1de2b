"""Claims: decided by their intervals alone, worded by their status, told when they change."""

import re

import pytest
from pydantic import TypeAdapter

from dogcam.errors import ConfigError, RecordError
from report.record import Claim, Estimate, Interval
from report.record.claim_rules import (
    VERDICTS,
    changed_claims,
    status_of,
    verify_claims,
    with_claims,
)
from report.record.io import read_results, write_results
from report.render.check import check_report
from report.render.choices import readable
from report.render.loader import open_templates
from report.render.render import render, write_report
from tests.support.pages import Page, rendered, restated
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
        record["evidence"]["pointing"]["difference"] = difference(low, high)

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
    "supported": (0.01, 0.03, ["beats Grad-CAM at the earlier layer", "masks beat the thresholded map"]),
    "contradicted": (-0.03, -0.01, ["is worse than Grad-CAM at the", "masks are worse than the thresholded"]),
    "not distinguishable": (-0.01, 0.03, ["Grad-CAM and Grad-CAM at the earlier layer is shown",
                                          "No difference in IoU between random-walker masks"]),
}  # fmt: skip
LEADS = {
    "supported": ("Where: yes.", "How large: better than a centre box."),
    "contradicted": ("Where: worse than the image centre.", "How large: worse than a centre box."),
    "not distinguishable": (
        "Where: not shown to beat the image centre.",
        "How large: not shown to beat a centre box.",
    ),
}


@pytest.mark.parametrize("status", FLIPPED)
def test_a_flipped_result_flips_the_sentence(copied, status):
    low, high, said = FLIPPED[status]
    record = let_differences_be(copied, low, high)
    paired = [each for each in record.claims if each.id.startswith(("map_beats", "grad_cam_beats", "target"))]
    assert len(paired) == 7
    assert {each.status for each in paired} == {status}
    texts = rendered(copied)
    others = [words for other, (_, _, all_) in FLIPPED.items() if other != status for words in all_]
    leads = [lead for other, both in LEADS.items() if other != status for lead in both]
    for text in (Page(texts["report.html"]).text, texts["report.md"]):
        assert all(words in text for words in [*said, *LEADS[status]])
        assert not any(words in text for words in [*others, *leads])


def test_wins_at_a_lower_iou_are_told(copied):
    """Not only the headline's IoU decides (A9)."""

    def change(record):
        for each in record["detection"]["comparisons"]:
            low = 0.01 if each["iou"] < 0.5 else -0.02
            verdict = "better" if low > 0 else "not distinguishable"
            each.update(difference=difference(low, 0.05), verdict=verdict)

    change_record(copied, change)
    stated = {each.id: each for each in with_claims(read_results(copied)).claims}["how_large"]
    assert stated.lead == "How large: only roughly."
    assert "IoU {iou0} ({gap0} points) and {iou1} ({gap1} points); they show no" in stated.sentence


def test_a_method_at_the_earlier_layer_gets_its_claim_from_the_comparisons(copied):
    def change(record):
        detection = record["detection"]
        for method in detection["methods"]:
            if method["name"] == "layer_cam_earlier":
                method.update(name="new_cam_earlier", title="NewCAM, earlier layer")
        for each in detection["comparisons"]:
            if each["b"] == "layer_cam_earlier":
                each["b"] = "new_cam_earlier"
                if each["a"] == "grad_cam_earlier":
                    each["difference"] = difference(0.02, 0.05)

    change_record(copied, change)
    stated = {each.id: each for each in with_claims(read_results(copied)).claims}
    assert "grad_cam_beats_layer_cam_earlier" not in stated
    claim = stated["grad_cam_beats_new_cam_earlier"]
    assert claim.status == "supported" and "Grad-CAM beats NewCAM:" in claim.sentence


def test_a_better_method_than_the_main_one_is_named(copied):
    """The summary names the best map of the table, not only the one that the report is about (A9)."""

    def change(record):
        for method in record["detection"]["methods"]:
            if method["name"] == "layer_cam_earlier":
                method["rows"][-1]["ap"] = 0.97

    change_record(copied, change)
    stated = {each.id: each for each in with_claims(read_results(copied)).claims}["best_method"]
    assert "{best} has the highest AP" in stated.sentence and "{main}" in stated.sentence
    shown = {part.name: part.path for part in stated.parts}
    assert read_results(copied).detection.method("layer_cam_earlier").title == "LayerCAM, earlier layer"
    assert shown["ap"].endswith("rows.2.ap")


def test_groups_found_less_often_are_named(copied):
    def change(record):
        record["operating_point"]["recall"]["value"] = 0.5
        for group in record["breakdowns"]["breakdowns"]:
            for row in group["rows"]:
                row.update(few=False, recall=difference(0.4, 0.6))
        sizes = next(each for each in record["breakdowns"]["breakdowns"] if each["by"] == "size")["rows"]
        sizes[0].update(recall=difference(0.0, 0.1), n_found=0, n_objects=60)

    change_record(copied, change)
    record = with_claims(read_results(copied))
    stated = {each.id: each for each in record.claims}["which_not"]
    assert stated.lead == "Which not: small dogs."
    assert [part.path for part in stated.parts if part.name.startswith("found")] == [
        "breakdowns.breakdowns.0.rows.0.n_found"
    ]
    sentence = "Found less often: small dogs (0 of 60); recall of all dogs: 50.0 %"
    [section] = re.findall(r"## Which dogs are found\n(.*?)\n## ", restated(copied)["report.md"], re.DOTALL)
    assert f"{sentence}.\n\n" in section.replace("\N{NARROW NO-BREAK SPACE}", " "), "a paragraph of its own"


@pytest.mark.parametrize(
    ("n_equal", "low", "lead"),
    [
        (100, 0.3, "The score ranks images; it is not shown that high scores have better boxes."),
        (100, 0.6, "The score ranks images; high scores also have better boxes."),
        (10, 0.6, "High scores have better boxes."),
        (10, 0.3, "It is not shown that high scores have better boxes."),
    ],
)
def test_the_meaning_of_the_score_follows_from_its_bins(copied, n_equal, low, lead):
    """What the score says is decided by the record (A10)."""

    def change(record):
        record["operating_point"]["precision"]["value"] = 0.48
        record["evidence"]["score"].update(n_boxes=100, n_equal=n_equal)
        record["evidence"]["score"]["bins"][-1].update(n_boxes=30, correct=difference(low, 0.9))

    change_record(copied, change)
    stated = {each.id: each for each in with_claims(read_results(copied)).claims}["score_meaning"]
    assert stated.lead == lead


def test_a_failed_check_leads_the_sanity_section(copied):
    def change(record):
        record["sanity"]["checks"][0]["passed"] = False
        record["sanity"]["n_failed"] = 1

    change_record(copied, change)
    stated = {each.id: each for each in with_claims(read_results(copied)).claims}["sanity"]
    assert (stated.status, stated.lead) == ("contradicted", "Not all checks passed.")


def test_a_claim_names_what_it_rests_on(finished):
    document = record_of(finished)
    for claim in document["claims"]:
        assert claim["rests_on"]
        for path in [*claim["rests_on"], *(part["path"] for part in claim["parts"])]:
            found = document
            for name in path.split("."):
                found = found[int(name)] if isinstance(found, list) else found[name]
            assert found is not None


def test_the_page_lists_its_claims(finished):
    record = record_of(finished)
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    for each in record["claims"]:
        assert each["relation"] in page.text
        assert all(readable(read_results(finished), path) in page.text for path in each["rests_on"])


def test_no_private_status_is_shown(finished):
    """A true sentence stands beside its relation, never beside "contradicted" (A7)."""
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    assert "contradicted" not in page.text and "supported" not in page.text


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
    return Claim(id=name, status=status, relation="", lead="", sentence="", rests_on=[], parts=[])


def test_changes_are_those_of_the_status():
    before = [claim("a", "supported"), claim("b", "supported"), claim("c", "contradicted")]
    now = [claim("a", "supported"), claim("b", "not distinguishable"), claim("d", "supported")]
    changes = [(change.id, change.before, change.now) for change in changed_claims(before, now)]
    assert changes == [
        ("b", "supported", "not distinguishable"),
        ("d", None, "supported"),
        ("c", "contradicted", None),
    ]


@pytest.mark.slow
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
        assert "Changed since the previous run in this folder" in text
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


def test_the_evidence_of_a_claim_is_named_readably(finished):
    """An index says nothing to a reader; the name of what is there does."""
    record = read_results(finished)
    for claim in record.claims:
        for path in claim.rests_on:
            said = readable(record, path)
            assert re.sub(r"\[[^\]]*\]|\.\d+", "", said) == re.sub(r"\.\d+", "", path)
    pair = next(i for i, each in enumerate(record.detection.comparisons) if each.b == "centerbox_scored")
    each = record.detection.comparisons[pair]
    assert (
        readable(record, f"detection.comparisons.{pair}.difference")
        == f"detection.comparisons[{each.a}, centerbox_scored, {each.iou}].difference"
    )
