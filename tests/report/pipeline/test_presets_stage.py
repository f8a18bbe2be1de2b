"""The stages of the detection presets: their boxes, what resumes them, what they measure, who cannot run."""

import itertools
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.detection.ablation import steps_to
from dogcam.detection.observer import Observer
from dogcam.detection.presets import find_preset, locator
from dogcam.errors import ModelError, RecordError
from dogcam.evaluate.metrics import Resampler, match, precision_recall
from dogcam.models.classifier import load_classifier
from dogcam.structures.boxes import iou
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.presets import LOCALISER, PRESET_NAMES
from report import record as results
from report.config import RunConfig
from report.pipeline import engines, workers
from report.pipeline.context import Context
from report.pipeline.engines import Engine, Held, pickled
from report.pipeline.experiment import STAGES
from report.pipeline.held import content, hold
from report.pipeline.runner import run_stages
from report.pipeline.shared.boxes import compared, correlation
from report.pipeline.shared.preset_boxes import preset_boxes, preset_rows
from report.pipeline.stages import presets
from tests.support.localisers import localiser_for
from tests.support.stages import SETTINGS

N_REPORTED, N_TUNING = 9, 2
PROPOSALS = tuple(name for name in PRESET_NAMES if name != LOCALISER)
RUN = ("predict", "localise", "presets", "evaluate", "ablation")


def first(split, number: int):
    return replace(split, images=split.images[:number])


@pytest.fixture(scope="module")
def make(small_data, small_checkpoint):
    """Return a function that makes a context of a few images, without stages."""
    classifier = load_classifier("sample_net", small_checkpoint, "cpu")

    def make(folder, **settings) -> Context:
        chosen = {"presets": PROPOSALS, **SETTINGS, **settings}
        return Context(
            RunConfig(data=str(small_data), **chosen), folder,
            first(read_split(small_data, "test"), N_REPORTED), first(read_split(small_data, "val"), N_TUNING),
            classifier,
        )  # fmt: skip

    return make


def stages(*names: str):
    return [stage for stage in STAGES if stage.name in names]


def run_alone(context: Context) -> dict:
    """Run the stage of the boxes in its folder."""
    workspace = context.folder / "stages" / "presets" / "key"
    workspace.mkdir(parents=True, exist_ok=True)
    return presets.run(replace(context, workspace=workspace))


@pytest.fixture(scope="module")
def measured(make, tmp_path_factory):
    """The context after all stages of the presets, for two classes."""
    context = make(tmp_path_factory.mktemp("presets"), targets=("cat", "dog"))
    return run_stages(stages(*RUN), context, {})[0]


def found_of(context: Context, role: str = "reported") -> list[dict]:
    return [each.found for each in preset_boxes(context, role)]


@pytest.mark.parametrize("name", PROPOSALS)
@pytest.mark.parametrize("place", [0, N_REPORTED - 1])
def test_the_boxes_are_those_of_the_preset(measured, name, place):
    find = locator(find_preset(name), measured.classifier, ["dog"])
    [(boxes, scores)] = find(read_pixels(measured.reported.images[place]))
    found = np.array(preset_rows(measured, name)[place]).reshape(-1, 5)
    np.testing.assert_allclose(found, np.column_stack([boxes, scores]), rtol=1e-4, atol=1e-3)


def test_another_class_has_its_own_boxes(measured):
    [(boxes, scores)] = locator(find_preset("best"), measured.classifier, ["cat"])(
        read_pixels(measured.reported.images[3])
    )
    found = np.array(preset_rows(measured, "best", target="cat")[3]).reshape(-1, 5)
    np.testing.assert_allclose(found, np.column_stack([boxes, scores]), rtol=1e-4, atol=1e-3)
    assert set(found_of(measured)[3]["best"]) == {"dog", "cat"}


def test_the_tuning_split_has_the_presets_of_the_target_alone(measured):
    for each in found_of(measured, "tuning"):
        assert set(each) == set(PROPOSALS) and all(set(found) == {"dog"} for found in each.values())


def test_a_second_run_computes_nothing(measured):
    again = replace(measured, outputs={}, memo={})
    _, runs = run_stages(stages(*RUN), again, {})
    assert {run.status for run in runs} == {"reused"}


def test_runs_without_presets_keep_their_results(make, tmp_path):
    context = make(tmp_path, presets=())
    names = ("predict", "localise", "evaluate")
    first_run, _ = run_stages(stages(*names), context, {})
    asked = replace(context, config=context.config.model_copy(update={"presets": PROPOSALS}))
    after, runs = run_stages(stages(*RUN), asked, {})
    assert {run.name: run.status for run in runs if run.name in names} == {
        "predict": "reused", "localise": "reused", "evaluate": "ran",
    }  # fmt: skip
    before, now = (each.outputs["evaluate"]["detection"] for each in (first_run, after))
    n = len(before["methods"])
    assert now["methods"][:n] == before["methods"]
    assert [each["name"] for each in now["methods"][n:]] == list(PROPOSALS)
    assert before["points"] == now["points"]
    _, runs = run_stages(stages(*names), context, {})
    assert {run.status for run in runs} == {"reused"}


def test_a_localiser_is_a_preset_after_the_proposals_of_its_views(make, tmp_path):
    context = make(tmp_path)
    localiser, path = localiser_for(context.classifier), tmp_path / "localiser.safetensors"
    localiser.save(path)
    presets_too = {"presets": ("published", LOCALISER), "localiser": str(path)}
    context = replace(context, config=context.config.model_copy(update=presets_too))
    names = ("predict", "localise", "presets", "ablation")
    context, _ = run_stages(stages(*names), context, {"the localiser": "1"})
    [(boxes, scores)] = locator(find_preset(LOCALISER), context.classifier, ["dog"], localiser)(
        read_pixels(context.reported.images[1])
    )
    found = np.array(preset_rows(context, LOCALISER)[1]).reshape(-1, 5)
    np.testing.assert_allclose(found, np.column_stack([boxes, scores]), rtol=1e-4, atol=1e-3)
    assert len(found)
    measured = results.Presets(**context.outputs["ablation"])
    assert measured.ablated == LOCALISER and [each.name for each in measured.measured] == [
        "published",
        LOCALISER,
    ]
    assert [step.name for step in measured.steps][-2:] == ["size", LOCALISER]
    _, runs = run_stages(stages(*names), context, {"the localiser": "2"})
    assert {run.name: run.status for run in runs} == {
        "predict": "reused", "localise": "reused", "presets": "ran", "ablation": "ran",
    }  # fmt: skip


def test_a_view_is_made_once_with_and_without_the_boxes_of_a_localiser(make, tmp_path, monkeypatch):
    context = make(tmp_path)
    localiser, path = localiser_for(context.classifier), tmp_path / "localiser.safetensors"
    localiser.save(path)
    compared_too = {"presets": ("best", LOCALISER), "localiser": str(path)}
    context = replace(context, config=context.config.model_copy(update=compared_too))
    context = replace(context, reported=first(context.reported, 1), tuning=None)
    made, observe = [], Observer.observe
    monkeypatch.setattr(
        Observer, "observe",
        lambda self, image, view, *rest, **layers: (
            made.append((image.size, view)) or observe(self, image, view, *rest, **layers)
        ),
    )  # fmt: skip
    run_stages(stages("predict", "localise", "presets"), context, {"the localiser": "1"})
    [photo] = context.reported.images
    views = [view for size, view in made if size == photo.size[::-1]]
    assert len(views) == len(set(views)) and set(views) >= set(find_preset("best").views)


class Pickling(ThreadPoolExecutor):
    """Threads that are given what processes are given, without their start."""

    def submit(self, function, /, *items):
        return super().submit(*pickle.loads(pickle.dumps((function, *items))))


def test_the_number_of_workers_leaves_the_boxes_alone(make, measured, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "FEWEST", 1)
    with Pickling(2) as pool:
        context = replace(make(tmp_path, targets=("cat", "dog")), pool=pool, tuning=None)
        other = replace(context, outputs={"presets": run_alone(context)})
    assert found_of(other) == found_of(measured)


def test_workers_find_the_same_boxes(measured, make, tmp_path, monkeypatch):
    """The first file is computed in this process, the second one in workers."""
    monkeypatch.setattr(engines, "LEAST_SECONDS", -1.0)
    monkeypatch.setattr(engines, "n_fitting", lambda: 2)
    n_threads = torch.get_num_threads()
    hold(pickled(measured.classifier))
    seen = []
    detect = presets._detect
    monkeypatch.setattr(presets, "_detect", lambda *given: seen.append(len(given[3])) or detect(*given))
    try:
        with ThreadPoolExecutor(2) as pool:
            engine = Engine(pool, Held("presets", "cpu", content))
            context = replace(make(tmp_path, targets=("cat", "dog")), engine=engine, tuning=None)
            other = replace(context, outputs={"presets": run_alone(context)})
    finally:
        hold(None)
        torch.set_num_threads(n_threads)
    assert found_of(other) == found_of(measured)
    assert seen == [N_REPORTED - presets.BATCH]


def test_an_interrupted_run_goes_on_and_repairs_its_files(make, tmp_path, monkeypatch):
    context = replace(make(tmp_path), tuning=None)
    output = run_alone(context)
    before = found_of(replace(context, outputs={"presets": output}))
    whole, damaged = (tmp_path / name for name in output["by_split"]["reported"])
    kept = whole.stat().st_mtime_ns
    damaged.write_text(damaged.read_text().replace("0.", "1.", 1))
    seen = []
    observed = presets._observed
    monkeypatch.setattr(presets, "_observed", lambda photo, *rest: seen.append(1) or observed(photo, *rest))
    again = replace(context, outputs={"presets": run_alone(context)}, memo={})
    assert found_of(again) == before
    assert whole.stat().st_mtime_ns == kept and len(seen) == N_REPORTED - presets.BATCH


def test_no_photograph_is_read_while_a_method_is_timed(make, tmp_path, monkeypatch):
    """The processor time is that of the process: a thread that decodes would be counted."""
    reading, timed = [], []

    def slow_read(image):
        reading.append(image.id)
        time.sleep(0.02)
        pixels = read_pixels(image)
        reading.remove(image.id)
        return pixels

    def clock() -> float:
        timed.append(len(reading))
        return time.process_time()

    monkeypatch.setattr(presets, "read_pixels", slow_read)
    monkeypatch.setattr(presets, "time", SimpleNamespace(process_time=clock))
    run_alone(replace(make(tmp_path, presets=("published",)), tuning=None))
    assert timed == [0] * 2 * N_REPORTED


def test_a_damaged_file_is_named(make, tmp_path):
    context = replace(make(tmp_path, presets=("published",)), tuning=None)
    output = run_alone(context)
    (tmp_path / output["files"][0]).write_text("{}")
    with pytest.raises(RecordError, match="reported-00000"):
        preset_boxes(replace(context, outputs={"presets": output}))


def test_a_network_without_a_head_keeps_the_published_method(make, tmp_path):
    context = make(tmp_path)
    headless = replace(context, classifier=replace(context.classifier, head=None), tuning=None)
    output = run_alone(headless)
    assert [each["name"] for each in output["unavailable"]] == ["fast", "best"]
    assert all("sample_net" in each["reason"] for each in output["unavailable"])
    after, _ = run_stages(stages("predict", "localise"), context, {})
    after = replace(headless, outputs=after.outputs | {"presets": output})
    assert compared(after)[-1] == "published"
    found = results.Presets(**next(iter(stages("ablation"))).run(after))
    assert [each.name for each in found.measured] == ["published"] and found.steps == []
    assert found.ablated is None and len(found.unavailable) == 2


@pytest.mark.parametrize(("refused", "stated"), [(["best"], None), ([], "it has no last stride")])
def test_the_resolution_of_views_is_stated_if_there_are_views(make, tmp_path, monkeypatch, refused, stated):
    def require(observer, views) -> None:
        observer.dense_fault = "it has no last stride"
        if refused:
            raise ModelError("the input has another size")

    monkeypatch.setattr(Observer, "require", require)
    output = run_alone(replace(make(tmp_path, presets=("published", "best")), tuning=None))
    assert [each["name"] for each in output["unavailable"]] == refused
    assert output["not_dense"] == stated


def expected_detections(context: Context, name: str) -> Detections:
    rows = [np.array(each).reshape(-1, 5) for each in preset_rows(context, name)]
    return Detections.from_images([each[:, :4] for each in rows], [each[:, 4] for each in rows])


def test_steps_have_their_own_ap_and_paired_differences(measured):
    found = results.Presets(**measured.outputs["ablation"])
    names = [step.name for step in steps_to(find_preset("best"), find_preset("best"))]
    assert [step.name for step in found.steps] == ["published", *names] and found.ablated == "best"
    truth = GroundTruth.from_images([image.boxes_of("dog") for image in measured.reported.images])
    stored = ["published", *names[:-1], "best"]
    config = measured.config
    matches = [match(truth, expected_detections(measured, name), config.iou_thresholds) for name in stored]
    resampler = Resampler(N_REPORTED, config.n_resamples, config.confidence_level, config.seed)
    for place, step in enumerate(found.steps):
        for iou_place, row in enumerate(step.rows):
            ap = precision_recall(matches[place], row.iou).average_precision()
            assert row.ap.value == pytest.approx(ap)
            if place:
                expected = resampler.ap_difference(matches[place], matches[0])[iou_place]
                assert (row.difference.interval.low, row.difference.interval.high) == pytest.approx(
                    (expected.low, expected.high)
                )
                before = precision_recall(matches[place - 1], row.iou).average_precision()
                assert row.gain.value == pytest.approx(ap - before)
        assert step.seconds > 0
    assert found.steps[0].rows[0].difference is None and found.steps[0].rows[0].gain is None
    seconds = {step.name: step.seconds for step in found.steps}
    assert seconds["dense"] < seconds["scales"] < seconds["further"]


def test_presets_that_are_evaluated_are_not_resampled_again(measured, monkeypatch):
    resampled = []
    ap_samples = Resampler.ap_samples
    monkeypatch.setattr(
        Resampler, "ap_samples",
        lambda resampler, matches: resampled.append(matches) or ap_samples(resampler, matches),
    )  # fmt: skip
    context = replace(measured, memo={})
    evaluated, ablated = (next(iter(stages(name))) for name in ("evaluate", "ablation"))
    evaluated.run(context)
    first_stage = len(resampled)
    assert first_stage == len(compared(context))
    assert ablated.run(context) == measured.outputs["ablation"]
    n_steps, n_of_the_other_class = (
        len(steps_to(find_preset("best"), find_preset("best"))) - 1,
        len(PROPOSALS),
    )
    assert len(resampled) - first_stage == n_steps + n_of_the_other_class


def test_the_measures_of_a_preset_are_counted_by_hand(measured):
    found = results.Presets(**measured.outputs["ablation"])
    best = found.measured[-1]
    tops = []
    for image, rows in zip(measured.reported.images, preset_rows(measured, "best"), strict=True):
        if rows and rows[0][4] >= best.point.score_threshold:
            overlap = iou(np.array([rows[0][:4]]), image.boxes_of("dog"))
            tops.append((rows[0][4], overlap.max(initial=0.0)))
    # The function is tested below with values.
    assert best.correlation == correlation(tops, best.point.score_threshold)
    shared = sum(len(b) for b in (image.boxes_of("dog") for image in measured.reported.images) if len(b) > 1)
    alone = [image for image in measured.reported.images if len(image.boxes_of("dog")) == 1]
    areas = [np.prod(image.boxes_of("dog")[0][2:] - image.boxes_of("dog")[0][:2]) for image in alone]
    small = sum(area < 0.1 * image.height * image.width for area, image in zip(areas, alone, strict=True))
    assert [group.n_objects for group in best.groups] == [shared, small, len(alone) - small]
    at_zero = precision_recall(
        match(GroundTruth.from_images([image.boxes_of("dog") for image in measured.reported.images]),
              expected_detections(measured, "best"), [0.5]), 0.5)  # fmt: skip
    assert sum(group.n_found for group in best.groups) == at_zero.n_found


def test_the_correlation_is_that_of_the_boxes_at_the_operating_point():
    tops = [[0.9, 0.8, 1.0], [0.7, 0.5, 1.0], [0.5, 0.4, 0.0], [0.2, 0.9, 1.0]]
    assert correlation(tops, 0.5) == pytest.approx((12 / 13) ** 0.5)
    assert correlation(tops, 0.6) is None, "two boxes have no correlation that means anything"
    assert correlation([[0.9, overlap, 1.0] for overlap in (0.1, 0.2, 0.3)], 0.5) is None


def test_the_mean_is_that_of_the_classes(measured):
    found = results.Presets(**measured.outputs["ablation"])
    assert [each.name for each in found.classes] == ["cat", "dog"]
    for place, name in enumerate(PROPOSALS):
        row = next(each for each in found.mean_ap if (each.name, each.iou) == (name, 0.5))
        assert row.ap.value == pytest.approx(np.mean([each.ap[place].value for each in found.classes]))
    dog = results.Detection(**measured.outputs["evaluate"]["detection"]).method("best").rows[-1].ap
    assert found.classes[1].ap[2].value == dog


def test_presets_are_compared_with_the_published_method(measured):
    found = results.Detection(**measured.outputs["evaluate"]["detection"])
    pairs = {(each.a, each.b) for each in found.comparisons}
    assert {("fast", "published"), ("best", "published"), ("grad_cam", "best")} <= pairs
    ap = {(each.name, row.iou): row.ap for each in found.methods for row in each.rows}
    for each in found.comparisons:
        assert each.difference.value == pytest.approx(ap[each.a, each.iou] - ap[each.b, each.iou])


def test_files_are_as_many_as_the_batches(measured):
    output = measured.outputs["presets"]
    n_files = [-(-number // presets.BATCH) for number in (N_REPORTED, N_TUNING)]
    assert [len(output["by_split"][role]) for role in ("reported", "tuning")] == n_files
    assert sorted(output["files"]) == sorted(itertools.chain(*output["by_split"].values()))
