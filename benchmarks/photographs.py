"""The images of benchmarks: real photographs, or the sample."""

import os
from pathlib import Path

from dogcam.data.sample import write_sample


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
