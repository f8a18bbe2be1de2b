"""The stages of a run: what is run, what is used again, and what is said about it."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dogcam.errors import DataError, RecordError
from dogcam.files.states import Sources
from report.config import RunConfig
from report.pipeline import runner
from report.pipeline.context import Context
from report.pipeline.runner import Stage, run_stages

INPUTS = {"the images": "1", "the weights": "1"}
FIGURE = "figures/a.svg"


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


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
        write(context.folder / FIGURE, "drawn")
        return {"files": [FIGURE]}

    return [
        Stage("first", "First", first, settings=("seed",)),
        Stage("second", "Second", second, needs=("first",), settings=("per_type",)),
        Stage("alone", "Alone", alone, settings=("target",)),
    ]


def context_in(folder, **settings) -> Context:
    return Context(RunConfig(**settings), folder, reported=None, tuning=None, classifier=SimpleNamespace())


def told(runs) -> dict[str, tuple[str, str]]:
    return {run.name: (run.status, run.reason) for run in runs}


def test_a_first_run_runs_everything_and_hands_outputs_on(tmp_path, calls):
    reported = []
    context, runs = run_stages(stages_of(calls), context_in(tmp_path, seed=7), INPUTS, reported.append)
    assert calls == ["first", "second", "alone"]
    assert context.outputs["second"] == {"from first": 7, "left": False}
    assert set(told(runs).values()) == {("ran", "no cached result")}
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
        ({"per_type": 2}, {}, {"second": "the setting per_type"}),
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
        write(context.folder / FIGURE, f"drawn with {context.config.seed}")
        return {"files": [FIGURE]}

    stage = Stage("draw", "Draw", draw, settings=("seed",))
    for seed in (1, 2, 1):
        _, runs = run_stages([stage], context_in(tmp_path, seed=seed), INPUTS)
    assert told(runs)["draw"] == ("ran", f"{FIGURE} is not what this stage wrote")
    assert (tmp_path / FIGURE).read_text() == "drawn with 1"
    _, runs = run_stages([stage], context_in(tmp_path, seed=1), INPUTS)
    assert told(runs)["draw"][0] == "reused"


def test_every_file_that_does_not_hold_is_taken_away_before_a_stage_goes_on(tmp_path, calls):
    def keep(context):
        paths = [context.workspace / name for name in ("a", "b", "c")]
        for path in paths:
            if not path.exists():
                path.write_text(path.name)
        return {"files": [path.relative_to(context.folder).as_posix() for path in paths]}

    stage = Stage("keep", "Keep", keep)
    context, _ = run_stages([stage], context_in(tmp_path), INPUTS)
    names = context.outputs["keep"]["files"]
    (tmp_path / names[0]).write_text("other")
    (tmp_path / names[2]).write_text("other")
    _, runs = run_stages([stage], context_in(tmp_path), INPUTS)
    assert told(runs)["keep"] == ("ran", f"{names[0]} is not what this stage wrote")
    assert [(tmp_path / name).read_text() for name in names] == ["a", "b", "c"]


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
    (tmp_path / FIGURE).unlink()
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["alone"] == ("ran", f"{FIGURE} is gone")
    assert (tmp_path / FIGURE).read_text() == "drawn"


def output_of(run, folder):
    """The file in which a stage's output is stored."""
    return folder / "stages" / run.name / f"{run.key}.json"


def changed_digit(path):
    text = path.read_text()
    path.write_text(text.replace('"seed": 2007', '"seed": 2008'))


def in_a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


DAMAGES = {
    "empty": lambda path: path.write_text(""),
    "cut": lambda path: path.write_text(path.read_text()[:20]),
    "null": lambda path: path.write_text("null"),
    "a list": lambda path: path.write_text("[]"),
    "an empty object": lambda path: path.write_text("{}"),
    "a null output": lambda path: path.write_text('{"seal": "", "output": null, "files": {}}'),
    "a digit changed": changed_digit,
    "a folder": in_a_folder,
    "nested deeply": lambda path: path.write_text("[" * 5000),
    "bytes": lambda path: path.write_bytes(b"\xff\x00"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_output_is_made_again(tmp_path, calls, damage):
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    DAMAGES[damage](output_of(runs[0], tmp_path))
    context, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    status, reason = told(runs)["first"]
    assert (status, "damaged" in reason) == ("ran", True), reason
    assert told(runs)["alone"][0] == "reused"
    assert context.outputs["first"] == {"seed": 2007}


def test_a_folder_in_the_place_of_the_notes_is_removed(tmp_path, calls):
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    notes = tmp_path / "stages" / "first" / "last.json"
    content = notes.read_bytes()
    in_a_folder(notes)
    _, runs = run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    assert told(runs)["first"][0] == "reused"
    assert notes.read_bytes() == content


def test_the_output_of_another_run_is_noticed(tmp_path, calls):
    _, theirs = run_stages(stages_of(calls), context_in(tmp_path / "theirs", seed=1), INPUTS)
    _, ours = run_stages(stages_of(calls), context_in(tmp_path / "ours", seed=2), INPUTS)
    theirs, ours = output_of(theirs[0], tmp_path / "theirs"), output_of(ours[0], tmp_path / "ours")
    ours.write_bytes(theirs.read_bytes())
    context, runs = run_stages(stages_of(calls), context_in(tmp_path / "ours", seed=2), INPUTS)
    assert "checksum" in told(runs)["first"][1]
    assert context.outputs["first"] == {"seed": 2}


@pytest.mark.parametrize("content", ["null", "[]", "7", "[1, 2]", "{", ""])
def test_a_damaged_list_of_ingredients_is_no_fault(tmp_path, calls, content):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    (tmp_path / "stages" / "first" / "last.json").write_text(content)
    _, runs = run_stages(stages_of(calls), context_in(tmp_path, seed=1), INPUTS)
    assert told(runs)["first"][0] == "ran"


def test_an_output_of_another_type_is_made_again(tmp_path, calls):
    stage = Stage("number", "Number", lambda context: {"value": 1}, output=dict[str, int])
    run_stages([stage], context_in(tmp_path), INPUTS)
    _, runs = run_stages(
        [replace(stage, run=lambda context: {"value": [1]}, output=dict[str, list[int]])],
        context_in(tmp_path),
        INPUTS,
    )
    assert told(runs)["number"] == ("ran", "the earlier output has another form (value)")


def listing(run, folder, name):
    """Let a sealed output list another file, with a seal that fits."""
    path = output_of(run, folder)
    document = json.loads(path.read_text())
    document["output"]["files"].append(name)
    document["files"][name] = "0" * 64
    stage = Stage(run.name, run.title, lambda context: None)
    ingredients = json.loads((path.parent / "last.json").read_text())
    plan = runner._Plan(folder, stage, ingredients)
    content = {key: document[key] for key in ("output", "files")}
    path.write_text(json.dumps({"seal": plan.seal(content), **content}))


FOREIGN = [
    "../precious.txt", "ABSOLUTE", "gallery/../../precious.txt", "link/precious.txt", "report.html",
    "stages/first/last.json", "figures",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_elsewhere_is_never_removed(tmp_path, calls, name):
    run, precious = tmp_path / "run", tmp_path / "precious.txt"
    precious.write_text("precious")
    _, runs = run_stages(stages_of(calls), context_in(run), INPUTS)
    (run / "link").symlink_to(tmp_path)
    (run / "report.html").write_text("page")
    listing(runs[-1], run, str(precious) if name == "ABSOLUTE" else name)
    _, runs = run_stages(stages_of(calls), context_in(run), INPUTS)
    assert told(runs)["alone"] == ("ran", "the earlier output is damaged")
    assert precious.read_text() == "precious"
    assert (run / "report.html").read_text() == "page"
    assert (run / "stages" / "first" / "last.json").is_file()


@pytest.mark.parametrize("name", ["stages/first", "figures"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path, calls, name):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (run / "stages").mkdir(parents=True)
    elsewhere.mkdir()
    (run / name).symlink_to(elsewhere)
    with pytest.raises(RecordError, match=re.escape(str(elsewhere))):
        run_stages(stages_of(calls), context_in(run), INPUTS)
    assert list(elsewhere.iterdir()) == []


def test_an_image_that_changes_while_a_stage_runs_leaves_no_output(tmp_path, calls):
    image = tmp_path / "a.jpg"
    image.write_bytes(b"pixels")

    def look(context):
        image.write_bytes(b"others")
        image.write_bytes(b"pixels")
        return "seen"

    stage = Stage("look", "Look", look)
    context = replace(context_in(tmp_path / "run"), sources=Sources([image]))
    with pytest.raises(DataError, match=re.escape(str(image))):
        run_stages([stage], context, INPUTS)
    quiet = replace(stage, run=lambda context: "seen again")
    context, runs = run_stages([quiet], context_in(tmp_path / "run"), INPUTS)
    assert told(runs)["look"] == ("ran", "the earlier run did not end")
    assert context.outputs["look"] == "seen again"


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
    assert left["the setting per_type"] == "4"
    assert left.keys() >= {"the images", "the weights", "the stage first", "the code", "the library versions"}


def test_the_order_of_the_inputs_makes_no_difference(tmp_path, calls):
    run_stages(stages_of(calls), context_in(tmp_path), INPUTS)
    turned = dict(reversed(INPUTS.items()))
    _, runs = run_stages(stages_of(calls), replace(context_in(tmp_path)), turned)
    assert {status for status, _ in told(runs).values()} == {"reused"}
