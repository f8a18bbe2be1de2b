"""The images of benchmarks: real photographs, or the sample."""

import math
import os
from pathlib import Path

from PIL import Image

from dogcam.data.reading import read_split
from dogcam.data.sample import write_sample

LARGE, SMALL_SIDE = 12_000_000, 500
"""The pixels of a large photograph, and the longest side of a small one."""


def voc2007() -> Path:
    """Return the folder in VOC layout: below DOGCAM_DATA, or next to the checkout; it may not exist."""
    named = os.environ.get("DOGCAM_DATA")
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    return (Path(named) if named else shared) / "voc2007"


def photographs_or_sample(folder: Path, n: int) -> tuple[Path, tuple[str, str]]:
    """Return a data set with the splits to report and to tune on.

    It is VOC2007, or a sample of n images a split, rendered in the folder.
    """
    if voc2007().is_dir():
        return voc2007(), ("val", "train")
    return write_sample(folder / "sample", n_train=1, n_val=n, n_test=n), ("test", "val")


def write_large_and_small(data: Path, split: str, n: int, folder: Path) -> tuple[Path, Path]:
    """Write the first images of a split, enlarged to 12 megapixels, and small copies of these.

    Returns:
        The folders `large` and `small`, with n JPEG files each of the same names.
    """
    large, small = folder / "large", folder / "small"
    for each in (large, small):
        each.mkdir()
    for image in read_split(data, split, limit=n).images:
        with Image.open(image.path) as opened:
            scale = math.sqrt(LARGE / (opened.width * opened.height))
            size = (round(opened.width * scale), round(opened.height * scale))
            photograph = opened.convert("RGB").resize(size)
        photograph.save(large / f"{image.id}.jpg", quality=90)
        photograph.thumbnail((SMALL_SIDE, SMALL_SIDE))
        photograph.save(small / f"{image.id}.jpg", quality=90)
    return large, small


def decode(folder: Path) -> None:
    """Decode every photograph of a folder at its full size."""
    for path in sorted(folder.iterdir()):
        with Image.open(path) as photograph:
            photograph.load()
