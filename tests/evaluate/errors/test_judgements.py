"""Failure types by rule agree with an annotator, and the document holds the tables."""

from pathlib import Path

import pytest

from benchmarks import failure_types
from benchmarks.failure_types import HALVES, SUBJECTS, Case, agreement, read_cases, tables, with_tables
from dogcam.evaluate.errors import FAILURE_TYPES

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "failure-types.md"
PASS_MARK = 0.85


@pytest.fixture(scope="module")
def checked(real_data):
    cases = read_cases()
    return cases, failure_types.types_by_rule(cases, real_data / "voc2007")


def test_enough_failures_were_judged():
    cases = read_cases()
    assert {case.half for case in cases} == set(HALVES)
    assert {case.judged for case in cases} <= set(FAILURE_TYPES)
    assert sum(case.half == "held out" for case in cases) >= 60
    assert len({(case.image, case.subject, case.box) for case in cases}) == len(cases)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("subjects", [tuple(SUBJECTS), ("detection",)], ids=["all", "boxes"])
def test_the_rules_agree_with_the_annotator(checked, half, subjects):
    assert agreement(*checked, half, *subjects).value >= PASS_MARK


def test_the_document_holds_the_tables_that_the_command_makes(checked):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text, tables(*checked)) == text


def test_agreement_and_confusion_are_counted():
    box = (0.0, 0.0, 1.0, 1.0)
    judged = [
        ("tuning", "detection", "too_small"),
        ("tuning", "ground_truth", "missed"),
        ("held out", "detection", "too_small"),
    ]
    cases = [Case(half, "train", "1", subject, box, seen) for half, subject, seen in judged]
    types = ["too_small", "merged", "too_large"]
    assert agreement(cases, types, "tuning", "detection", "ground_truth").value == 0.5
    assert agreement(cases, types, "held out", "detection").value == 0.0
    lines = tables(cases, types).splitlines()
    assert "| tuning | all | 1 of 2 | 50 % | 9 to 91 % |" in lines
    assert "| `too_small` | · | · | · | 1 | · | · | · | · | · |" in lines
    assert "| `too_small` | · | · | · | · | 1 | · | · | · | · |" in lines
