"""A short soak: no generated fault and no kill ends in anything but a result or one clear line."""

import os

import pytest

from tests.soak.__main__ import soak
from tests.soak.cases import GOOD, Ending, judge, prepare
from tests.soak.faults import MARKER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks processes"),
]

CASES = 20
"""Their last one is a training that is killed."""


@pytest.mark.gate
def test_no_generated_case_ends_badly(tmp_path, finished):
    """The short form of `make soak`: all commands but a whole run, and one training that is killed."""
    material = prepare(tmp_path / "material", finished)
    found, n_kills = soak(tmp_path, CASES, seed=20, material=material, kill_every=CASES)
    assert found.total() == CASES and n_kills >= 1
    assert {outcome for _, outcome in found} <= set(GOOD), found
    assert any(outcome == "refused" for _, outcome in found)


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Ending(1, "Error: boxes.json is empty", 0), "refused"),
        (Ending(0, "", 0), "accepted"),
        (Ending(1, "Traceback (most recent call last):", 0), "traceback"),
        (Ending(-11, "", 0), "traceback"),
        (Ending(None, "", 0), "hang"),
        (Ending(0, "", 3 * 1024**3), "memory"),
        (Ending(1, "", 0), "no message"),
        (Ending(1, "3 faults", 0), "refused"),
        (Ending(0, "", 0, ("run/.a.json.1.part",)), "left over"),
    ],
)
def test_every_ending_has_its_name(tmp_path, ending, outcome):
    (tmp_path / "precious.txt").write_text(MARKER)
    assert judge(ending, tmp_path) == outcome


def test_a_file_outside_that_is_changed_or_copied_is_a_finding(tmp_path):
    fine = Ending(0, "", 0)
    assert judge(fine, tmp_path) == "changed outside"
    (tmp_path / "precious.txt").write_text(MARKER)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.html").write_text(f"<p>{MARKER}")
    assert judge(fine, tmp_path) == "leaked"
