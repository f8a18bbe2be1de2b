"""The same photographs and boxes give the same record, whichever format they are in."""

from dataclasses import replace

import pytest

import report
from dogcam.data.conversion import convert
from dogcam.data.formats import FORMATS, format_named, image_folder
from dogcam.data.formats.voc import write
from dogcam.data.reading import read_split
from dogcam.structures.images import LabelledObject, Split
from dogcam.structures.rules import ReadRules
from tests.support.runs import BATCH, record_of

OTHERS = ("coco", "yolo", "csv")

OF_THE_RUN = ("run", "seal")
"""Entries of the record that state its time, or depend on it."""

THE_FOLDER = {"config.data", "data.name"}
"""Paths of the record that name the folder."""


def plain(split: Split, n_images: int) -> Split:
    """Take the first images, with no more than every format can represent: neither masks nor flags."""
    images = tuple(
        replace(
            image,
            mask_path=None,
            objects=tuple(LabelledObject(thing.name, thing.box) for thing in image.objects),
        )
        for image in split.images[:n_images]
    )
    return replace(split, images=images)


def leaves(part: object, path: str = "") -> dict[str, object]:
    """Return every value of a record by its path."""
    if isinstance(part, dict | list):
        items = part.items() if isinstance(part, dict) else enumerate(part)
        found: dict[str, object] = {path: type(part).__name__ + str(len(part))}
        for name, value in items:
            found |= leaves(value, f"{path}.{name}" if path else str(name))
        return found
    return {path: part}


def test_every_format_with_boxes_is_compared():
    assert {form.NAME for form in FORMATS} - {image_folder.NAME} == {"voc", *OTHERS}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_every_format_gives_the_same_record(small_data, small_checkpoint, tmp_path):
    """Bit for bit: predictions, boxes, AP, intervals, failures, pictures; apart from the run's own facts."""
    folders = {"voc": tmp_path / "voc"}
    write(
        folders["voc"],
        [plain(read_split(small_data, name), count) for name, count in (("test", 8), ("val", 6))],
    )
    for name in OTHERS:
        folders[name] = tmp_path / name
        convert(folders["voc"], folders[name], format_named(name), ReadRules())
    records = {}
    for name, folder in folders.items():
        out = tmp_path / f"run-{name}"
        report.run_report(
            folder, out, split="test", tuning_split="val", model="sample_net", checkpoint=small_checkpoint,
            batch_size=BATCH, device="cpu", n_resamples=100, per_type=1,
        )  # fmt: skip
        records[name] = leaves({key: value for key, value in record_of(out).items() if key not in OF_THE_RUN})
    expected = records["voc"]
    assert expected["data.reported.n_target_objects"] >= 2 and len(expected) > 1000
    for name in OTHERS:
        different = {path for path in expected.keys() | records[name].keys()
                     if expected.get(path, "missing") != records[name].get(path, "missing")}  # fmt: skip
        assert different <= THE_FOLDER, name
