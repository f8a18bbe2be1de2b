"""Presets in the record and on the page: the ablation, its sentences for each result, and the settings."""

import shutil

import pytest

from dogcam.errors import ConfigError
from report.config import make_config, with_defaults
from report.record import Comparison, Estimate, Interval, Presets, StepRow
from report.record.claim_rules import VERDICTS, status_of, with_claims
from report.record.io import read_results, write_results
from report.render.loader import open_templates
from report.render.render import write_report
from tests.support.pages import Page
from tests.support.runs import invoke


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, Interval(low, high, 0.95))


GAINS = {
    "dense": estimate(0.05, 0.01, 0.09),
    "proposals": estimate(-0.04, -0.07, -0.01),
    "votes": estimate(0.02, -0.01, 0.05),
}


def presets_of(record, difference: Estimate) -> Presets:
    """Return measures of two presets, with one step that helps, one that harms, and one without effect."""
    iou, point = record.operating_point.iou, record.detection.thresholds[0]

    def step(name: str, gain: Estimate | None) -> dict:
        rows = [StepRow(iou=iou, ap=estimate(0.5, 0.4, 0.6), difference=gain, gain=gain)]
        return {"name": name, "title": f"the step {name}", "rows": rows, "seconds": 0.25}

    groups = [{"name": "alone, small", "n_objects": 4, "n_found": 1}]
    measured = [
        {
            "name": name, "title": f"Preset {name}", "seconds": 0.25, "point": point, "correlation": 0.5,
            "n_high": 4, "n_high_correct": 3,
            "groups": groups,
        }
        for name in ("published", "best")
    ]  # fmt: skip
    return Presets.model_validate(
        {
            "iou": iou, "chosen_on": "val", "high_score": 0.9,
            "unavailable": [{"name": "fast", "reason": "its network has no head"}],
            "not_dense": "its last reduction is pooling", "measured": measured, "ablated": "best",
            "mean_ap": [], "classes": [],
            "steps": [step("published", None), *(step(name, gain) for name, gain in GAINS.items())],
        }
    )  # fmt: skip


def with_presets(finished, folder, difference: Estimate):
    """Return a copy of a run whose record holds presets, rendered, and its record."""
    shutil.copytree(finished, folder)
    record = read_results(folder)
    main = record.detection.methods[0]
    copies = [main.model_copy(update={"name": name, "title": f"Preset {name}", "kind": "preset"})
              for name in ("published", "best")]  # fmt: skip
    verdict = VERDICTS[status_of(difference)]
    pairs = [Comparison(a=a, b=b, iou=iou, difference=difference, verdict=verdict)
             for a, b in ((main.name, "published"), (main.name, "best"), ("best", "published"))
             for iou in record.detection.iou_thresholds]  # fmt: skip
    detection = record.detection.model_copy(
        update={
            "methods": [*record.detection.methods, *copies],
            "comparisons": [*record.detection.comparisons, *pairs],
        }
    )
    presets = presets_of(record, difference)
    record = with_claims(record.model_copy(update={"detection": detection, "presets": presets}))
    write_results(record, folder)
    write_report(record, folder, open_templates(None))
    return record


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (estimate(0.05, 0.01, 0.09), "AP is above that of the published method"),
        (estimate(0.05, -0.01, 0.09), "no difference in AP from the published method is shown"),
        (estimate(-0.05, -0.09, -0.01), "AP is below that of the published method"),
    ],
)
def test_the_page_and_the_answer_follow_the_result(finished, tmp_path, difference, words):
    with_presets(finished, tmp_path / "run", difference)
    checked = invoke(["check", str(tmp_path / "run")])
    assert checked.exit_code == 0, checked.output
    html = (tmp_path / "run" / "report.html").read_text()
    answers = Page(html.split('id="four-questions"')[1].split("<details")[0]).text
    assert len(answers.split()) <= 450 and words in answers
    page = (tmp_path / "run" / "report.md").read_text()
    answer = page.split("### How would it be improved")[1].split("\n## ")[0]
    section = page.split("### Detection presets")[1].split("**CAM and Grad-CAM")[0]
    for part in (answer, section):
        assert words in part and "AP rises with the step dense" in part
        assert "AP falls with the step proposals" in part.replace("**", "")
    assert "its network has no head" in section and "| + the step votes |" in section
    assert "its last reduction is pooling" in section
    assert "3 of 4" in section and "1 of 4" in section


def test_the_steps_that_do_not_help_are_named(finished, tmp_path):
    record = with_presets(finished, tmp_path / "run", estimate(0.0, -0.1, 0.1))
    claim = next(each for each in record.claims if each.id == "preset_steps")
    assert claim.status == "supported" and claim.relation == "1 of 3 steps help"
    rising, rest = claim.sentence.split("No change is shown with")
    unchanged, falling = rest.split("AP falls with")
    assert "{step0}" in rising and "{step2}" in unchanged and "{step1}" in falling
    assert len(claim.rests_on) == 3


def test_a_run_without_presets_says_nothing_of_them(finished):
    record = read_results(finished)
    assert record.presets is None and record.config.presets == ()
    assert not {claim.id for claim in record.claims} & {"preset_steps", "best_beats_published"}
    page = (finished / "report.md").read_text()
    assert "Detection presets" not in page and "Preset best" not in page
    assert not {"presets", "ablation"} & {stage.name for stage in record.run.stages}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), ()),
        (("best",), ("published", "best")),
        (("fast", "published"), ("published", "fast")),
        (("all",), ("published", "fast", "best")),
    ],
)
def test_the_published_method_comes_with_every_preset(asked, expected):
    assert make_config(**with_defaults({"data": "sample", "presets": asked})).presets == expected


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="fastest"):
        make_config(presets=("fastest",))
    result = invoke(["run", "--preset", "fastest"])
    assert result.exit_code == 2 and "fastest" in result.stderr
