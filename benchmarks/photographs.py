"""Location of the real photographs for benchmarks."""

import os
from pathlib import Path


def voc2007() -> Path:
    """Return the folder in VOC layout: below DOGCAM_DATA, or next to the checkout; it may not exist."""
    named = os.environ.get("DOGCAM_DATA")
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    return (Path(named) if named else shared) / "voc2007"
