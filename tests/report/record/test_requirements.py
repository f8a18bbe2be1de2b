"""Requirements: what can be asked of a record, what is refused, and the exit status that follows."""

import pytest

from dogcam.errors import ConfigError, RecordError
from report.record.io import read_results
from report.record.requirements import check_requirements, names_of, parse_requirement
from tests.support.runs import assert_one_line, change_record, invoke, record_of


@pytest.mark.parametrize(
    ("text", "name", "relation", "wanted"),
    [
        ("grad_cam.ap@0.5 >= 0.4", "grad_cam.ap@0.5", ">=", 0.4),
        ("grad_cam.ap@0.5>=40%", "grad_cam.ap@0.5", ">=", 0.4),
        ("  operating_point.f1 < 1e-1 ", "operating_point.f1", "<", 0.1),
        ("a != .5", "a", "!=", 0.5),
        ("a <= -3", "a", "<=", -3.0),
        ("claims.x == supported", "claims.x", "==", "supported"),
        ("claims.x != not distinguishable", "claims.x", "!=", "not distinguishable"),
    ],
)
def test_a_requirement_is_read(text, name, relation, wanted):
    found = parse_requirement(text)
    assert (found.text, found.name, found.relation) == (text.strip(), name, relation)
    assert found.wanted == pytest.approx(wanted) if isinstance(wanted, float) else found.wanted == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "grad_cam.ap@0.5", "ap >=", ">= 0.4", "ap => 0.4", "ap = 0.4", "ap >= 0.4 <= 0.5", "ap >= x",
        "ap >= 0.4 and ap <= 1", "ap >= __import__('os')", "ap >= 1 + 1", "ap >= nan", "ap >= inf",
        "claims.x >= supported", "ap ap >= 0.4", "ap >= 0.4%%",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text, finished):
    with pytest.raises(ConfigError):
        parse_requirement(text)
    assert_one_line(invoke(["check", str(finished), "--require", text]), 1)


def outcome(run, text):
    (found,) = check_requirements(read_results(run), [parse_requirement(text)])
    return found


def test_names_lead_to_their_numbers(finished):
    record = record_of(finished)
    method = record["detection"]["methods"][0]
    named = names_of(read_results(finished))
    for row in method["rows"]:
        for field in ("ap", "recall", "n_detections"):
            assert named[f"{method['name']}.{field}@{row['iou']}"] == row[field]
    assert named["operating_point.f1"] == named["operating_point.f1.value"]
    assert named["operating_point.f1.interval.low"] == record["operating_point"]["f1"]["interval"]["low"]
    assert named["data.reported.n_images"] == record["data"]["reported"]["n_images"]
    assert "run.modified" not in named, "a truth value is no number"
    assert {f"claims.{claim['id']}" for claim in record["claims"]} <= named.keys()


@pytest.mark.parametrize(
    ("relation", "offset", "met"),
    [
        (">=", 0.0, True), (">", 0.0, False), ("<=", 0.0, True), ("<", 0.0, False), ("==", 0.0, True),
        ("!=", 0.0, False), (">=", 0.1, False), ("<", 0.1, True), (">", -0.1, True), ("!=", 0.1, True),
    ],
)  # fmt: skip
def test_each_relation(finished, relation, offset, met):
    found = record_of(finished)["operating_point"]["f1"]["value"]
    assert outcome(finished, f"operating_point.f1 {relation} {found + offset!r}").met is met


def test_what_is_not_defined_meets_nothing(copied):
    change_record(copied, lambda record: record["detection"]["methods"][0]["rows"][0].update(ap=None))
    for relation in (">=", "<", "==", "!="):
        found = outcome(copied, f"grad_cam.ap@0.3 {relation} 0.4")
        assert not found.met
        assert str(found).endswith("found n/a")


def test_an_unknown_name_lists_those_near_it(finished):
    with pytest.raises(RecordError, match=r"'gradcam\.ap@0\.5'.*grad_cam\.ap@0\.5"):
        outcome(finished, "gradcam.ap@0.5 >= 0.4")
    with pytest.raises(RecordError, match=r"grad_cam\.ap@0\.5"):
        outcome(finished, "grad_cam.ap@0.55 >= 0.4")


def test_a_status_is_no_number(finished):
    with pytest.raises(RecordError, match="cannot be compared"):
        outcome(finished, "operating_point.f1 == supported")
    with pytest.raises(RecordError, match="cannot be compared"):
        outcome(finished, "claims.sanity == 1")


def test_requirements_set_the_exit_status(finished):
    ap = record_of(finished)["detection"]["methods"][0]["rows"][2]["ap"]
    met = ["--require", f"grad_cam.ap@0.5 >= {ap}", "--require", "claims.sanity == supported"]
    result = invoke(["check", str(finished), *met])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:] == [
        f"met      grad_cam.ap@0.5 >= {ap}: found {ap}",
        "met      claims.sanity == supported: found supported",
    ]
    result = invoke(["check", str(finished), *met, "--require", "grad_cam.ap@0.5 > 100%"])
    assert_one_line(result, 1, "1 of 3 requirements not met")
    assert f"NOT MET  grad_cam.ap@0.5 > 100%: found {ap}" in result.stdout
