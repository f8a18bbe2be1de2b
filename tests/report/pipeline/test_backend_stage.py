"""The backend that a run asks for: its maps, what it was calibrated on, and what it cost, as pages say."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dogcam.backends.loading
from dogcam.backends import Backend, Fastest, load_backend
from dogcam.data.images import read_pixels
from dogcam.errors import ConfigError
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass
from report.cli import main
from report.config import MapSource
from report.pipeline import backend, methods
from report.pipeline.gather import model_info
from report.pipeline.shared.predictions import predictions
from tests.support.runs import (
    assert_one_line,
    change_record,
    invoke,
    options,
    quick_runs,
    reasons,
    record_of,
    statuses,
)
from tests.support.stages import after, context_of

REFERENCE = methods.GRAD_CAM_REFERENCE


@pytest.fixture(scope="module")
def predicted(small_data, small_checkpoint, tmp_path_factory):
    """The predictions by each of some backends."""

    def run(name):
        folder = tmp_path_factory.mktemp(name)
        return after(context_of(small_data, small_checkpoint, folder, backend=name), "predict")

    return {name: run(name) for name in ("reference", "torch")}


@pytest.mark.parametrize("method", [methods.GRAD_CAM, methods.CAM, methods.PROBABILITY])
def test_a_backends_maps_are_the_engines(predicted, method):
    ours, engines = (predictions(predicted[name], "reported").maps[method] for name in ("torch", "reference"))
    np.testing.assert_allclose(ours, engines, atol=1e-4 * np.abs(engines).max())


def test_the_engines_own_maps_and_logits_stand_beside_those_of_a_backend(predicted):
    whole, engines = (predictions(predicted[name], "reported") for name in ("torch", "reference"))
    assert np.array_equal(whole.maps[REFERENCE], engines.maps[methods.GRAD_CAM])
    assert np.array_equal(whole.maps[methods.EARLIER], engines.maps[methods.EARLIER])
    target = predicted["torch"].target
    assert np.array_equal(whole.probabilities(target, REFERENCE), engines.probabilities(target))
    np.testing.assert_allclose(whole.logits, engines.logits, atol=1e-4)
    assert engines.reference is None


def test_a_closer_look_joins_every_logit_and_no_map(predicted, small_data, small_checkpoint, tmp_path):
    context = context_of(small_data, small_checkpoint, tmp_path, backend="torch")
    high_resolution = HighResolutionPass((120, 132), 0.2)
    context = after(
        replace(context, classifier=replace(context.classifier, high_resolution=high_resolution)), "predict"
    )
    found, once = predictions(context, "reported"), predictions(predicted["torch"], "reported")
    pictures = [read_pixels(image) for image in context.reported.images]
    larger = Preprocessing(high_resolution.size)(pictures)
    with torch.no_grad():
        seen = high_resolution.logits(context.classifier.network, larger).numpy()
    np.testing.assert_allclose(found.logits, (once.logits + seen) / 2, atol=1e-4)
    np.testing.assert_allclose(found.reference, (once.reference + seen) / 2, atol=1e-4)
    for name, maps in once.maps.items():
        np.testing.assert_allclose(found.maps[name], maps, atol=1e-4 * np.abs(maps).max())
    noted = model_info(context).high_resolution_pass
    assert (noted.height, noted.width, noted.share) == (120, 132, 0.2)
    assert model_info(predicted["torch"]).high_resolution_pass is None


def test_what_ran_is_said(predicted):
    said = {name: context.outputs["predict"]["backend"] for name, context in predicted.items()}
    nothing = {"reason": None, "n_calibration": None, "versions": {}, "rates": [], "measured_batch": None}
    assert said["reference"] == {"asked": "reference", "used": "reference"} | nothing
    assert said["torch"] == {"asked": "torch", "used": "torch"} | nothing


def test_a_backend_that_is_wrong_shows_in_the_numbers(small_data, small_checkpoint, tmp_path, monkeypatch):
    """A backend that mirrors its maps, and never sees a dog, loses against the engine by just that."""

    def mirrored(name, classifier, *others, **more):
        right = load_backend("torch", classifier, tmp_path)

        def run(images):
            logits, maps = right.maps(images)
            return logits - 20, maps.flip(-1)

        return Backend("torch", "cam", run)

    monkeypatch.setattr(backend, "load_backend", mirrored)
    context = context_of(small_data, small_checkpoint, tmp_path, backend="torch")
    context = after(context, "predict", "localise", "evaluate", "compare")
    (pair,) = (each for each in context.outputs["compare"]["comparisons"] if each["b"] == REFERENCE)
    assert not pair["same"] and pair["largest_difference"] > 0.5
    rows = {each["name"]: each["rows"] for each in context.outputs["evaluate"]["detection"]["methods"]}
    compared = [
        each for each in context.outputs["evaluate"]["detection"]["comparisons"] if each["b"] == REFERENCE
    ]
    assert len(compared) == 3
    for row, reference, each in zip(rows[methods.MAIN], rows[REFERENCE], compared, strict=True):
        assert each["difference"]["value"] == pytest.approx(row["ap"] - reference["ap"])
    found = context.outputs["localise"]["detections"]["reported"]
    best = {name: max(row[4] for rows in found[name] for row in rows) for name in (methods.MAIN, REFERENCE)}
    assert best[methods.MAIN] < 1e-3 < best[REFERENCE]


def test_int8_is_calibrated_on_the_tuning_split_alone(small_data, small_checkpoint, tmp_path, monkeypatch):
    given = {}

    def spy(name, classifier, cache, calibration, **more):
        given.update(name=name, calibration=calibration)
        return Backend("int8", "cam", load_backend("torch", classifier, cache).maps)

    monkeypatch.setattr(backend, "load_backend", spy)
    monkeypatch.setattr(backend, "CALIBRATION", 11)
    context = context_of(small_data, small_checkpoint, tmp_path, backend="int8")
    assert backend.choose(context).info.n_calibration == 11
    images = np.concatenate([batch.numpy() for batch in given["calibration"]])
    expected = context.classifier.batch([read_pixels(image) for image in context.tuning.images[:11]])
    assert np.array_equal(images, expected.numpy())
    assert [len(batch) for batch in given["calibration"]] == [8, 3]


def test_int8_without_a_tuning_split_is_refused(small_data, small_checkpoint, tmp_path):
    context = context_of(small_data, small_checkpoint, tmp_path, tuned=False, backend="int8")
    with pytest.raises(ConfigError, match="--tuning-split"):
        backend.choose(context)


@pytest.fixture(scope="module")
def replaced(small_data, small_checkpoint, finished, tmp_path_factory):
    """The folder of the finished run after another with a backend that is not installed, and its words."""
    out = Path(shutil.copytree(finished, tmp_path_factory.mktemp("replaced") / "run"))
    with pytest.MonkeyPatch.context() as patch, quick_runs():
        patch.setattr(dogcam.backends.loading, "find_spec", lambda name: None)
        result = invoke(options(small_data, small_checkpoint, out, "--backend", "onnx"))
    assert result.exit_code == 0, result.output
    return out, result.stderr


def test_another_backend_makes_the_predictions_again(replaced):
    out, _ = replaced
    assert statuses(out)["predict"] == "ran"
    assert reasons(out)["predict"] == "changed: the backend's libraries, the setting backend"


def test_a_backend_that_cannot_be_had_is_replaced_and_said(replaced):
    out, said = replaced
    assert "backend onnx is replaced by torch" in said
    noted = record_of(out)["model"]["backend"]
    assert (noted["asked"], noted["used"]) == ("onnx", "torch")
    page = (out / "report.md").read_text()
    assert "maps of the target layer: `torch`" in page
    assert "`onnx` was requested: the backend onnx is replaced by torch" in page
    checked = CliRunner().invoke(main, ["check", str(out)])
    assert checked.exit_code == 0, checked.output


def test_a_backend_that_did_not_run_is_not_said_to_have_run(replaced, tmp_path):
    out = Path(shutil.copytree(replaced[0], tmp_path / "run"))
    change_record(
        out, lambda record: record["model"]["backend"].update(asked="torch", used="reference", reason=None)
    )
    assert invoke(["render", str(out)]).exit_code == 0
    page = (out / "report.md").read_text()
    assert "`torch` was requested but could not be used. Everything was computed in PyTorch" in page
    assert "due to the backend" not in page and "maps of the target layer: `torch`" not in page


def test_a_network_that_no_graph_fits_is_run_by_the_engine(predicted, monkeypatch):
    context = predicted["torch"]
    monkeypatch.setattr(
        backend, "load_backend", lambda *_, **__: Backend("torch", "grad_cam", lambda images: None)
    )
    chosen = backend.choose(context)
    assert chosen.backend is None
    assert (chosen.info.asked, chosen.info.used) == ("torch", "reference")


def test_auto_states_why_it_measured_nothing(predicted):
    context = predicted["torch"]
    context = replace(
        context, config=context.config.model_copy(update={"backend": "auto"}),
        classifier=replace(context.classifier, head=None),
    )  # fmt: skip
    chosen = backend.choose(context)
    assert chosen.backend is None
    assert (chosen.info.asked, chosen.info.used) == ("auto", "reference")
    assert (chosen.info.rates, chosen.info.measured_batch) == ([], None)
    assert chosen.info.reason is not None and repr(context.classifier.target_layer) in chosen.info.reason


def test_auto_states_what_it_measured(predicted, small_data, small_checkpoint, tmp_path, monkeypatch):
    asked = []

    def measured(classifier, cache, batch_size, warn):
        asked.append(batch_size)
        return Fastest(load_backend("torch", classifier, cache), {"torch": 25.0, "onnx": 12.5}, batch_size)

    monkeypatch.setattr(backend, "fastest_backend", measured)
    context = after(context_of(small_data, small_checkpoint, tmp_path, backend="auto"), "predict")
    info = context.outputs["predict"]["backend"]
    assert (info["asked"], info["used"], info["measured_batch"]) == ("auto", "torch", 8)
    assert [(each["name"], each["images_per_second"]) for each in info["rates"]] == [
        ("torch", 25.0), ("onnx", 12.5),
    ]  # fmt: skip
    assert asked == [8]
    ours, torchs = (predictions(each, "reported").maps[methods.CAM] for each in (context, predicted["torch"]))
    assert np.array_equal(ours, torchs)
    assert "openvino " in backend.libraries("auto")


def test_a_page_states_the_rates_that_auto_measured(replaced, tmp_path):
    out = Path(shutil.copytree(replaced[0], tmp_path / "run"))
    rates = [{"name": "onnx", "images_per_second": 25.9}, {"name": "torch", "images_per_second": 23.14}]
    new = {"asked": "auto", "used": "onnx", "reason": None, "rates": rates, "measured_batch": 16}
    change_record(out, lambda record: record["model"]["backend"].update(new))
    assert invoke(["render", str(out)]).exit_code == 0
    page = (out / "report.md").read_text()
    assert "fastest on batches of 16 images of noise, in images a second: `onnx` 25.9, `torch` 23.1." in page
    checked = CliRunner().invoke(main, ["check", str(out)])
    assert checked.exit_code == 0, checked.output


def test_the_libraries_of_an_exported_network_are_what_it_depends_on():
    assert backend.libraries("torch") == backend.libraries("reference") == "none"
    assert backend.libraries("onnx").startswith("onnx ") and "onnxruntime " in backend.libraries("int8")


def test_no_other_backend_is_taken(small_data, small_checkpoint, copied):
    result = invoke(options(small_data, small_checkpoint, copied, "--backend", "nonsense"))
    assert_one_line(result, 2, f"'nonsense' is not one of {', '.join(map(repr, get_args(MapSource)))}")


def test_a_page_without_a_backend_does_not_speak_of_one(finished):
    assert "**Backend.**" not in (finished / "report.md").read_text()
