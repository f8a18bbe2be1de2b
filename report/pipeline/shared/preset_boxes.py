"""The boxes of the presets of a run and of the steps towards them, read once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dogcam.errors import RecordError
from dogcam.files import atomic_write, read_json
from report.pipeline.context import Context
from report.pipeline.fingerprint import digest
from report.record import Model

STAGE = "presets"

Row = tuple[float, float, float, float, float]
"""x0, y0, x1, y1, score."""


class ImageBoxes(Model):
    """One image: its boxes by method and class, and the processor time of each method in seconds."""

    found: dict[str, dict[str, list[Row]]]
    seconds: dict[str, float]


class _Batch(Model):
    """A file of some images, with the checksum of the run, the images and the boxes."""

    seal: str
    images: list[ImageBoxes]


def available(context: Context) -> tuple[str, ...]:
    """Return the presets of the run that the network can run, in their order."""
    if STAGE not in context.outputs:
        return ()
    missing = {each["name"] for each in context.outputs[STAGE]["unavailable"]}
    return tuple(name for name in context.config.presets if name not in missing)


def preset_boxes(context: Context, role: str = "reported") -> list[ImageBoxes]:
    """Return the boxes of every image of a split, in the order of its images.

    Raises:
        RecordError: if a file is damaged.
    """
    names = context.outputs[STAGE]["by_split"][role]
    key = ("preset boxes", *names)
    return context.once(key, lambda: [each for name in names for each in _read(context.folder / name).images])


def preset_rows(context: Context, name: str, role: str = "reported", target: str | None = None) -> list:
    """Return the boxes of a preset or step on a split: for each image its rows.

    Args:
        context: after the stage `presets`.
        name: of the preset or step.
        role: `reported` or `tuning`.
        target: the class; None for the target of the run.
    """
    of_class, files = target or context.config.target, context.outputs[STAGE]["by_split"][role]
    images = preset_boxes(context, role)
    key = ("preset rows", name, of_class, *files)
    return context.once(key, lambda: [[list(row) for row in each.found[name][of_class]] for each in images])


def write_batch(path: Path, images: Sequence[dict[str, Any]], seal: str) -> None:
    """Write the boxes of some images, with the seal that names the run and its images."""
    atomic_write(path, json.dumps({"seal": _sealed(images, seal), "images": list(images)}))


def is_whole(path: Path, seal: str) -> bool:
    """Tell whether a file holds the boxes of the images of this seal, left by an interrupted run."""
    try:
        batch = _read(path)
    except RecordError:
        return False
    return batch.seal == _sealed([each.model_dump(mode="json") for each in batch.images], seal)


def _sealed(images: Sequence[dict[str, Any]], seal: str) -> str:
    return digest(seal, json.dumps(list(images), sort_keys=True))


def _read(path: Path) -> _Batch:
    try:
        return _Batch.model_validate(read_json(path, RecordError))
    except ValidationError as error:
        raise RecordError(f"{path} is damaged; delete it, and run again") from error
