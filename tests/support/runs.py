"""A small experiment for the tests of the report: shrunk rendered scenes, a network that half knows dogs."""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from dogcam.data.formats.voc import CLASSES as VOC_CLASSES
from dogcam.data.formats.voc import to_inclusive
from dogcam.data.images import read_mask, read_pixels
from dogcam.data.reading import read_split
from dogcam.data.sample import CLASSES, write_sample
from dogcam.draw import plots
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.networks import sample_net
from dogcam.models.preprocessing import Preprocessing
from dogcam.structures.images import LabelledImage
from report.cli import main
from report.config import RunConfig
from report.pipeline.experiment import stages_of
from report.pipeline.stages import draw, sanity
from report.record.base import seal_of

SHRINK = 3
SIZE = (96, 96)
N_TUNING, N_TEST, BATCH = 16, 24, 8
RESAMPLES = 200
HOSTILE = (
    '<script>alert(1)</script> | *bold* `tick` "quoted" onload="alert(3) ](javascript:alert(2)) [x]: ~y~ _z_ '
    "&lt; \\ end"
)
STAGE_NAMES = [stage.name for stage in stages_of(RunConfig())]


def write_data(root: Path, n_train: int = 1, n_tuning: int = N_TUNING, n_test: int = N_TEST) -> Path:
    """Write scenes at a third of their size, so that masks grow fast; the masks count as VOC's do."""
    write_sample(root, n_train=n_train, n_val=n_tuning, n_test=n_test, workers=1)
    for split in ("train", "val", "test"):
        for image in read_split(root, split).images:
            _shrink(image)
    (root / "SegmentationClass" / "classes.txt").write_text("\n".join(VOC_CLASSES))
    return root


def _shrink(image: LabelledImage) -> None:
    width, height = image.width // SHRINK, image.height // SHRINK
    read_pixels(image).resize((width, height)).save(image.path, quality=95)
    mask = Image.fromarray(_as_voc(read_mask(image))).resize((width, height), Image.Resampling.NEAREST)
    mask.save(image.mask_path)
    tree = ET.parse(image.annotation_path)
    tree.find("size/width").text, tree.find("size/height").text = str(width), str(height)
    for element, thing in zip(tree.iter("object"), image.objects, strict=True):
        x0, y0, x1, y1 = (int(side / SHRINK) for side in thing.box)
        x0, y0 = min(x0, width - 1), min(y0, height - 1)
        box = to_inclusive([[x0, y0, min(max(x1, x0 + 1), width), min(max(y1, y0 + 1), height)]])[0]
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            element.find(f"bndbox/{key}").text = str(int(value))
    tree.write(image.annotation_path)


def _as_voc(mask: np.ndarray) -> np.ndarray:
    """Move the dogs to VOC's number; nothing else is looked at, and void stays void."""
    moved = np.where(mask == 255, 255, 0).astype(np.uint8)
    moved[mask == 1 + CLASSES.index("dog")] = 1 + VOC_CLASSES.index("dog")
    return moved


def write_checkpoint(path: Path, data: Path) -> Path:
    """Save random features with a head that is fitted to where the dogs are, so that some boxes are right."""
    torch.manual_seed(1)
    network = sample_net(len(CLASSES))
    images = read_split(data, "test").images + read_split(data, "val").images
    batch = Preprocessing(SIZE)([read_pixels(image) for image in images])
    with torch.no_grad():
        network.train()(batch)
        maps = network.eval().features(batch)
        cells = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        wanted = torch.cat([_coverage(image, maps.shape[2:]) for image in images]) - 0.1
        ridge = cells.T @ cells + 0.03 * torch.eye(cells.shape[1])
        weights = torch.linalg.solve(ridge, cells.T @ wanted)
        dog = CLASSES.index("dog")
        network.head.weight[dog] = 20 * weights
        # A picture without a dog has a mean of about -0.1 and so a logit of about -1.
        network.head.bias[dog] = 1.0
    return save(path, network)


def _coverage(image: LabelledImage, cells: tuple[int, int]) -> torch.Tensor:
    """Which share of each cell of a map the dogs' boxes cover: (h * w,) tensor."""
    inside = torch.zeros(1, 1, image.height, image.width)
    for x0, y0, x1, y1 in image.boxes_of("dog").astype(int):
        inside[..., y0:y1, x0:x1] = 1
    return nn.functional.adaptive_avg_pool2d(inside, cells).flatten()


def write_blind_checkpoint(path: Path) -> Path:
    """Save a network for which nothing ever speaks for a dog, so that all its maps are empty."""
    torch.manual_seed(1)
    network = sample_net(len(CLASSES)).eval()
    with torch.no_grad():
        network.head.weight[CLASSES.index("dog")] = -1.0
    return save(path, network)


def save(path: Path, network: nn.Module, classes: tuple[str, ...] = CLASSES) -> Path:
    save_checkpoint(
        path,
        network.state_dict(),
        {"classes": list(classes), "activation": "sigmoid", "input_size": list(SIZE)},
    )
    return path


def options(data: Path, checkpoint: Path, out: Path, *more: str) -> list[str]:
    named = {
        "--data": data, "--split": "test", "--tuning-split": "val", "--model": "sample_net",
        "--checkpoint": checkpoint, "--batch-size": BATCH, "--resamples": RESAMPLES, "--device": "cpu",
        "--out": out,
    }  # fmt: skip
    return ["run", *(str(part) for pair in named.items() for part in pair), *more]


@contextmanager
def quick_drawings() -> Iterator[None]:
    """Do not draw the figures of runs; write empty ones with their names and text alternatives."""
    empty = "<svg xmlns='http://www.w3.org/2000/svg'/>"
    with pytest.MonkeyPatch.context() as patch:
        for name in plots.__all__:
            if name.endswith("_figure"):
                patch.setattr(plots, name, lambda *_, **__: Figure())
        patch.setattr(draw, "to_svgs", lambda figure, themes, **_: dict.fromkeys(themes, empty))
        yield


@contextmanager
def quick_sanity() -> Iterator[None]:
    """Run the sanity checks on few images with few draws, so their numbers differ."""
    fewer = {"N_IMAGES": 2, "N_FIT": 4, "N_DRAWS": 1, "N_PERMUTATIONS": 1, "FRACTIONS": (0.0, 0.5, 1.0)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in fewer.items():
            patch.setattr(sanity, name, value)
        yield


@contextmanager
def quick_runs() -> Iterator[None]:
    """As `quick_drawings` and `quick_sanity`: most of a run's time."""
    with quick_drawings(), quick_sanity():
        yield


def invoke(arguments: list[str]) -> Result:
    return CliRunner().invoke(main, arguments)


def record_of(run: Path) -> dict:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def change_record(run: Path, change) -> dict:
    """Apply a function to the record of a run and write it back, sealed as if a run had written it."""
    record = record_of(run)
    change(record)
    record["seal"] = seal_of(record)
    (run / "results.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    return record


def reseal(run: Path) -> None:
    """Enter the files of a run that are there, as they are now, into its record."""

    def enter(record: dict) -> None:
        for name in record["files"]:
            if (run / name).is_file():
                record["files"][name] = hashlib.sha256((run / name).read_bytes()).hexdigest()

    change_record(run, enter)


def copy_tables(run: Path, folder: Path) -> Path:
    """Copy the record and the tables of a run: all that comparisons read."""
    folder.mkdir()
    for path in (*run.glob("*.json"), *run.glob("*.csv")):
        shutil.copyfile(path, folder / path.name)
    return folder


def statuses(run: Path) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in record_of(run)["run"]["stages"]}


def reasons(run: Path) -> dict[str, str]:
    return {stage["name"]: stage["reason"] for stage in record_of(run)["run"]["stages"]}


def found_boxes(run: Path) -> dict[str, list[tuple[str, list[float], float]]]:
    """For each method the (image, box, score) of its lines in `detections.csv`, in their order."""
    methods: dict[str, list[tuple[str, list[float], float]]] = {}
    with (run / "detections.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            box = [float(line[side]) for side in ("x0", "y0", "x1", "y1")]
            methods.setdefault(line["method"], []).append((line["image"], box, float(line["score"])))
    return methods


def assert_one_line(result: Result, status: int, *parts: str) -> None:
    """A fault of the input: its status, its one line with these parts, and no traceback."""
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(lines) == 1, result.output
    for part in parts:
        assert part in lines[0]


def change_table(path: Path, change) -> None:
    """Apply a function to the rows of a table, those of dicts, and write them back."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = change(list(reader))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reader.fieldnames, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    reseal(path.parent)
