"""Training: is it the pictures or the arithmetic that takes the time?

Decoding is timed by one and by two workers, threads as the program uses them and processes beside them; the
making of batches from decoded pictures; and whole epochs of `dogcam.train.loop.train`, the first of which
decodes, with the share of the time in which the network waited for pictures. The network, what is frozen of
it and its losses are those of the recipe for VOC2007 (docs/training.md); the pictures have 256 pixels a side.
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
from dogcam.models.registry import find_architecture
from dogcam.structures.images import LabelledImage, Split
from dogcam.train.augment import Augmentation
from dogcam.train.batches import Batches
from dogcam.train.config import Cosine, TrainingConfig
from dogcam.train.history import EpochRecord
from dogcam.train.loop import train

from .measure import Spread, seconds_of, with_ends
from .photographs import voc2007

PACKAGES = ("dogcam", "torch", "pillow")
Row = tuple[str, dict[str, float]]

ARCHITECTURE = "efficientnet_lite0_voc2007"
FROZEN = (
    "features.network._conv_stem", "features.network._bn0",
    *(f"features.network._blocks.{number}" for number in range(5)), "head.known",
)  # fmt: skip


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each way of decoding, for the making of batches, and for each epoch of a training."""
    n, rounds, size = (8, 2, 64) if quick else (512, 3, 256)
    config = TrainingConfig(
        epochs=rounds, batch_size=min(32, n // 2), learning_rate=3e-4, schedule=Cosine(0.5),
        augmentation=Augmentation(min_area=0.4, colour=0.2, spread="cutmix"), training_size=size,
        frozen=FROZEN, body_mode="evaluate", head_rate=3.0, known_alone=True, averaging=0.98,
        distillation=1.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        data, root = _photographs(Path(folder), n)
        # What an epoch is measured on is not timed, and kept small.
        split, others = _first(root, "train", n), _first(root, "val", 2)
        rows = [*_decoding(split.images, config, rounds), _making(split, config, rounds)]
        rows += _epochs(split, others, config, Path(folder) / "training")
    shared = {"data": data, "n_images": len(split), "size": size}
    return [{"name": name, **shared, "rounds": rounds, **fields} for name, fields in rows]


def _photographs(folder: Path, n: int) -> tuple[str, Path]:
    """Return the real photographs where they are, else the rendered sample."""
    if voc2007().is_dir():
        return "voc2007", voc2007()
    return "sample", write_sample(folder / "sample", n_train=n, n_val=2, n_test=1)


def _first(root: Path, name: str, n: int) -> Split:
    """Return n images of a split, those with dogs before the others: few might have none."""
    split = read_split(root, name)
    return replace(split, images=tuple(sorted(split.images, key=lambda each: "dog" not in each.labels))[:n])


def _decoding(images: Sequence[LabelledImage], config: TrainingConfig, rounds: int) -> list[Row]:
    size = config.augmentation.stored_size((config.training_size,) * 2)
    pools = {
        "decode, 1 thread": lambda: ThreadPoolExecutor(1),
        "decode, 2 threads": lambda: ThreadPoolExecutor(2),
        "decode, 2 processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    }
    return [(name, _decoded_by(pool, images, size, rounds)) for name, pool in pools.items()]


def _decoded_by(
    make: Callable[[], Executor], images: Sequence[LabelledImage], size: tuple[int, int], rounds: int
) -> dict[str, float]:
    with make() as pool:
        # The workers start, and read the files into the system's memory, before anything is timed.
        list(pool.map(partial(decode, size=size), images))
        seconds = [
            seconds_of(lambda: list(pool.map(partial(decode, size=size), images, chunksize=8)))
            for _ in range(rounds)
        ]
    return _rate(seconds, len(images))


def _making(split: Split, config: TrainingConfig, rounds: int) -> Row:
    """Time the making of batches from pictures that are decoded already."""
    batches = Batches(split.images, split.class_names(), _preprocessing(config), config)
    list(batches.of_epoch(0))
    seconds = [seconds_of(lambda: list(batches.of_epoch(0))) for _ in range(rounds)]
    return "make batches of decoded pictures", _rate(seconds, len(split))


def _epochs(split: Split, others: Split, config: TrainingConfig, folder: Path) -> list[Row]:
    architecture = find_architecture(ARCHITECTURE)
    classes = split.class_names()
    network = architecture.build(classes, True)
    records = train(network, classes, split, others, _preprocessing(config), config, folder).records
    parts = {"train, first epoch (decodes)": records[:1], "train, later epochs": records[1:]}
    return [
        (name, _rate([each.seconds for each in epochs], len(split)) | _waiting(epochs))
        for name, epochs in parts.items()
    ]


def _preprocessing(config: TrainingConfig) -> Preprocessing:
    architecture = find_architecture(ARCHITECTURE)
    return Preprocessing((config.training_size,) * 2, architecture.mean, architecture.std)


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
    for heading in ("images/s", "waiting for pictures"):
        printed.add_column(heading, justify="right")
    for row in rows:
        waiting = with_ends(row, "waiting", ".1%") if "waiting" in row else ""
        printed.add_row(row["name"], with_ends(row, "images_per_second", ".1f"), waiting)
    return printed
