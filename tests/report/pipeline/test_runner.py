"""The stages of a run: what is run, what is used again, and what is said about it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from report.config import RunConfig
from report.pipeline import runner
from report.pipeline.runner import Stage, run_stages
from report.pipeline.stages.context import Context

INPUTS = {"the images": "1", "the weights": "1"}


@pytest.fixture
def calls(monkeypatch):
    """The names of the stages in the order in which they were run; their code never changes by itself."""
    monkeypatch.setattr(runner, "code_fingerprint", lambda module: "code")
    return []


def stages_of(calls: list[str], fail: str = "") -> list[Stage]:
    """`first` feeds `second`; `alone` needs nobody, and leaves a file."""

    def first(context):
        calls.append("first")
        return {"seed": context.config.seed}

    def second(context):
        calls.append("second")
        if fail == "second":
            (context.workspace / "half").write_text("done")
            raise KeyboardInterrupt
        seed = context.outputs["first"]["seed"]
        return {"from first": seed, "left": (context.workspace / "half").is_file()}

    def alone(context):
        calls.append("alone")
        (context.folder / "figure.txt").write_text("drawn")
        return {"files": ["figure.txt"]}

    return [
        Stage("first", "First", first, settings=("seed",)),
        Stage("second", "Second", second, needs=("first",), settings=("per_kind",)),
        Stage("alone", "Alone", alone, settings=("target",)),
    ]


def context_in(folder, **settings) -> Context:
    return Context(RunConfig(**settings), folder, test=None, tuning=None, classifier=SimpleNamespace())


def told(runs) -> dict[str, tuple[str, str]]:
    return {run.name: (run.status, run.reason) for run in runs}


def test_a_first_run_runs_everything_and_hands_outputs_on(tmp_path, calls):
    reported = []
    context, runs = run_stages(stages_of(calls), context_in(tmp_path, seed=7), INPUTS, reported.append)
    assert calls == ["first", "second", "alone"]
    assert context.outputs["second"] == {"from first": 7, "left": False}
    assert set(told(runs).values()) == {("ran", "there is no earlier output")}
    assert reported == runs
    assert all(run.seconds >= 0 and len(run.key) == 16 for run in runs)


def test_a_second_run_runs_nothing_and_sees_the_same(tmp_path, calls):
    first, keys = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    calls.clear()
    second, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert calls == []
    assert set(told(runs).values()) == {("reused", "nothing that it depends on changed")}
    assert first.outputs == second.outputs
    assert [run.key for run in keys] == [run.key for run in runs]


@pytest.mark.parametrize(
    ("settings", "inputs", "ran"),
    [
        ({"seed": 1}, {}, {"first": "the setting seed", "second": "the stage first"}),
        ({"per_kind": 2}, {}, {"second": "the setting per_kind"}),
        ({"target": "cat"}, {}, {"alone": "the setting target"}),
        ({"batch_size": 3}, {}, {}),
        ({}, {"the weights": "2"}, dict.fromkeys(("first", "second", "alone"), "the weights")),
    ],
)
def test_only_what_depends_on_a_change_runs_again(tmp_path, calls, settings, inputs, ran):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    _, runs = run_stages(stages_of(calls), context_in(tmp_path, **settings), INPUTS | inputs)
    again = {name: reason for name, (status, reason) in told(runs).items() if status == "ran"}
    assert again.keys() == ran.keys()
    assert all(reason.startswith("changed: ") and ran[name] in reason for name, reason in again.items())


def test_going_back_to_earlier_settings_uses_their_output(tmp_path, calls):
    for seed in (1, 2, 1):
        context, runs = run_stages(stages_of(calls), context_in(tmp_path, seed=seed), INPUTS)
    assert told(runs)["first"][0] == "reused"
    assert context.outputs["second"]["from first"] == 1


def test_a_change_of_code_or_libraries_runs_again(tmp_path, calls, monkeypatch):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    monkeypatch.setattr(runner, "code_fingerprint", lambda module: "other code")
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["first"] == ("ran", "changed: the code")
    monkeypatch.setattr(runner, "versions", lambda: {"numpy": "0"})
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["alone"] == ("ran", "changed: the library versions")


def test_an_interrupted_stage_finds_what_it_left(tmp_path, calls):
    with pytest.raises(KeyboardInterrupt):
        run_stages(stages_of(calls, fail="second"), context_in(tmp_path), INPUTS)
    calls.clear()
    context, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert calls == ["second", "alone"]
    assert told(runs)["second"] == ("ran", "the earlier run did not end")
    assert context.outputs["second"]["left"]


def test_going_back_makes_files_again_that_other_settings_wrote_over(tmp_path, calls):
    def draw(context):
        (context.folder / "figure.txt").write_text(f"drawn with {context.config.seed}")
        return {"files": ["figure.txt"]}

    stage = Stage("draw", "Draw", draw, settings=("seed",))
    for seed in (1, 2, 1):
        _, runs = run_stages([stage], context_in(tmp_path, seed=seed), INPUTS)
    assert told(runs)["draw"] == ("ran", "figure.txt is not what this stage wrote")
    assert (tmp_path / "figure.txt").read_text() == "drawn with 1"
    _, runs = run_stages([stage], context_in(tmp_path, seed=1), INPUTS)
    assert told(runs)["draw"][0] == "reused"


def test_every_file_that_does_not_hold_is_taken_away_before_a_stage_goes_on(tmp_path, calls):
    def keep(context):
        for name in ("a", "b", "c"):
            path = context.folder / name
            if not path.exists():
                path.write_text(name)
        return {"files": ["a", "b", "c"]}

    stage = Stage("keep", "Keep", keep)
    run_stages([stage], context_in(tmp_path), INPUTS)
    (tmp_path / "a").write_text("other")
    (tmp_path / "c").write_text("other")
    _, runs = run_stages([stage], context_in(tmp_path), INPUTS)
    assert told(runs)["keep"] == ("ran", "a is not what this stage wrote")
    assert [(tmp_path / name).read_text() for name in ("a", "b", "c")] == ["a", "b", "c"]


def test_an_input_that_a_stage_claims_makes_only_that_run_again(tmp_path, calls):
    stages = [replace(stages_of(calls)[0], inputs=("the masks",)), *stages_of(calls)[1:]]
    run_stages(stages, context_in(tmp_path), INPUTS | {"the masks": "1"})
    _, runs = run_stages(stages, context_in(tmp_path), INPUTS | {"the masks": "2"})
    done = told(runs)
    assert done["first"] == ("ran", "changed: the masks")
    assert done["second"] == ("ran", "changed: the stage first")
    assert done["alone"][0] == "reused"


def test_a_file_that_is_gone_is_made_again(tmp_path, calls):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    (tmp_path / "figure.txt").unlink()
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["alone"] == ("ran", "figure.txt is gone")
    assert (tmp_path / "figure.txt").read_text() == "drawn"


@pytest.mark.parametrize("left", ["", '{"files": ["fig'])
def test_a_damaged_output_is_made_again(tmp_path, calls, left):
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    (tmp_path / "stages" / "alone" / f"{runs[-1].key}.json").write_text(left)
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["alone"] == ("ran", "the earlier output is damaged")
    assert told(runs)["first"][0] == "reused"


def test_an_output_is_seen_as_json_gives_it_back(tmp_path, calls):
    stage = Stage("pair", "Pair", lambda context: {"pair": (1, 2)})
    for _ in range(2):
        context, _ = run_stages([stage], context_in(tmp_path), INPUTS)
        assert context.outputs["pair"] == {"pair": [1, 2]}


def test_a_stage_that_returns_nothing_is_used_again(tmp_path, calls):
    stage = Stage("none", "None", lambda context: calls.append("none"))
    for _ in range(2):
        context, _ = run_stages([stage], context_in(tmp_path), INPUTS)
    assert (calls, context.outputs["none"]) == (["none"], None)


def test_what_a_stage_depends_on_is_left_beside_its_output(tmp_path, calls):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    left = json.loads((tmp_path / "stages" / "second" / "last.json").read_text())
    assert left["the setting per_kind"] == "4"
    assert left.keys() >= {"the images", "the weights", "the stage first", "the code", "the library versions"}


def test_the_order_of_the_inputs_makes_no_difference(tmp_path, calls):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    turned = dict(reversed(INPUTS.items()))
    _, runs = run_stages(stages_of(calls), replace(context_in(tmp_path)), turned)
    assert {status for status, _ in told(runs).values()} == {"reused"}
