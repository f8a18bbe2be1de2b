"""The commands of the soak: what each is called with, the files that it reads, and how often it is chosen."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dogcam.cli.main import main as dogcam_main
from report.cli import main as report_main


@dataclass(frozen=True)
class Command:
    """One command of the soak.

    Attributes:
        function: the entry point.
        words: its arguments; paths are relative to the folder of the case.
        inputs: patterns of the files that it reads.
        weight: how often it is chosen, relative to the others; slow commands have low weights.
    """

    function: Callable[[list[str]], object]
    words: list[str]
    inputs: tuple[str, ...]
    weight: int = 4

    def run_in(self, folder: Path) -> None:
        """Run it in a folder."""
        os.chdir(folder)
        self.function(self.words)


_WEIGHTS = ["--model", "sample_net", "--checkpoint", "tiny.safetensors", "--device", "cpu"]
_PHOTO = "voc/JPEGImages/test00000.jpg"
_CARD = ("tiny.safetensors", "tiny.json")


def _report(words: str, *inputs: str, weight: int = 4) -> Command:
    return Command(report_main, words.split(), inputs, weight)


def _dogcam(words: str, *inputs: str, weight: int = 4, classifier: bool = False) -> Command:
    return Command(
        dogcam_main, words.split() + classifier * _WEIGHTS, inputs + classifier * _CARD, weight
    )  # fmt: skip


COMMANDS = {
    "run": _report(
        "run --data voc --split test --limit 6 --tuning-split val --tuning-limit 6 --model sample_net "
        "--checkpoint tiny.safetensors --device cpu --out run",
        "voc/**/*", *_CARD, "run/stages/**/*", "run/results.json", "run/*.csv", "run/figures/*", weight=2,
    ),
    "render": _report("render run", "run/results.json", "run/gallery/*", "run/figures/*", weight=2),
    "check": _report("check run", "run/results.json", "run/report.*", weight=2),
    "diff": _report("diff before run", "run/results.json", "run/*.csv", "before/*.csv", weight=2),
    "train": _dogcam(
        "train --data voc --split val --eval-split test --recipe recipe.toml --device cpu --threads 1 "
        "--out trained",
        "voc/**/*", "recipe.toml", weight=1,
    ),
    "tune": _dogcam(
        "tune --data voc --split train --trials 3 --folds 2 --json tuned.json", "voc/**/*", weight=1,
        classifier=True,
    ),
    "compare-classifiers": _dogcam(
        "compare-classifiers --data voc --split test --limit 6 --resamples 100 --other-checkpoint "
        "tiny.safetensors --other-model sample_net", "voc/**/*", weight=1, classifier=True,
    ),
    "evaluate": _dogcam("evaluate --data voc --split test", "voc/**/*", weight=1, classifier=True),
    "explain": _dogcam(f"explain {_PHOTO} --out maps", _PHOTO, classifier=True),
    "detect": _dogcam(
        f"detect {_PHOTO} coco/images/val/val00000.jpg --format coco --out found.json", _PHOTO,
        classifier=True,
    ),
    "detect localiser": _dogcam(
        f"detect {_PHOTO} --localiser localiser.safetensors --score-threshold 0 --out found.json",
        "localiser.safetensors", classifier=True,
    ),
    "validate": _dogcam("validate voc", "voc/**/*"),
    "validate coco": _dogcam("validate coco", "coco/**/*"),
    "validate yolo": _dogcam("validate yolo", "yolo/**/*"),
    "validate csv": _dogcam("validate csv", "csv/**/*"),
    "convert-data": _dogcam("convert-data voc converted --to coco --allow-loss", "voc/**/*"),
    "convert-data coco": _dogcam("convert-data coco converted --to csv --allow-loss", "coco/**/*"),
    "convert-data yolo": _dogcam("convert-data yolo converted --to voc --allow-loss", "yolo/**/*"),
    "convert-data csv": _dogcam("convert-data csv converted --to yolo --allow-loss", "csv/**/*"),
    "evaluate-boxes": _dogcam("evaluate-boxes truth.json boxes.json", "truth.json", "boxes.json"),
    "evaluate-boxes voc": _dogcam(
        "evaluate-boxes voc found/voc_dog.txt --split test", "found/voc_dog.txt", "voc/Annotations/test*",
        "voc/ImageSets/Main/*",
    ),
    "evaluate-boxes coco": _dogcam(
        "evaluate-boxes coco found/coco.json --split test", "found/coco.json", "coco/annotations/*"
    ),
    "evaluate-boxes yolo": _dogcam(
        "evaluate-boxes yolo found/yolo --split test", "found/yolo/*", "yolo/data.yaml", "yolo/labels/test/*"
    ),
    "evaluate-boxes csv": _dogcam(
        "evaluate-boxes csv found/boxes.csv --split test", "found/boxes.csv", "csv/*.csv"
    ),
}  # fmt: skip
"""All commands that read files from elsewhere, by name."""
