"""Write the data set in VOC layout, on several cores, whole or not at all."""

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dogcam.data.formats.voc import MARKER
from dogcam.data.sample.annotation import CLASSES
from dogcam.data.sample.scene import Scene, render_scene
from dogcam.data.workers import worker_processes
from dogcam.errors import ConfigError, DataError
from dogcam.files import atomic_write, file_lock, read_json

SAMPLE_VERSION = 1
"""Counts up whenever the pictures or the annotations change."""

JPEG_QUALITY = 85
FOLDERS = {"JPEGImages": ".jpg", "Annotations": ".xml", "SegmentationClass": ".png"}

Progress = Callable[[int, int], None]
Job = tuple[str, int]
"""Name of a split and position in it."""


def write_sample(
    root: Path,
    *,
    seed: int = 2007,
    n_train: int = 1200,
    n_val: int = 400,
    n_test: int = 400,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Render the data set into a folder, unless it is there already or a sample with more splits is.

    The bytes depend on the seed and the counts only. The scenes are rendered in a temporary folder beside
    `root` and moved into place when the last file is written. Another process that renders into the same
    place is waited for. A script that calls this with several workers
    needs the usual `if __name__ == "__main__":` around its body.

    Args:
        root: the folder to make; it must not exist, be empty or hold an earlier sample.
        seed: seed of all scenes.
        n_train: number of images to train on; 0 for a sample without this split.
        n_val: likewise, of images to choose thresholds and stopping points on.
        n_test: likewise, of images that are reported on and used for nothing else.
        workers: number of processes; by default one for each available core, fewer for a handful of images.
        progress: called with (images done, images in all) now and then.

    Returns:
        `root`.

    Raises:
        ConfigError: if a count is negative, all are 0, or the number of workers is below 1.
        DataError: if `root` holds something else, or cannot be written.
    """
    root = Path(root)
    asked = {"train": n_train, "val": n_val, "test": n_test}
    _refuse_impossible(asked, workers)
    counts = {split: count for split, count in asked.items() if count}
    marker = {"version": SAMPLE_VERSION, "seed": seed, "counts": counts, "classes": list(CLASSES)}
    if is_complete(root, marker):
        return root
    _refuse_foreign(root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        # Its name is known, so that what a killed process left is removed; the lock tells that it was killed.
        beside = root.with_name(f".{root.name}.unfinished")
        with file_lock(root):
            shutil.rmtree(beside, ignore_errors=True)
            if is_complete(root, marker):
                return root
            try:
                _write_all(beside / root.name, seed, counts, workers, progress)
                atomic_write(beside / root.name / MARKER, json.dumps(marker, indent=2) + "\n")
                _take_place(beside / root.name, root)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise DataError(f"the sample cannot be written to {root} ({error}); choose another folder") from error
    return root


def is_complete(root: Path, marker: dict) -> bool:
    """Tell whether a folder holds the whole sample that a marker describes, and perhaps more splits."""
    try:
        there = read_json(root / MARKER)
        counts = there["counts"]
        if there != {**marker, "counts": counts} or not marker["counts"].items() <= counts.items():
            return False
    except (DataError, TypeError, KeyError, AttributeError):
        return False
    jobs = _jobs(marker["counts"])
    wanted = {folder: {image_id(*job) + suffix for job in jobs} for folder, suffix in FOLDERS.items()}
    lists = {f"{split}.txt" for split in marker["counts"]}
    wanted |= {"ImageSets/Main": lists, "ImageSets/Segmentation": lists}
    return all(names <= _names(root / folder) for folder, names in wanted.items())


def image_id(split: str, index: int) -> str:
    """Return the id of an image, such as `test00012`."""
    return f"{split}{index:05d}"


def palette() -> list[int]:
    """Return VOC's colour map, flattened: the bits of a value dealt out to red, green and blue."""
    values, colours = np.arange(256), np.zeros((256, 3), int)
    for bit in range(7, -1, -1):
        for channel in range(3):
            colours[:, channel] |= (values >> channel & 1) << bit
        values = values >> 3
    return colours.ravel().tolist()


def annotation_xml(scene: Scene, name: str) -> bytes:
    """Return a scene's VOC annotation; boxes are 1-based and inclusive."""
    root = ET.Element("annotation")
    height, width, depth = scene.image.shape
    _fill(root, {"folder": "dogcam-sample", "filename": f"{name}.jpg"})
    _fill(ET.SubElement(root, "size"), {"width": width, "height": height, "depth": depth})
    _fill(root, {"segmented": 1})
    for thing in scene.objects:
        element = ET.SubElement(root, "object")
        flags = {"truncated": thing.truncated, "occluded": thing.occluded, "difficult": thing.difficult}
        _fill(element, {"name": thing.name, **{key: int(value) for key, value in flags.items()}})
        x0, y0, x1, y1 = thing.box
        _fill(ET.SubElement(element, "bndbox"), {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1})
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8") + b"\n"


def _fill(element: ET.Element, values: dict[str, str | int]) -> None:
    for key, value in values.items():
        ET.SubElement(element, key).text = str(value)


def _jobs(counts: dict[str, int]) -> list[Job]:
    return [(split, index) for split, count in counts.items() for index in range(count)]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _refuse_impossible(counts: dict[str, int], workers: int | None) -> None:
    for split, count in counts.items():
        if count < 0 or not any(counts.values()):
            raise ConfigError(
                f"the {split} split of the sample cannot have {count} images; ask for at least 1 in a split"
            )
    if workers is not None and workers < 1:
        raise ConfigError(f"the sample cannot be rendered by {workers} processes; ask for at least 1")


def _refuse_foreign(root: Path) -> None:
    """Never overwrite what is not ours: only an earlier sample, whole or damaged, has the marker."""
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise DataError(
            f"{root} is not empty and holds no sample ({MARKER} is missing); choose another folder"
        )


def _take_place(fresh: Path, root: Path) -> None:
    """Put a fresh sample where none, an earlier or a damaged one stands."""
    _refuse_foreign(root)
    if root.is_dir():
        root.rename(fresh.with_name(f"{root.name}.old"))  # removed with the temporary folder
    fresh.rename(root)


def _write_all(
    root: Path, seed: int, counts: dict[str, int], workers: int | None, progress: Progress | None
) -> None:
    for folder in (*FOLDERS, "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for split, count in counts.items():
        lines = "".join(f"{image_id(split, index)}\n" for index in range(count))
        for kind in ("Main", "Segmentation"):
            (root / "ImageSets" / kind / f"{split}.txt").write_text(lines, encoding="utf-8")
    jobs = _jobs(counts)
    for done, _ in enumerate(_map(partial(_write_one, root, seed), jobs, workers), start=1):
        if progress and (done % 20 == 0 or done == len(jobs)):
            progress(done, len(jobs))


def _map(function: Callable[[Job], None], jobs: list[Job], workers: int | None) -> Iterator[None]:
    """Apply a function to all jobs, in this process where there is only one worker."""
    workers = workers or min(_available_cores(), -(-len(jobs) // 16))
    if workers == 1:
        yield from map(function, jobs)
        return
    with worker_processes(workers) as pool:
        yield from pool.map(function, jobs, chunksize=8)


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_one(root: Path, seed: int, job: Job) -> None:
    name = image_id(*job)
    scene = render_scene(seed, *job)
    Image.fromarray(scene.image).save(root / "JPEGImages" / f"{name}.jpg", quality=JPEG_QUALITY)
    mask = Image.fromarray(scene.mask)
    mask.putpalette(palette())  # turns the grey image into one of palette indices
    mask.save(root / "SegmentationClass" / f"{name}.png")
    (root / "Annotations" / f"{name}.xml").write_bytes(annotation_xml(scene, name))
