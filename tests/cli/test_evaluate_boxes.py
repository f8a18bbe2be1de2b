import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dogcam.cli.main import COMMANDS, main
from dogcam.data.box_files.results import read_results
from dogcam.data.box_files.truth import read_truth
from dogcam.evaluate.metrics import Resampler
from dogcam.structures.detections import Detections, GroundTruth
from tests.support.references import slow_ap

TRUTH = {
    "images": [
        {"id": "one", "width": 50, "height": 50, "dogs": [[1, 1, 10, 10], [21, 1, 30, 10]]},
        {"id": "two", "width": 50, "height": 50, "dogs": []},
    ]
}
FOUND = {"one": [[1, 1, 10, 10, 0.9], [21, 1, 30, 6, 0.7]], "two": [[1, 1, 9, 9, 0.8]]}
"""A hit, a false alarm, and a box that is six tenths of the other dog: AP (1 + 2/3) / 2 up to IoU 0.5."""


@pytest.fixture
def files(tmp_path):
    return write(tmp_path, TRUTH, FOUND)


def write(folder, truth, found):
    paths = folder / "truth.json", folder / "found.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


def run(*args):
    return CliRunner().invoke(main, ["evaluate-boxes", *args])


def rows(*args):
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize(("more", "ap"), [((), 1.0), (("--crowd", "counted"), 0.5)])
def test_a_crowd_of_dogcams_own_json_is_ignored_by_default(tmp_path, more, ap):
    truth = {"images": [TRUTH["images"][0] | {"crowd": [0, 1]}]}
    paths = write(tmp_path, truth, {"one": [[1, 1, 10, 10, 0.9]]})
    assert {row["ap"] for row in rows(*paths, *more)} == {ap}


def test_json_is_the_list_and_nothing_else(files):
    assert rows(*files) == [
        {"iou": iou, "ap": pytest.approx((1 + 2 / 3) / 2), "recall": 1.0} for iou in (0.3, 0.4, 0.5)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["--iou", "0.3", "0.55", "0.7"], [], [0.3, 0.55, 0.7]),
        ([], ["--iou", "0.3", "0.55", "0.7"], [0.3, 0.55, 0.7]),
        ([], ["--iou", "0.7"], [0.7]),
        (["--iou", "0.7"], [], [0.7]),
        (["--iou", "0.3"], ["--iou", "0.7"], [0.3, 0.7]),
        (["--iou=0.3", "0.7"], [], [0.3, 0.7]),
        (["--iou", "0.3", "0.7", "--ties", "stable"], [], [0.3, 0.7]),
        (["--iou", "0.3", "--"], [], [0.3]),
        (["--iou", "0"], [], [0.0]),
    ],
)
def test_iou_takes_several_values_anywhere(files, before, after, expected):
    if "--" in before:  # what follows are names only, so the flag for JSON must come first
        result = run("--json", *before, *files)
        assert [row["iou"] for row in json.loads(result.output)] == expected
    else:
        assert [row["iou"] for row in rows(*before, *files, *after)] == expected


def test_iou_between_the_names(files):
    assert [row["recall"] for row in rows(files[0], "--iou", "0.5", "0.6", files[1])] == [1.0, 0.5]


def test_a_file_may_have_a_number_for_its_name(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth.json").rename(tmp_path / "0.7")
    assert [row["iou"] for row in rows("--iou", "0.3", "./0.7", files[1])] == [0.3]
    result = run("--json", "--iou", "0.3", "--", "0.7", files[1])
    assert [row["iou"] for row in json.loads(result.output)] == [0.3]


@pytest.mark.parametrize("variant", ["all_point", "voc07_11point", "coco_101point"])
def test_variant_is_obeyed(files, variant):
    annotated = read_truth(Path(files[0]))
    truth, found = annotated.ground_truth("dog"), read_results(Path(files[1]), annotated).detections("dog")
    expected = slow_ap(truth, found, 0.3, variant)
    assert rows(*files, "--iou", "0.3", "--variant", variant)[0]["ap"] == pytest.approx(expected)


def test_table_states_rule_variant_and_counts(files):
    output = run(*files, "--ties", "introsort", "--variant", "voc07_11point", "--iou", "0.6").output
    assert "AP voc07_11point, ties introsort" in output
    assert [cell.strip() for cell in line_with("0.6 ", output).split("│")[1:-1]] == [
        *("0.6", "0.5455", "0.5000", "1", "1", "2"),
    ]
    assert "2 ground-truth boxes, 3 detections, 2 images" in output
    assert "Warning" not in output


def line_with(text, output):
    return next(line for line in output.splitlines() if text in line)


def test_an_interval_is_that_of_the_average_precision_of_resampled_images(files):
    options = (
        "--iou",
        "0.3",
        "--intervals",
        "--resamples",
        "200",
        "--confidence-level",
        "0.9",
        "--seed",
        "3",
    )
    (row,) = rows(*files, *options)
    assert row.pop("ap_interval") == pytest.approx(_slow_interval(files, 200, 3, 0.9))
    assert [row] == rows(*files, "--iou", "0.3")
    output = run(*files, *options).output
    low, high = _slow_interval(files, 200, 3, 0.9)
    assert "90% interval" in output and f"{low:.4f} to {high:.4f}" in line_with("0.3 ", output)


def _slow_interval(files, n_resamples, seed, level):
    """Measure copies of the images that each resample draws, with the reference of AP."""
    annotated = read_truth(Path(files[0]))
    truth, found = annotated.ground_truth("dog"), read_results(Path(files[1]), annotated).detections("dog")
    values = []
    for counts in np.concatenate(list(Resampler(truth.n_images, n_resamples, seed=seed).draws()), axis=1).T:
        drawn = [image for image, count in enumerate(counts) for _ in range(int(count))]
        boxes = GroundTruth.from_images([truth.boxes[truth.image == image] for image in drawn])
        parts = [found.image == image for image in drawn]
        copies = Detections.from_images(
            [found.boxes[part] for part in parts], [found.scores[part] for part in parts]
        )
        values.append(slow_ap(boxes, copies, 0.3, "all_point"))
    return [np.nanpercentile(values, 100 * tail) for tail in ((1 - level) / 2, (1 + level) / 2)]


def test_warning_where_ties_decide(tmp_path):
    tied = {name: [[*row[:4], 1] for row in boxes] for name, boxes in FOUND.items()}
    files = write(tmp_path, TRUTH, tied)
    warning = line_with("Warning", run(*files, "--iou", "0.3").output)
    # The false alarm last, and first.
    assert "at IoU 0.3" in warning
    assert "between 0.6667 and 1.0000" in warning
    assert "Warning" not in run(*files, "--iou", "0.3", "--json").output


def test_nothing_to_find_is_null_in_json_and_nan_in_the_table(tmp_path):
    empty = {"images": [entry | {"dogs": []} for entry in TRUTH["images"]]}
    files = write(tmp_path, empty, FOUND)
    assert rows(*files, "--iou", "0.5") == [{"iou": 0.5, "ap": None, "recall": None}]
    assert line_with("0.5 ", run(*files, "--iou", "0.5").output).count("nan") == 2


def test_nothing_found_is_zero(tmp_path):
    assert rows(*write(tmp_path, TRUTH, {}), "--iou", "0.5") == [{"iou": 0.5, "ap": 0.0, "recall": 0.0}]


@pytest.mark.parametrize(
    "args",
    [
        ["--iou", "1"],
        ["--iou", "0.5", "-0.1"],
        ["--iou", "nan"],
        ["--iou", "high"],
        ["--ties", "random"],
        ["--variant", "auc"],
        ["extra.json"],
    ],
)
def test_usage_errors_end_with_status_2(files, args):
    result = run(*files, *args)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage:")


def test_iou_without_a_value_is_a_usage_error():
    assert run("--iou").exit_code == 2


def test_faults_of_the_files_are_one_line_and_status_1(files, tmp_path):
    for args in ((str(tmp_path / "absent.json"), files[1]), (files[1], files[0])):
        result = run(*args)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {args[0]}")
        assert result.stderr.count("\n") == 1


def test_unknown_command_and_help():
    unknown = CliRunner().invoke(main, ["evaluate-boxen"])
    assert unknown.exit_code == 2
    listing = CliRunner().invoke(main, ["--help"])
    assert listing.exit_code == 0
    assert all(name in listing.output for name in COMMANDS)
    assert CliRunner().invoke(main, ["--version"]).output.startswith("dogcam, version ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_under_its_own_name(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: main {name}")


@pytest.mark.slow
def test_help_and_evaluation_do_not_import_torch(files):
    program = (
        "import sys\n"
        "from dogcam.cli.main import main\n"
        "for args in (['--help'], ['evaluate-boxes', *sys.argv[1:]]):\n"
        "    main(args, standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, *files], check=True, capture_output=True)


@pytest.mark.parametrize("ties", ["stable", "introsort"])
def test_boxes_of_another_program(real_data, tmp_path, ties):
    peer = json.loads((real_data / "voc2007_test_peer_gradcam_boxes.json").read_text())
    size = {"width": 500, "height": 500}
    truth = {"images": [{"id": name, "dogs": dogs, **size} for name, dogs in peer["gt"].items()]}
    files = write(tmp_path, truth, peer["0.02"])
    annotated = read_truth(Path(files[0]))
    truth, found = annotated.ground_truth("dog"), read_results(Path(files[1]), annotated).detections("dog")
    result = {row["iou"]: row for row in rows(*files, "--ties", ties)}
    assert [round(result[iou]["recall"] * 530) for iou in (0.3, 0.4, 0.5)] == [354, 291, 209]
    if ties == "stable":
        for iou, row in result.items():
            assert row["ap"] == pytest.approx(slow_ap(truth, found, iou, "all_point"))
    warning = line_with("at IoU 0.5", run(*files, "--ties", ties).output)
    low, high = (float(word) for word in warning.split("between ")[1].split(" (")[0].split(" and "))
    assert low <= result[0.5]["ap"] <= high
    assert high == pytest.approx(209 / 530, abs=1e-4)
