"""The benches run to their end and notice a wrong answer; no test asserts how fast they are."""

import json
import os
import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import ap, cam, int8, large, render, yardstick
from benchmarks.__main__ import BENCHES, ON_REQUEST
from benchmarks.machine import describe_run
from benchmarks.measure import Cost, Spread, in_fresh_process
from benchmarks.photographs import write_large_and_small
from dogcam.data.sample import write_sample
from dogcam.evaluate.metrics import match
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.allocation import allocate, allocate_after_more

REPOSITORY = Path(__file__).resolve().parents[2]

RUN = {"date", "quick", "system", "processor", "cores", "load_1min_at_start", "versions"}

linux = pytest.mark.skipif(platform.system() != "Linux", reason="only Linux tells a process's own peak")


@pytest.fixture(scope="module")
def quick_benches(tmp_path_factory):
    """What the command writes, by the name of the bench."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    for kind in ("svg", "png"):
        assert (folder / f"cam.{kind}").stat().st_size > 1000
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_every_bench_runs_and_states_where_and_when(quick_benches):
    assert quick_benches.keys() == {"ap", "cam", "train", "run"}
    for rows in quick_benches.values():
        assert rows
        for row in rows:
            assert row["run"].keys() == RUN and row["run"]["quick"] is True


def test_a_run_is_compared_with_its_forward_passes(quick_benches):
    rows = {row["name"]: row for row in quick_benches["run"]}
    assert rows["forward"]["ratio_to_forward"] == 1
    stages = [row["seconds"] for name, row in rows.items() if name.startswith("stage ")]
    assert 0 < sum(stages) <= rows["run"]["seconds"]
    ratio = rows["run"]["seconds"] / rows["forward"]["seconds"]
    assert rows["run"]["ratio_to_forward"] == pytest.approx(ratio)
    assert {"name", "images", "seconds", "ratio_to_forward", "peak_mib"} <= rows["run"].keys()
    assert {"run on Ray", "on Ray, stage predict"} <= rows.keys()
    assert rows["second run"]["seconds"] < rows["run"]["seconds"] / 2
    assert rows["run on one core"]["images"] == rows["run"]["images"]
    of_photographs = ("12-megapixel photographs", "small copies", "decoding of 12-megapixel photographs")
    assert [rows[name]["images"] for name in of_photographs] == [2, 2, 2]
    assert rows[of_photographs[2]]["seconds"] < rows[of_photographs[0]]["seconds"]
    # Each has a process of its own, and so a peak; stages share the process of the run.
    without = {name for name, row in rows.items() if row["peak_mib"] is None}
    if platform.system() == "Linux":
        assert without == {name for name in rows if "stage " in name}


def test_large_photographs_have_twelve_megapixels_and_small_copies(tmp_path):
    data = write_sample(tmp_path / "sample", n_train=0, n_val=0, n_test=1)
    for folder, longest in zip(write_large_and_small(data, "test", 1, tmp_path), (None, 500), strict=True):
        (path,) = folder.iterdir()
        with Image.open(path) as photograph:
            width, height = photograph.size
        assert path.name == "test00000.jpg"
        assert (
            width * height == pytest.approx(12e6, rel=1e-3) if longest is None else max(width, height) == 500
        )


@linux
@pytest.mark.gate
def test_memory_does_not_grow_with_the_image(tmp_path):
    """Decoded in full, a JPEG of 48 megapixels would take 183 MiB more than a small one."""
    peaks = [
        large.cost_of_command("detect", large.write_image(tmp_path / f"{sides[0]}.jpg", sides))["peak_mib"]
        for sides in (large.SMALL, large.SIDES)
    ]
    assert peaks[1] - peaks[0] < 60


def test_the_yardstick_counts_the_arithmetic_of_the_network_and_times_a_product():
    layers = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(256, 5)
    network = torch.nn.Sequential(*layers)
    # Two operations for each multiply-add: 4 x 8 x 8 outputs of 3 x 3 x 3 weights, and 5 of 256.
    expected = 2 * (2 * 4 * 64 * 27 + 2 * 5 * 256)
    assert yardstick.operations(network, torch.randn(2, 3, 8, 8)) == expected
    measured = yardstick.Yardstick(2 * 64**3, 64)
    assert measured.share == 1
    assert 0 < measured.seconds() < 1


@pytest.mark.gate
def test_the_cost_of_8_bits_is_not_measured_without_photographs(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "int8", "--out", str(tmp_path / "out")]
    environment = os.environ | {"DOGCAM_DATA": str(tmp_path)}
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 1
    assert "no real photographs at" in done.stderr and "set DOGCAM_DATA" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_cost_of_8_bits_is_the_difference_in_ap():
    boxes = [np.array([[0.0, 0, 9, 9]]), np.array([[5.0, 5, 20, 20]])]
    truth = GroundTruth.from_images(boxes)
    both = Detections.from_images(boxes, [[0.9], [0.8]])
    one = Detections.from_images([boxes[0], np.zeros((0, 4))], [[0.9], []])
    exact, found = (match(truth, each, int8.IOU_THRESHOLDS) for each in (both, one))
    given = SimpleNamespace(name="tiny")
    row = int8._row(given, "int8", int8.QUANTISATIONS[0], found, exact)
    assert row["ap"] == [0.5, 0.5, 0.5]
    assert row["ap_difference"] == [-0.5, -0.5, -0.5]
    # The two images drawn twice each give -0 and -1, or one of both.
    assert row["ap_difference_interval"] == [[-1, 0]] * 3
    assert "ap_difference" not in int8._row(given, "float32", None, exact, None)


def test_rendering_is_measured_as_installed_with_compiled_modules(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    check = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(str(sys.dont_write_bytecode))"
    render._command(check, str(tmp_path), str(tmp_path / "said"))()
    assert (tmp_path / "said").read_text() == "False"


@pytest.mark.gate
def test_an_unknown_bench_is_refused():
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "'speed'" in done.stderr and "'cam'" in done.stderr


@pytest.mark.parametrize("name", BENCHES + ON_REQUEST)
def test_every_bench_states_the_version_of_dogcam(name):
    assert "dogcam" in import_module(f"benchmarks.{name}").PACKAGES


def test_the_description_names_neither_the_machine_nor_its_folders():
    run = describe_run(("numpy",), quick=False)
    assert run.keys() == RUN
    assert platform.node() not in run.values()
    assert str(REPOSITORY) not in json.dumps(run)
    assert run["versions"] == {"python": platform.python_version(), "numpy": np.__version__}


@pytest.mark.slow
@linux
@pytest.mark.parametrize("work", [allocate, allocate_after_more])
def test_memory_grows_by_what_is_allocated_though_it_is_freed_again(work):
    assert in_fresh_process(work, 64) == pytest.approx(64, abs=8)


def test_a_failure_in_a_fresh_process_is_raised_here():
    with pytest.raises(ValueError, match="'fast'"):
        in_fresh_process(float, "fast")


def test_spread_is_the_median_between_the_ends():
    fields = Spread.of([3.0, 1.0, 2.0, 9.0]).fields("seconds")
    assert fields == {"seconds": 2.5, "seconds_min": 1.0, "seconds_max": 9.0}


def outcome(*values):
    return ap.Outcome(Cost(1.0, None), values)


@pytest.mark.parametrize(
    ("ours", "theirs", "complaint"),
    [
        ([outcome(0.5, 0.4)], [outcome(0.5, 0.4001)], r"pycocotools.* 0\.4001\b.*dogcam"),
        ([outcome(0.5, 0.4), outcome(0.5, 0.3)], [outcome(0.5, 0.4)], r"dogcam.* 0\.3\b.* 0\.4\b"),
        ([outcome(0.0, 0.0)], [outcome(0.0, 0.0)], r"\(0\.0, 0\.0\)"),
        ([outcome(float("nan"))], [outcome(float("nan"))], r"\bnan\b"),
    ],
)
def test_differing_or_empty_aps_end_the_bench(ours, theirs, complaint):
    with pytest.raises(RuntimeError, match=complaint):
        ap.check_agreement({"dogcam": ours, "pycocotools": theirs})


def test_at_most_one_box_an_image_and_no_equal_scores():
    """Where VOC's matching and COCO's agree."""
    truth, found = ap.boxes_in_images(5_000)
    assert 0 < len(truth) < truth.n_images == 500
    assert len(np.unique(truth.image)) == len(truth)
    assert len(np.unique(found.scores)) == len(found) == 5_000


def test_maps_of_another_class_end_the_bench():
    exact = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    contenders = {each.name: each for each in cam.CONTENDERS}
    for name in ("dogcam_torch", "captum"):
        assert cam.map_difference(contenders[name], 3 * exact[:, :1], exact[:, :1]) < 1e-12
        with pytest.raises(RuntimeError, match=f"{name}.* closed form"):
            cam.map_difference(contenders[name], exact[:, 1:2], exact[:, :1])
    # Eight bits may err, but not put out what is no number.
    assert cam.map_difference(contenders["dogcam_int8"], exact[:, 1:2], exact[:, :1]) > 0.1
    with pytest.raises(RuntimeError, match=r"dogcam_int8.* nan\b"):
        cam.map_difference(contenders["dogcam_int8"], exact[:, :1] * float("nan"), exact[:, :1])
