"""Training: the time of decoding, of making batches, and of whole epochs.

Decoding is timed with one and with two workers: threads, as the program uses them, and processes. Epochs are
those of the recipe for VOC2007 (recipes/voc2007.toml) at 256 pixels; the first one decodes. Their row states
the share of the time in which the network waits for images.
"""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from dogcam.data.image_cache import decode
from dogcam.data.reading import read_split
from dogcam.data.sample import write_sample
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import Architecture, find_architecture
from dogcam.structures.images import LabelledImage, Split
from dogcam.train.batches import Batches
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.history import EpochRecord
from dogcam.train.recipe import read_recipe
from dogcam.train.trainer import Trainer

from .measure import Spread, seconds_of, with_ends
from .photographs import voc2007

PACKAGES = ("dogcam", "torch", "pillow")
Row = tuple[str, dict[str, float]]

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "voc2007.toml"


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each way of decoding, for the making of batches, and for each epoch of a training."""
    n, rounds, size = (8, 2, 64) if quick else (512, 3, 256)
    changes = {"epochs": rounds, "batch_size": min(32, n // 2), "training_size": size}
    recipe = read_recipe(RECIPE)
    config = TrainingConfig(**{**dict(recipe.training), **changes})
    architecture = find_architecture(recipe.arch or "")
    with tempfile.TemporaryDirectory() as folder:
        name, root = _photographs(Path(folder), n)
        split = _first(root, "train", n)
        preprocessing = Preprocessing((size, size), architecture.mean, architecture.std)
        # An epoch is evaluated on few images; the evaluation is not timed.
        data = TrainingData(split.class_names(), split, _first(root, "val", 2), preprocessing)
        rows = [*_decoding(data, config, rounds), _making(data, config, rounds)]
        rows += _epochs(architecture, data, config, Path(folder) / "training")
    shared = {"data": name, "n_images": len(split), "size": size}
    return [{"name": name, **shared, "rounds": rounds, **fields} for name, fields in rows]


def _photographs(folder: Path, n: int) -> tuple[str, Path]:
    """Return the real photographs if they exist, else the rendered sample."""
    if voc2007().is_dir():
        return "voc2007", voc2007()
    return "sample", write_sample(folder / "sample", n_train=n, n_val=2, n_test=1)


def _first(root: Path, name: str, n: int) -> Split:
    """Return n images of a split, images with dogs first."""
    split = read_split(root, name)
    return replace(split, images=tuple(sorted(split.images, key=lambda each: "dog" not in each.labels))[:n])


def _decoding(data: TrainingData, config: TrainingConfig, rounds: int) -> list[Row]:
    size = config.augmentation.stored_size(data.preprocessing.size)
    pools: dict[str, Callable[[], Executor]] = {
        "decode, 1 thread": lambda: ThreadPoolExecutor(1),
        "decode, 2 threads": lambda: ThreadPoolExecutor(2),
        "decode, 2 processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    }
    return [(name, _decoded_by(pool, data.train.images, size, rounds)) for name, pool in pools.items()]


def _decoded_by(
    make: Callable[[], Executor], images: Sequence[LabelledImage], size: tuple[int, int], rounds: int
) -> dict[str, float]:
    with make() as pool:
        # The workers start, and the system caches the files, before the timed work.
        list(pool.map(partial(decode, size=size), images))
        seconds = [
            seconds_of(lambda: list(pool.map(partial(decode, size=size), images, chunksize=8)))
            for _ in range(rounds)
        ]
    return _rate(seconds, len(images))


def _making(data: TrainingData, config: TrainingConfig, rounds: int) -> Row:
    """Time the making of batches from decoded images."""
    batches = Batches(data, config)
    list(batches.of_epoch(0))
    seconds = [seconds_of(lambda: list(batches.of_epoch(0))) for _ in range(rounds)]
    return "make batches of decoded images", _rate(seconds, len(data.train))


def _epochs(
    architecture: Architecture, data: TrainingData, config: TrainingConfig, folder: Path
) -> list[Row]:
    network = architecture.build(data.classes, True)
    records = Trainer(network, data, config, folder).fit().records
    parts = {"train, first epoch (decodes)": records[:1], "train, later epochs": records[1:]}
    return [
        (name, _rate([each.seconds for each in epochs], len(data.train)) | _waiting(epochs))
        for name, epochs in parts.items()
    ]


def _rate(seconds: Sequence[float], n: int) -> dict[str, float]:
    return Spread.of([n / each for each in seconds]).fields("images_per_second")


def _waiting(epochs: Sequence[EpochRecord]) -> dict[str, float]:
    return Spread.of([each.waiting for each in epochs]).fields("waiting")


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    first = rows[0]
    what = f"{first['n_images']} photographs of {first['data']}, training at {first['size']} pixels"
    printed = Table(title=f"{what}; median (least - most)", title_justify="left")
    printed.add_column("work")
    for heading in ("images/s", "waiting for images"):
        printed.add_column(heading, justify="right")
    for row in rows:
        waiting = with_ends(row, "waiting", ".1%") if "waiting" in row else ""
        printed.add_row(row["name"], with_ends(row, "images_per_second", ".1f"), waiting)
    return printed
