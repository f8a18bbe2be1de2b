"""`dogcam explain`: any photograph in, an overlay of its size and a line about it out."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from dogcam.cam import METHODS
from dogcam.cli.main import main
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.models.classifier import load_classifier
from tests.support import runs as fixtures

REPOSITORY = Path(__file__).resolve().parents[2]
LINE = re.compile(
    r"(?P<path>\S+): dog (?P<probability>[01]\.\d\d) \((?P<method>\w+) at (?P<layer>\S+)\), "
    r"(?P<boxes>no box \([^)]+\)|-?\d+ \d+ \d+ \d+ \([01]\.\d\d\)(; \d+ \d+ \d+ \d+ \([01]\.\d\d\))*)"
    r" -> (?P<out>\S+)"
)


@pytest.fixture(scope="module")
def photo(small_data) -> Image.Image:
    return read_pixels(read_split(small_data, "test").images[0])


@pytest.fixture
def explain(small_checkpoint, tmp_path):
    """Run the command on pictures, with its output in `tmp_path / "out"`."""

    def run(*arguments):
        fixed = ["--model", "sample_net", "--checkpoint", small_checkpoint, "--device", "cpu"]
        words = ["explain", *fixed, "--out", tmp_path / "out", *arguments]
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


def save_as(photo: Image.Image, folder: Path, form: str) -> tuple[Path, tuple[int, int]]:
    """Save a photograph in some form; return its file and its upright size."""
    if form == "a PNG with alpha":
        clear = photo.convert("RGBA")
        clear.putalpha(Image.linear_gradient("L").resize(photo.size))
        clear.save(folder / "clear.png")
        return folder / "clear.png", photo.size
    if form == "a greyscale JPEG":
        photo.convert("L").save(folder / "grey.jpg")
        return folder / "grey.jpg", photo.size
    if form == "a palette GIF":
        photo.convert("P").save(folder / "palette.gif")
        return folder / "palette.gif", photo.size
    if form == "a JPEG on its side":
        exif = Image.Exif()
        exif[0x0112] = 6
        photo.save(folder / "turned.jpg", exif=exif)
        return folder / "turned.jpg", (photo.height, photo.width)
    photo.save(folder / "plain.jpg")
    return folder / "plain.jpg", photo.size


FORMS = ["a JPEG", "a PNG with alpha", "a greyscale JPEG", "a palette GIF", "a JPEG on its side"]


@pytest.mark.parametrize("form", FORMS)
def test_an_overlay_has_the_upright_size_of_its_photograph(explain, photo, tmp_path, form):
    path, size = save_as(photo, tmp_path, form)
    result = explain(path)
    assert result.exit_code == 0, result.output
    found = LINE.fullmatch(result.stdout.strip())
    assert found, result.stdout
    assert found["path"] == str(path)
    out = Path(found["out"])
    assert out == tmp_path / "out" / f"{path.stem}.dogcam.png"
    with Image.open(out) as overlay:
        assert (overlay.format, overlay.mode, overlay.size) == ("PNG", "RGB", size)
        drawn = np.asarray(overlay).astype(int)
    difference = np.abs(drawn - np.asarray(photo.resize(size)).astype(int))
    assert difference.max() > 30, "nothing was drawn"


def boxes_of(line: str) -> list[tuple[list[int], float]]:
    found = re.findall(r"(\d+) (\d+) (\d+) (\d+) \((\d\.\d\d)\)", line)
    return [([int(side) for side in sides], float(score)) for *sides, score in found]


def test_boxes_lie_in_the_photograph_and_score_at_most_its_probability(explain, photo, tmp_path):
    path, (width, height) = save_as(photo, tmp_path, "a JPEG")
    line = LINE.fullmatch(explain(path).stdout.strip())
    boxes = boxes_of(line["boxes"])
    assert boxes
    for (x0, y0, x1, y1), score in boxes:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert score <= float(line["probability"]) + 0.01


def test_boxes_below_the_score_threshold_are_left_out(explain, photo, tmp_path):
    path, _ = save_as(photo, tmp_path, "a JPEG")
    result = explain(path, "--score-threshold", "1")
    assert LINE.fullmatch(result.stdout.strip())["boxes"] == "no box (none scores 1)"


def test_a_map_that_is_zero_everywhere_is_said_to_be_the_reason(explain, photo, tmp_path, monkeypatch):
    def against(*given, **stated):
        found = load_classifier(*given, **stated)
        with torch.no_grad():  # so that nothing can speak for any class
            found.network.head.weight.copy_(-found.network.head.weight.abs())
        return found

    monkeypatch.setattr("dogcam.models.classifier.load_classifier", against)
    path, _ = save_as(photo, tmp_path, "a JPEG")
    reason = "no box (the map is 0 everywhere: no evidence for the class at this layer)"
    assert LINE.fullmatch(explain(path).stdout.strip())["boxes"] == reason


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_overlay_and_its_layer_is_shown(explain, photo, tmp_path, method):
    path, size = save_as(photo, tmp_path, "a JPEG")
    result = explain(path, "--method", method, "--layer", "features.stage3.1")
    found = LINE.fullmatch(result.stdout.strip())
    assert (found["method"], found["layer"]) == (method, "features.stage3.1"), result.output
    with Image.open(found["out"]) as overlay:
        assert overlay.size == size


def test_the_map_may_be_averaged_over_sizes_and_the_mirror(explain, photo, tmp_path):
    path, _ = save_as(photo, tmp_path, "a JPEG")
    drawn = []
    for options in ([], ["--flip"], ["--flip", "--scale", "0.75", "--scale", "1"]):
        result = explain(path, *options)
        drawn.append(Path(LINE.fullmatch(result.stdout.strip())["out"]).read_bytes())
    assert len(set(drawn)) == 3


def test_each_photograph_has_its_line(explain, photo, tmp_path):
    paths = [save_as(photo, tmp_path, form)[0] for form in FORMS]
    result = explain(*paths)
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(path) for path in paths]
    assert len(list((tmp_path / "out").glob("*.dogcam.png"))) == len(paths)


def test_two_photographs_of_one_name_are_refused(explain, photo, tmp_path):
    (tmp_path / "b").mkdir()
    photo.save(tmp_path / "x.jpg")
    photo.save(tmp_path / "b" / "x.png")
    result = explain(tmp_path / "x.jpg", tmp_path / "b" / "x.png")
    fixtures.assert_one_line(result, 1, "images are called x", "--out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_a_file_that_is_no_photograph_is_named(explain, tmp_path, content):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    fixtures.assert_one_line(explain(path), 1, str(path))


def test_photographs_before_a_bad_one_are_explained(explain, photo, tmp_path):
    path, _ = save_as(photo, tmp_path, "a JPEG")
    result = explain(path, tmp_path / "missing.jpg")
    fixtures.assert_one_line(result, 1, "missing.jpg")
    assert LINE.fullmatch(result.stdout.strip())
    assert (tmp_path / "out" / "plain.dogcam.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--target", "unicorn"], 1, "no class 'unicorn'"),
        (["--layer", "features.stage9"], 1, "features.stage9"),
        (["--method", "guided_backpropagation"], 2, "--method"),
        (["--scale", "0"], 2, "--scale"),
        (["--scale", "inf"], 2, "--scale"),
        (["--cam-threshold", "0"], 2, "--cam-threshold"),
        (["--cam-threshold", "nan"], 2, "--cam-threshold"),
        (["--score-threshold", "2"], 2, "--score-threshold"),
        (["--score-threshold", "nan"], 2, "--score-threshold"),
        (["--model", "resnet999"], 1, "there is no model 'resnet999'"),
    ],
)
def test_a_bad_option_is_named(explain, photo, tmp_path, arguments, status, said):
    path, _ = save_as(photo, tmp_path, "a JPEG")
    fixtures.assert_one_line(explain(path, *arguments), status, said)


def test_without_photographs_there_is_nothing_to_do(explain):
    fixtures.assert_one_line(explain(), 2, "IMAGES")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["dogcam.cli.main", "report.cli"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_comes_without_torch(module, arguments):
    code = (
        f"import sys; from {module} import main; main({arguments!r}, standalone_mode=False); "
        "print('loaded:', *sorted({'torch', 'torchvision', 'matplotlib', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
