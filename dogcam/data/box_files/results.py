"""Detections from JSON files of dogcam, COCO, VOC results files, YOLO labels and CSV."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from dogcam.data.box_files.truth import CORNERS, BoxTruth, own_box, shown, stated_pixels
from dogcam.data.boxes_in_image import are_fractions, in_pixels
from dogcam.data.formats import boxes_csv, coco, yolo
from dogcam.data.formats.base import Pixels, without_suffix
from dogcam.errors import DataError
from dogcam.files import read_json, read_text
from dogcam.files.numbers import finite
from dogcam.structures.boxes import as_boxes
from dogcam.structures.defaults import TARGET
from dogcam.structures.detections import Detections

DETECTIONS_FORM = '{"id": [[xmin, ymin, xmax, ymax, score], ...], ...}'
"""The JSON format of dogcam, for error messages."""


class ReadDetection(NamedTuple):
    """One detection: index of its image, class, half-open box and score."""

    image: int
    name: str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class BoxResults:
    """The detections of all classes, in the order of the files."""

    rows: tuple[ReadDetection, ...]

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that occur, sorted."""
        return tuple(sorted({row.name for row in self.rows}))

    def detections(self, name: str) -> Detections:
        """Return the detections of one class, sorted by image, then in the order of the files."""
        rows = sorted((row for row in self.rows if row.name == name), key=lambda row: row.image)
        return Detections(
            np.array([row.image for row in rows], dtype=np.int64),
            as_boxes([row.box for row in rows]),
            np.array([row.score for row in rows], dtype=np.float64),
        )


def read_results(
    path: Path, truth: BoxTruth, pixels: Pixels | None = None, target: str | None = None
) -> BoxResults:
    """Read detections of any supported format, which is recognised.

    Args:
        path: a JSON file of dogcam, COCO results, a COCO document whose annotations have scores, a VOC
            results file or a folder of them, a folder of YOLO label files with scores, or a CSV file with
            the column `score`. Those of `dogcam detect` name the paths of images, which may be absolute.
        truth: the images; images without detections may be missing in the file.
        pixels: box convention of a JSON file of dogcam; None for the one that the file states, or else that
            of the ground truth.
        target: class of the detections in a file that states none.

    Raises:
        DataError: if it is missing or malformed, or names an unknown image or class; the message states file,
            image and fault.
    """
    reader = _ResultsReader(path, truth, pixels, target)
    return BoxResults(tuple(reader.checked(row) for row in reader.rows()))


@dataclass(frozen=True)
class _ResultsReader:
    path: Path
    truth: BoxTruth
    pixels: Pixels | None
    target: str | None

    def rows(self) -> Iterator[ReadDetection]:
        suffix = self.path.suffix.lower()
        if self.path.is_dir():
            yield from self._folder()
        elif suffix in boxes_csv.FILE_SUFFIXES:
            yield from self._csv()
        elif suffix == ".txt":
            yield from self._voc(self.path)
        else:
            document = read_json(self.path)
            if isinstance(document, list):
                yield from self._coco_results(document)
            elif isinstance(document, dict) and "annotations" in document.keys() - self.indices.keys():
                yield from self._coco_document(document)
            else:
                yield from self._own(document)

    def checked(self, row: ReadDetection) -> ReadDetection:
        """Return a row after checking its box against its image."""
        height, width = self.truth.sizes[row.image]
        x0, y0, x1, y1 = row.box
        fractions = are_fractions(row.box)
        if fractions or not (x0 < width and y0 < height and x1 > 0 and y1 > 0):
            fault = "is in fractions of" if fractions else "is outside"
            text = ", ".join(f"{value:g}" for value in row.box)
            raise DataError(
                f"{self.path}: image {self.truth.ids[row.image]!r} has the box [{text}] (x0, y0, x1, y1, "
                f"0-based), which {fault} the image of {width} x {height} pixels; correct the file"
            )
        return row

    def index(self, name: str) -> int:
        """Return the index of an image."""
        if name not in self.indices:
            raise DataError(
                f"{self.path} has boxes for the image {name[:80]!r}, which the ground truth does not list; "
                f"expected an id such as {self.truth.ids[0]!r}"
            )
        return self.indices[name]

    def index_of_path(self, path: str) -> int:
        """Return the index of the image whose id ends the path of its file; the longest such id is taken.

        Raises:
            DataError: if there is none, or the same id ends another path: two images would count as one.
        """
        parts = PurePosixPath(posixpath.normpath(path)).parts
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        names = (form for end in ends for form in (end, without_suffix(end)))
        stem = without_suffix(ends[0])
        index = self.index(next((name for name in names if name in self.indices), stem))
        other = self.stems.setdefault(index, stem)
        if other != stem:
            raise DataError(
                f"{self.path} has boxes for the images {other!r} and {stem!r}, whose paths both end in the "
                f"id {self.truth.ids[index]!r}; expected one image for each id"
            )
        return index

    @cached_property
    def stems(self) -> dict[int, str]:
        """The path without suffix by which an image was found, by its index."""
        return {}

    @cached_property
    def indices(self) -> dict[str, int]:
        """The index of each image."""
        return {name: index for index, name in enumerate(self.truth.ids)}

    def only_class(self) -> str:
        names = (self.target,) if self.target else self.truth.class_names() or (TARGET,)
        if len(names) > 1:
            raise DataError(
                f"{self.path} states no classes, and the ground truth has {', '.join(names)}; "
                "choose one with --target"
            )
        return names[0]

    def _own(self, document: Any) -> Iterator[ReadDetection]:
        if not isinstance(document, dict):
            raise DataError(f"{self.path} holds {shown(document, 40)}; expected {DETECTIONS_FORM}")
        nested = isinstance(document.get("boxes"), dict) and "boxes" not in self.indices
        pixels = stated_pixels(self.path, document if nested else {}, self.pixels, self.truth.pixels)
        boxes = document["boxes"] if nested else document
        name = self.only_class() if boxes else "dog"
        for image, rows in boxes.items():
            index = self.index(image)
            if not isinstance(rows, list):
                raise DataError(
                    f"{self.path}: image {image!r} has {shown(rows, 40)}; expected a list of boxes"
                )
            for number, row in enumerate(rows):
                try:
                    x0, y0, x1, y1, score = own_box(row, (*CORNERS, "score"), pixels, f"box {number}")
                except ValueError as error:
                    raise DataError(f"{self.path}: image {image!r}, {error}; correct the file") from error
                yield ReadDetection(index, name, (x0, y0, x1, y1), score)

    def _coco_results(self, rows: list[Any]) -> Iterator[ReadDetection]:
        """Read a list whose numbers of images and categories are those of the ground truth."""
        images = self.truth.numbers or {name: name for name in self.truth.ids}
        indices = {number: self.indices[name] for number, name in images.items() if name in self.indices}
        return self._coco(rows, indices, self.truth.classes)

    def _coco_document(self, content: Any) -> Iterator[ReadDetection]:
        """Read a document that states its own images and categories, such as that of `dogcam detect`."""
        document = coco.checked_document(content, self.path)
        try:
            names = coco.category_names(document["categories"])
            indices = {each["id"]: self.index_of_path(str(each["file_name"])) for each in document["images"]}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path} is not a COCO annotation: {error}; correct the file") from error
        return self._coco(document["annotations"], indices, names)

    def _coco(
        self, rows: list[Any], indices: Mapping[Any, int], names: Mapping[Any, str]
    ) -> Iterator[ReadDetection]:
        for number, row in enumerate(rows):
            try:
                image, category = row["image_id"], row["category_id"]
                if image not in indices:
                    raise ValueError(f"the image {image!r} is unknown")
                if category not in names:
                    raise ValueError(f"the category {category!r} is unknown")
                box = coco.corners(row["bbox"], "the detection")
                score = finite(row["score"], "score")
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{self.path}, entry {number}: {error}; correct the file") from error
            yield ReadDetection(indices[image], names[category], box, score)

    def _csv(self) -> Iterator[ReadDetection]:
        for number, row in boxes_csv.read_rows(self.path):
            if not row["x0"].strip():
                continue
            try:
                score = finite(row.get("score"), "score")
                box = boxes_csv.read_box(row)
            except ValueError as error:
                raise DataError(f"{self.path}, line {number}: {error}; correct the file") from error
            yield ReadDetection(self.index_of_path(row["image"]), row["class"].strip(), box, score)

    def _folder(self) -> Iterator[ReadDetection]:
        labels = self.path / "labels"
        folder = labels if labels.is_dir() else self.path
        files = sorted(folder.rglob("*.txt"))
        if not files:
            raise DataError(f"{self.path} has no results; expected VOC results files or YOLO label files")
        names = [path.relative_to(folder).with_suffix("").as_posix() for path in files]
        if not set(names) <= self.indices.keys():
            for path in files:
                yield from self._voc(path)
            return
        # The class numbers are those of the file next to the labels; the ground truth may have others.
        config = yolo.find(self.path) or yolo.find(self.path.parent / "data.yaml")
        classes = yolo.numbers(config, "")[1] if config else dict(self.truth.classes)
        classes = classes or dict(enumerate(self.truth.class_names()))
        for name, path in zip(names, files, strict=True):
            index = self.index(name)
            for label, box, score in yolo.read_labels(path, classes, scored=True):
                yield ReadDetection(index, label, in_pixels(box, self.truth.sizes[index]), score)

    def _voc(self, path: Path) -> Iterator[ReadDetection]:
        """Read lines of `id score xmin ymin xmax ymax`; the class ends the file's name."""
        if self.pixels == "half-open":
            raise DataError(
                f"{path} is a VOC results file, whose boxes are inclusive; found --pixels half-open"
            )
        known = sorted(self.truth.class_names(), key=len, reverse=True)
        last = path.stem.rpartition("_")[2]
        name = next((each for each in known if path.stem == each or path.stem.endswith(f"_{each}")), last)
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            words = line.rsplit(None, 5)
            if not words:
                continue
            try:
                if len(words) != 6:
                    raise ValueError("expected id, score, xmin, ymin, xmax and ymax")
                score, *corners = (
                    finite(word, f"column {column}") for column, word in enumerate(words[1:], 2)
                )
                x0, y0, x1, y1 = own_box(corners, CORNERS, "inclusive", "the box")
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}; correct the file") from error
            yield ReadDetection(self.index(without_suffix(words[0].strip())), name, (x0, y0, x1, y1), score)
