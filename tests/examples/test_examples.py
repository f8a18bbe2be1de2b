"""Each script of examples/ runs, and prints or writes what its first lines state."""

import csv
import io
import runpy
from pathlib import Path

import pytest
from PIL import Image

import dogcam

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    def script(name: str, *arguments: object) -> str:
        path = EXAMPLES / f"{name}.py"
        monkeypatch.setattr("sys.argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return script


@pytest.fixture
def images(small_data, tmp_path) -> list[Path]:
    """The first two rendered images of a split, in a folder of their own."""
    names = (small_data / "ImageSets/Main/test.txt").read_text(encoding="utf-8").split()[:2]
    for name in names:
        (tmp_path / f"{name}.jpg").write_bytes((small_data / f"JPEGImages/{name}.jpg").read_bytes())
    return sorted(tmp_path.glob("*.jpg"))


def test_explain_image(run, images, tmp_path):
    output = tmp_path / "out.png"
    text = run("explain_image", images[0], output)
    [result] = dogcam.explain(images[0], dogcam.load_classifier("sample_net"), "dog")
    assert f"probability of dog {result.probabilities[0]:.3f}, {len(result.boxes)} boxes" in text
    with Image.open(images[0]) as image, Image.open(output) as drawn:
        assert drawn.size == image.size and drawn.convert("RGB").tobytes() != image.tobytes()


def test_detect_folder(run, images):
    rows = list(csv.DictReader(io.StringIO(run("detect_folder", images[0].parent, "dog", 0))))
    found = dogcam.detect(images, dogcam.load_classifier("sample_net"), "dog")
    expected = [
        (path.name, *(f"{side:.0f}" for side in box), f"{score:.4f}")
        for path, result in zip(images, found, strict=True)
        for box, score in zip(result.boxes, result.scores, strict=True)
    ]
    assert len(images) == 2 and expected
    assert [tuple(row.values()) for row in rows] == expected


def test_evaluate_boxes(run):
    # IoU 0.5: found, false, found. Precision at the two recalls: 1 and 2/3; of three objects two are found.
    # IoU 0.9: the first box has an IoU of 0.8, so only the last detection, of precision 1/3, is found.
    assert run("evaluate_boxes").splitlines() == [
        f"IoU > 0.5: AP {(1 + 2 / 3) / 3:.4f}, recall {2 / 3:.4f}",
        f"IoU > 0.9: AP {1 / 3 / 3:.4f}, recall {1 / 3:.4f}",
    ]


def test_train_tiny(run, small_data, tmp_path):
    lines = run("train_tiny", small_data, tmp_path, "val", "test").splitlines()
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(lines) == len(losses) == 2
    assert [f"loss {loss:.4f}" in line for line, loss in zip(lines, losses, strict=True)] == [True, True]
    classifier = dogcam.load_classifier(checkpoint=tmp_path / "tiny.safetensors", device="cpu")
    assert (classifier.classes, classifier.preprocessing.size) == (("dog",), (64, 64))


def test_render_run(run, copied):
    before = (copied / "report.html").read_bytes()
    (copied / "report.html").unlink()
    text = run("render_run", copied)
    assert text.count("AP") == 3 and str(copied / "report.html") in text
    assert (copied / "report.html").read_bytes() == before


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
