"""`dogcam-report` from end to end: what a run leaves, what it uses again, and how it ends on bad input."""

import json
import re
import shutil
from pathlib import Path

import pytest

from dogcam.detection import detector
from dogcam.files.locks import dir_lock
from tests.support import runs as fixtures
from tests.support.runs import (
    BATCH,
    STAGE_NAMES,
    assert_one_line,
    invoke,
    options,
    reasons,
    record_of,
    statuses,
)


@pytest.fixture
def again(small_data, small_checkpoint, copied, quick_runs):
    """Run the experiment once more in a copy of the finished run."""

    def run(*more: str):
        result = invoke(options(small_data, small_checkpoint, copied, *more))
        assert result.exit_code == 0, result.output
        return record_of(copied)

    return run


def batches(run: Path) -> dict[str, int]:
    """When each batch of predictions was written."""
    found = (run / "stages" / "predict").glob("*/*.npz")
    return {path.relative_to(run).as_posix(): path.stat().st_mtime_ns for path in found}


def without_timings(record: dict) -> dict:
    return {**record, "seal": None, "run": {**record["run"], "stages": None, "finished": None}}


def test_a_run_leaves_its_four_files_and_says_where_the_report_is(first_run):
    result, out = first_run
    assert result.exit_code == 0
    for name in ("report.html", "report.md", "results.json", "detections.csv"):
        assert (out / name).stat().st_size > 0
    assert result.output.splitlines()[-1] == f"The report is at {out / 'report.html'}"
    assert result.stdout == f"The report is at {out / 'report.html'}\n"
    assert statuses(out) == dict.fromkeys(STAGE_NAMES, "ran")
    assert set(reasons(out).values()) == {"no cached result"}
    told = [line.split()[:2] for line in result.stderr.splitlines() if line.split()[1:2] == ["ran"]]
    assert told == [[name, "ran"] for name in STAGE_NAMES]
    assert not list(out.rglob("*.part"))


def test_the_table_of_boxes_names_every_method_and_image(finished, small_data):
    found = fixtures.found_boxes(finished)
    methods = record_of(finished)["detection"]["methods"]
    assert {name: len(lines) for name, lines in found.items()} == {
        method["name"]: method["rows"][0]["n_detections"] for method in methods
    }
    listed = (small_data / "ImageSets" / "Main" / "test.txt").read_text().split()
    assert [image for image, _, _ in found["full_image"]] == listed


def test_a_second_run_uses_everything_again(again, finished, copied):
    before = batches(copied)
    record = again()
    assert statuses(copied) == dict.fromkeys(STAGE_NAMES, "reused")
    assert set(reasons(copied).values()) == {"nothing that it depends on changed"}
    first = record_of(finished)
    assert without_timings(record) == without_timings(first)
    assert batches(copied) == before
    assert (copied / "detections.csv").read_bytes() == (finished / "detections.csv").read_bytes()


def test_a_batch_that_is_gone_is_the_only_one_made_again(again, finished, copied):
    before = batches(copied)
    gone = next(name for name in before if name.endswith("reported-00001.npz"))
    (copied / gone).unlink()
    record = again()
    expected = dict.fromkeys(STAGE_NAMES, "reused") | {"predict": "ran"}
    assert statuses(copied) == expected
    assert reasons(copied)["predict"] == f"{gone} is gone"
    after = batches(copied)
    assert {name for name in before if before[name] != after.get(name)} == {gone}
    assert without_timings(record) == without_timings(record_of(finished))


def test_a_picture_that_is_gone_is_drawn_again(again, copied):
    gone = "gallery/missed-0.webp"
    (copied / gone).unlink()
    again()
    assert statuses(copied) == dict.fromkeys(STAGE_NAMES, "reused") | {"draw": "ran"}
    assert reasons(copied)["draw"] == f"{gone} is gone"
    assert (copied / gone).is_file()


def test_another_seed_leaves_predictions_and_boxes_alone(again, finished, copied):
    record = again("--seed", "1")
    ran = {name for name, status in statuses(copied).items() if status == "ran"}
    assert ran == set(statuses(finished)) - {"predict", "localise"}
    assert reasons(copied)["evaluate"] == "changed: the setting seed"
    first = record_of(finished)
    for ours, theirs in zip(record["detection"]["methods"], first["detection"]["methods"], strict=True):
        assert [row["ap"] for row in ours["rows"]] == [row["ap"] for row in theirs["rows"]]
    assert record["detection"]["bootstrap_seed"] == record["failures"]["seed"] == 1
    assert record["detection"] != first["detection"], "intervals come from the resamples"


def test_a_precision_is_asked_for_on_the_tuning_split(again, finished, copied):
    record = again("--precision", "0.99")
    point, plain = record["operating_point"], record_of(finished)["operating_point"]
    assert (point["rule"], point["asked_precision"]) == ("precision", 0.99)
    assert (plain["rule"], plain["asked_precision"]) == ("best_f1", None)
    assert point["score_threshold"] > plain["score_threshold"]
    assert {name for name, status in statuses(copied).items() if status == "ran"} >= {"evaluate", "analyse"}
    page = (copied / "report.md").read_text(encoding="utf-8")
    assert "with a precision of at least 99.0" in page
    assert "best F1" not in page


def test_a_precision_that_cannot_be_had_is_refused(small_data, tmp_path):
    blind = fixtures.write_blind_checkpoint(tmp_path / "blind.safetensors")
    result = invoke(options(small_data, blind, tmp_path / "run", "--precision", "0.5"))
    assert_one_line(result, 1, "no score threshold reaches the precision 0.5 at IoU 0.5 on val", "0.000")


def test_a_precision_needs_a_split_to_reach_it_on(small_data, small_checkpoint, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(small_data, alone)
    for split in ("train", "val"):
        (alone / "ImageSets" / "Main" / f"{split}.txt").unlink()
    words = [str(word) for word in options(alone, small_checkpoint, tmp_path / "run", "--precision", "0.5")]
    place = words.index("--tuning-split")
    result = invoke([*words[:place], *words[place + 2 :]])
    assert_one_line(result, 1, "a precision of 0.5 was asked for", "--tuning-split")


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_stopped(
    small_data, small_checkpoint, finished, tmp_path, quick_drawings, monkeypatch
):
    """The third batch is interrupted as by Ctrl-C; what was finished stays, and is not computed again."""
    explain, calls = detector.explain, []

    def interrupted(network, images, *rest):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return explain(network, images, *rest)

    monkeypatch.setattr(detector, "explain", interrupted)
    arguments = options(small_data, small_checkpoint, tmp_path / "run")
    result = invoke(arguments)
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    kept = batches(tmp_path / "run")
    assert len(kept) == 2
    assert not (tmp_path / "run" / "results.json").exists()
    assert not list(tmp_path.rglob("*.part"))

    assert invoke(arguments).exit_code == 0
    n_batches = (fixtures.N_TEST + fixtures.N_TUNING) // BATCH
    assert len(calls) == 3 + n_batches - 2
    assert kept.items() <= batches(tmp_path / "run").items()
    assert reasons(tmp_path / "run")["predict"] == "the earlier run did not end"
    resumed, whole = (without_timings(record_of(each)) for each in (tmp_path / "run", finished))
    # `quick_drawings` replaces the figures of this run, not those of the other.
    assert resumed.pop("files").keys() == whole.pop("files").keys()
    assert resumed == whole


def test_the_time_comes_from_the_environment_where_it_states_one(again, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert again()["run"]["finished"] == "1970-01-02T00:00:00+00:00"


def test_a_time_that_is_none_is_named(small_data, small_checkpoint, copied, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    result = invoke(options(small_data, small_checkpoint, copied))
    assert_one_line(result, 1, "SOURCE_DATE_EPOCH", "'yesterday'")


@pytest.mark.slow
def test_a_network_that_finds_nothing_still_gets_its_report(small_data, tmp_path, quick_runs):
    blind = fixtures.write_blind_checkpoint(tmp_path / "blind.safetensors")
    result = invoke(options(small_data, blind, tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert "n/a" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert invoke(["check", str(tmp_path / "run")]).exit_code == 0


@pytest.mark.slow
def test_a_data_set_of_one_split_needs_no_masks_and_no_tuning(
    small_data, small_checkpoint, tmp_path, quick_runs
):
    data = Path(shutil.copytree(small_data, tmp_path / "data"))
    shutil.rmtree(data / "SegmentationClass")
    for name in ("train", "val"):
        (data / "ImageSets" / "Main" / f"{name}.txt").unlink()
    arguments = options(data, small_checkpoint, tmp_path / "run")
    at = arguments.index("--tuning-split")
    result = invoke(arguments[:at] + arguments[at + 2 :])
    assert result.exit_code == 0, result.output
    record = record_of(tmp_path / "run")
    assert record["data"]["tuning"] is record["segmentation"] is record["config"]["tuning_split"] is None
    assert invoke(["check", str(tmp_path / "run")]).exit_code == 0


@pytest.fixture
def spoiled(small_data, small_checkpoint, tmp_path):
    """A copy of the data to spoil, and the command on it."""
    data = Path(shutil.copytree(small_data, tmp_path / "data"))

    def run(*more: str):
        return invoke(options(data, small_checkpoint, tmp_path / "run", *more))

    return data, run


def test_a_missing_folder_is_named(small_checkpoint, tmp_path):
    result = invoke(options(tmp_path / "nowhere", small_checkpoint, tmp_path / "run"))
    assert_one_line(result, 1, str(tmp_path / "nowhere"), "does not exist", "voc", "yolo", "coco")


def test_a_folder_of_another_layout_is_named(small_checkpoint, tmp_path):
    (tmp_path / "photographs").mkdir()
    result = invoke(options(tmp_path / "photographs", small_checkpoint, tmp_path / "run"))
    assert_one_line(result, 1, str(tmp_path / "photographs"), "voc", "yolo", "coco")


def test_a_missing_split_is_named(spoiled):
    _, run = spoiled
    assert_one_line(run("--split", "minival"), 1, "minival.txt does not exist", "test, train, val")


def test_tuning_on_the_split_reported_on_is_refused(spoiled):
    _, run = spoiled
    assert_one_line(run("--tuning-split", "test"), 1, "'test' cannot serve for tuning")


def test_splits_that_share_an_image_are_refused(spoiled):
    data, run = spoiled
    lists = data / "ImageSets" / "Main"
    with (lists / "val.txt").open("a") as file:
        file.write((lists / "test.txt").read_text().split()[3] + "\n")
    assert_one_line(run(), 1, "'test' and 'val' share 1 images (test00003, ...)")


def test_every_damaged_photograph_is_named_before_the_work(spoiled, tmp_path):
    data, run = spoiled
    paths = [data / "JPEGImages" / f"{name}.jpg" for name in ("test00003", "test00019")]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-300])
    result = run()
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert [str(path) in result.stderr for path in paths] == [True, True]
    assert not batches(tmp_path / "run")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[:100], "is not a VOC annotation"),
        (lambda text: text.replace("<width>", "<width>x"), "is not a VOC annotation"),
        (lambda text: text.replace("<xmax>", "<xmax>9999"), "extends beyond the image"),
        (lambda text: text.replace("<height>", "<height>9"), "pixels, but"),
    ],
    ids=["cut short", "no number", "a box outside", "another size"],
)
def test_a_broken_annotation_is_named(spoiled, spoil, said):
    data, run = spoiled
    paths = sorted((data / "Annotations").glob("test*.xml"))
    path = next(path for path in paths if "<xmax>" in path.read_text())
    path.write_text(spoil(path.read_text()))
    assert_one_line(run(), 1, path.name, said)


def test_a_missing_photograph_is_named(spoiled):
    data, run = spoiled
    path = data / "JPEGImages" / "test00000.jpg"
    path.unlink()
    assert_one_line(run(), 1, str(path), "cannot be read")


def test_a_target_that_nobody_annotated_is_named(spoiled):
    _, run = spoiled
    assert_one_line(run("--target", "unicorn"), 1, "no 'unicorn' is annotated", "dog")


def test_a_target_that_the_network_does_not_know_is_named(small_data, tmp_path):
    from dogcam.models.networks import sample_net

    few = fixtures.save(tmp_path / "few.safetensors", sample_net(2), ("cat", "horse"))
    result = invoke(options(small_data, few, tmp_path / "run"))
    assert_one_line(result, 1, "sample_net has no class 'dog'", "cat, horse")


@pytest.mark.parametrize("content", [None, b"", b"garbage " * 100])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_checkpoint_that_is_none_is_named(small_data, tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert_one_line(invoke(options(small_data, path, tmp_path / "run")), 1, str(path))


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (["--model", "resnet999"], 1, "there is no model 'resnet999'"),
        (["--limit", "many"], 2, "--limit"),
        (["--limit", "0"], 1, "limit: "),
        (["--batch-size", "-1"], 1, "batch_size: "),
        (["--cam-threshold", "1.5"], 1, "cam_threshold: "),
        (["--seed", "-1"], 1, "seed: "),
        (["--device", "abacus"], 1, "'abacus'"),
    ],
)
def test_a_bad_option_is_named(spoiled, more, status, said):
    _, run = spoiled
    assert_one_line(run(*more), status, said)


def test_a_file_in_the_place_of_the_run_s_folder_is_a_usage_error(small_data, small_checkpoint, tmp_path):
    (tmp_path / "run").write_text("a file")
    assert_one_line(invoke(options(small_data, small_checkpoint, tmp_path / "run")), 2, "--out")
    assert (tmp_path / "run").read_text() == "a file"


def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(small_checkpoint, tmp_path):
    (tmp_path / "file").write_text("a file")
    result = invoke(options(tmp_path / "nowhere", small_checkpoint, tmp_path / "file" / "run"))
    assert_one_line(result, 1, "file/run", "cannot be written")


def test_a_folder_that_another_run_holds_is_left_alone(small_data, small_checkpoint, copied):
    before = (copied / "results.json").read_bytes()
    with dir_lock(copied):
        result = invoke(options(small_data, small_checkpoint, copied, "--seed", "1"))
    assert_one_line(result, 1, "another program is writing to")
    assert (copied / "results.json").read_bytes() == before


def test_what_a_killed_run_was_writing_is_cleared_away(copied, again):
    parts = [copied / "figures" / ".scores.svg.1.part", copied / "stages" / "draw" / ".x.json.1.part"]
    for part in parts:
        part.write_text("half")
    again()
    assert not any(part.exists() for part in parts)


def test_settings_that_come_back_bring_their_pictures_back(copied, again):
    before = {path.name: path.read_bytes() for path in (copied / "gallery").iterdir()}
    again("--seed", "1", "--cam-threshold", "0.6")
    assert any((copied / "gallery" / name).read_bytes() != found for name, found in before.items())
    again()
    assert statuses(copied)["draw"] == "ran" and "is not what this stage wrote" in reasons(copied)["draw"]
    assert all((copied / "gallery" / name).read_bytes() == found for name, found in before.items())


@pytest.mark.slow
def test_masks_that_are_mended_run_again_what_looks_at_them(small_data, small_checkpoint, copied, tmp_path):
    data = shutil.copytree(small_data, tmp_path / small_data.name)
    for mask in (data / "SegmentationClass").iterdir():
        mask.unlink()
    assert invoke(options(data, small_checkpoint, copied)).exit_code == 0
    ran = {name: reasons(copied)[name] for name, status in statuses(copied).items() if status == "ran"}
    assert ran == {
        **dict.fromkeys(("measure_maps", "segment"), "changed: the masks"),
        "picture": "changed: the masks, the stage segment",
    }
    assert record_of(copied)["segmentation"] is None


def test_without_a_tuning_split_nothing_is_chosen(copied, again):
    record = again("--tuning-split", "none")
    assert record["data"]["tuning"] is None and not any(each["chosen"] for each in record["tuning"])


def test_a_part_that_is_tuned_on_is_kept_by_its_name(again):
    record = again("--tuning-split", "val[:4]")
    assert record["config"]["tuning_split"] == record["data"]["tuning"]["name"] == "val[:4]"
    assert record["data"]["tuning"]["n_images"] == 4


@pytest.mark.parametrize("command", ["render", "check"])
def test_a_folder_without_a_record_is_named(command, tmp_path):
    assert_one_line(invoke([command, str(tmp_path)]), 1, str(tmp_path / "results.json"), "cannot be read")
    assert_one_line(invoke([command, str(tmp_path / "nowhere")]), 2, "nowhere")
    (tmp_path / "results.json").write_text("{")
    assert_one_line(invoke([command, str(tmp_path)]), 1, str(tmp_path / "results.json"), "is not valid JSON")
    assert_one_line(invoke([command, str(tmp_path / "results.json")]), 2, "is a file")


def test_what_the_record_keeps_of_the_settings(finished, small_data):
    record = record_of(finished)
    config = record["config"]
    assert (config["split"], config["tuning_split"], config["batch_size"]) == ("test", "val", BATCH)
    assert record["data"]["name"] == small_data.name
    assert record["model"]["source"] == "checkpoint tiny.safetensors"
    assert str(small_data) not in json.dumps(record)


def test_the_readme_lists_what_a_run_leaves(finished):
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w.]+/?)`", text.split("## What a run writes")[1].split("\n## ")[0])
    assert {path.name + "/" * path.is_dir() for path in finished.iterdir()} <= set(named)
