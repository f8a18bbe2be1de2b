"""Write the data set in VOC layout, in parallel and atomically."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from dogcam.data.formats.voc import MARKER
from dogcam.data.sample.annotation import CLASSES
from dogcam.data.sample.rendering import RenderedScene, render_scene
from dogcam.data.workers import n_cores, worker_processes
from dogcam.errors import ConfigError, DataError
from dogcam.files import atomic_write, read_json
from dogcam.files.locks import file_lock

SAMPLE_VERSION = 1
"""Is increased if the images or the annotations change."""

JPEG_QUALITY = 85
FOLDERS = {"JPEGImages": ".jpg", "Annotations": ".xml", "SegmentationClass": ".png"}

Progress = Callable[[int, int], None]
Job = tuple[str, int]
"""Name of a split, and index in it."""


def write_sample(
    root: Path,
    *,
    seed: int = 2007,
    n_train: int = 1200,
    n_val: int = 400,
    n_test: int = 400,
    workers: int | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Path:
    """Render the data set to a folder, unless the folder contains it already, perhaps with more splits.

    The bytes depend on the seed and the counts only. The images are written to a temporary folder next to
    `root`, which is renamed when it is complete. If another process renders to the same folder, the function
    waits for it. With several workers, a script that calls this function needs
    `if __name__ == "__main__":` around its body.

    Args:
        root: the folder to create; it must be missing, empty, or contain an earlier sample.
        seed: random seed of all images.
        n_train: number of images of the split `train`; 0 for no such split.
        n_val: number of images of the split `val`, the tuning split; 0 for no such split.
        n_test: number of images of the split `test`, the reported split; 0 for no such split.
        workers: number of processes; by default one for each available core, fewer for few images.
        progress: called with (finished images, all images) from time to time.
        meanwhile: called once while processes render, for work that this process has besides.

    Returns:
        `root`.

    Raises:
        ConfigError: if a count is negative, all are 0, or the number of workers is below 1.
        DataError: if `root` contains other files, or cannot be written.
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
        # The name is fixed, so that the remains of a killed process are found and removed.
        temporary = root.with_name(f".{root.name}.unfinished")
        with file_lock(root):
            shutil.rmtree(temporary, ignore_errors=True)
            if is_complete(root, marker):
                return root
            try:
                _write_all(temporary / root.name, seed, counts, workers, progress, meanwhile)
                atomic_write(temporary / root.name / MARKER, json.dumps(marker, indent=2) + "\n")
                _replace(temporary / root.name, root)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"the sample cannot be written to {root} ({error}); choose another folder") from error
    return root


def is_complete(root: Path, marker: dict) -> bool:
    """Check whether a folder contains all files of the sample of a marker, perhaps with more splits."""
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


@cache
def palette() -> list[int]:
    """Return VOC's colour map as a flat list: the bits of a value, distributed to red, green and blue."""
    values, colours = np.arange(256), np.zeros((256, 3), int)
    for bit in range(7, -1, -1):
        for channel in range(3):
            colours[:, channel] |= (values >> channel & 1) << bit
        values = values >> 3
    return colours.ravel().tolist()


def annotation_xml(scene: RenderedScene, name: str) -> bytes:
    """Return the VOC annotation of an image; boxes are 1-based and inclusive."""
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
                f"the split {split} of the sample has {count} images; expected at least 1 in a split"
            )
    if workers is not None and workers < 1:
        raise ConfigError(f"the sample has {workers} worker processes; expected at least 1")


def _refuse_foreign(root: Path) -> None:
    """Refuse to overwrite other files: only an earlier sample, complete or damaged, has the marker."""
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise DataError(
            f"{root} is not empty and contains no sample ({MARKER} is missing); choose another folder"
        )


def _replace(fresh: Path, root: Path) -> None:
    """Move a new sample to its folder, which may contain an earlier or damaged one."""
    _refuse_foreign(root)
    if root.is_dir():
        root.rename(fresh.with_name(f"{root.name}.old"))  # is removed with the temporary folder
    fresh.rename(root)


def _write_all(
    root: Path,
    seed: int,
    counts: dict[str, int],
    workers: int | None,
    progress: Progress | None,
    meanwhile: Callable[[], object] | None,
) -> None:
    for folder in (*FOLDERS, "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for split, count in counts.items():
        lines = "".join(f"{image_id(split, index)}\n" for index in range(count))
        for kind in ("Main", "Segmentation"):
            (root / "ImageSets" / kind / f"{split}.txt").write_text(lines, encoding="utf-8")
    jobs = _jobs(counts)
    for done, _ in enumerate(_map(partial(_write_one, root, seed), jobs, workers, meanwhile), start=1):
        if progress and (done % 20 == 0 or done == len(jobs)):
            progress(done, len(jobs))


def _map(
    function: Callable[[Job], None],
    jobs: list[Job],
    workers: int | None,
    meanwhile: Callable[[], object] | None,
) -> Iterator[None]:
    """Apply a function to all jobs; one worker is this process."""
    workers = workers or min(n_cores(), -(-len(jobs) // 16))
    if workers == 1:
        yield from map(function, jobs)
        return
    with worker_processes(workers) as pool:
        done = pool.map(function, jobs, chunksize=8)
        if meanwhile is not None:
            meanwhile()
        yield from done


def _write_one(root: Path, seed: int, job: Job) -> None:
    name = image_id(*job)
    scene = render_scene(seed, *job)
    Image.fromarray(scene.image).save(root / "JPEGImages" / f"{name}.jpg", quality=JPEG_QUALITY)
    mask = Image.fromarray(scene.mask)
    mask.putpalette(palette())  # converts the grey image to a palette image
    mask.save(root / "SegmentationClass" / f"{name}.png")
    (root / "Annotations" / f"{name}.xml").write_bytes(annotation_xml(scene, name))
