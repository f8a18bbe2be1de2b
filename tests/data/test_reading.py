"""The checks between an annotation and its photograph: orientation, names, sizes, masks."""

import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from dogcam.cli.main import main
from dogcam.data.formats import format_named, voc
from dogcam.data.image_cache import label_matrix
from dogcam.data.images import read_mask, read_pixels
from dogcam.data.reading import read_split, split_ids, split_names
from dogcam.data.validation import doubtful_masks, validate
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage, LabelledObject
from dogcam.structures.rules import ReadRules
from tests.support.data_sets import OBJECTS, make_split, photograph

BOX = (3, 5, 17, 11)
"""Half-open, in the stored pixels of a picture of 24 x 16."""


def one_image(folder: Path, orientation: int, size: tuple[int, int], box=BOX, stored=(16, 24)) -> Path:
    """Write a VOC folder whose only photograph has an EXIF orientation, and whose XML states `size`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(folder / "JPEGImages" / "a.jpg", stored, exif=exif)
    corners = zip(("xmin", "ymin", "xmax", "ymax"), voc.to_inclusive([box])[0], strict=True)
    inner = "".join(f"<{key}>{int(value)}</{key}>" for key, value in corners)
    text = (
        f"<annotation><size><height>{size[0]}</height><width>{size[1]}</width></size>"
        f"<object><name>dog</name><bndbox>{inner}</bndbox></object></annotation>"
    )
    for path, content in (("Annotations/a.xml", text), ("ImageSets/Main/val.txt", "a\n")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def turned_box(orientation: int) -> list[int]:
    """Turn a picture that is white in the box as Pillow turns photographs, and find the white again."""
    pixels = np.zeros((16, 24), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    return list(ImageOps.exif_transpose(picture).getbbox())


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_pixels_are_turned_with_the_photograph(tmp_path, orientation):
    (image,) = read_split(one_image(tmp_path, orientation, (16, 24)), "val").images
    assert image.size == (24, 16)
    assert image.annotated_as_stored
    assert list(image.objects[0].box) == turned_box(orientation)
    assert read_pixels(image).size == (16, 24)


@pytest.mark.parametrize("stated", [(3000, 4000), (375, 500)])
def test_a_large_jpeg_is_read_small_and_has_its_stated_size(tmp_path, stated):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (40, 30), "red").resize((4000, 3000)).save(path)
    image = LabelledImage("large", path, *stated)
    if stated == (3000, 4000):
        # A quarter of 3000 and an eighth: 375 is the smallest that is no less than 320.
        assert read_pixels(image, 320).size == (500, 375)
    else:
        with pytest.raises(DataError, match=r"large\.jpg has 4000 x 3000.*500 x 375"):
            read_pixels(image, 320)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_of_the_stored_pixels_are_turned_too(tmp_path, orientation):
    folder = one_image(tmp_path, orientation, (16, 24))
    mask = np.zeros((16, 24), np.uint8)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 12
    (folder / "SegmentationClass").mkdir()
    Image.fromarray(mask).save(folder / "SegmentationClass" / "a.png")
    (image,) = read_split(folder, "val").images
    x0, y0, x1, y1 = turned_box(orientation)
    assert (read_mask(image)[y0:y1, x0:x1] == 12).all()
    assert (read_mask(image) == 12).sum() == (mask == 12).sum()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_upright_picture_are_taken_as_they_are(tmp_path, caplog, orientation):
    (image,) = read_split(one_image(tmp_path, orientation, (24, 16), (3, 5, 11, 17)), "val").images
    assert (image.objects[0].box, image.annotated_as_stored) == ((3, 5, 11, 17), False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("orientation", "side"), [(2, (16, 24)), (3, (16, 24)), (4, (16, 24)), (6, (24, 24))]
)
def test_where_the_size_does_not_tell_upright_is_assumed_and_said(tmp_path, caplog, orientation, side):
    (image,) = read_split(one_image(tmp_path, orientation, side, stored=side), "val").images
    assert image.objects[0].box == BOX
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert all(word in record.getMessage() for word in ("EXIF", "such as a", "upright"))


def test_a_size_that_is_neither_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg.* 16 x 24 .*EXIF.*a\.xml.* 24 x 24"):
        read_split(one_image(tmp_path, 6, (24, 24)), "val")


@pytest.fixture
def voc_folder(tmp_path):
    format_named("voc").write(tmp_path / "voc", [make_split(tmp_path / "photographs")])
    return tmp_path / "voc"


def list_of(folder: Path, name: str = "val") -> Path:
    return folder / "ImageSets" / "Main" / f"{name}.txt"


def rename(folder: Path, old: str, new: str) -> None:
    for path in (folder / "JPEGImages" / f"{old}.jpg", folder / "Annotations" / f"{old}.xml"):
        path.rename(path.with_name(new + path.suffix))


def test_ids_with_spaces_are_the_listed_photographs(voc_folder):
    shutil.copy(voc_folder / "JPEGImages/a.jpg", voc_folder / "JPEGImages/a copy.jpg")
    xml = (voc_folder / "Annotations/a.xml").read_text()
    (voc_folder / "Annotations/a copy.xml").write_text(xml.replace("dog", "fox"))
    list_of(voc_folder).write_text("a copy\n")
    (image,) = read_split(voc_folder, "val").images
    assert (image.id, image.path.name, image.labels) == ("a copy", "a copy.jpg", {"fox", "cat"})


def test_ids_that_end_in_a_number_are_no_flags(voc_folder):
    rename(voc_folder, "a", "my dog 1")
    list_of(voc_folder).write_text("my dog 1\n")
    assert [image.id for image in read_split(voc_folder, "val").images] == ["my dog 1"]


def test_lists_with_flags_and_with_suffixes(voc_folder):
    list_of(voc_folder, "dog_val").write_text("a  1\nb -1\n")
    list_of(voc_folder, "val_2007").write_text("a.jpg\nb.PNG\n")
    assert split_names(voc_folder) == ("val", "val_2007")
    assert split_ids(voc_folder, "val_2007") == split_ids(voc_folder, "dog_val") == ["a", "b"]


@pytest.mark.parametrize("twice", ["./a", "s/../a", "a.jpg"])
def test_one_image_in_two_spellings_is_listed_twice(voc_folder, twice):
    list_of(voc_folder).write_text(f"a\n{twice}\n")
    with pytest.raises(DataError, match="'a' 2 times"):
        read_split(voc_folder, "val")


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "s/../../a", "../../a", "."])
def test_an_id_does_not_leave_the_data_set(voc_folder, name):
    list_of(voc_folder).write_text(f"{name}\n")
    with pytest.raises(DataError, match=re.escape(repr(name))):
        read_split(voc_folder, "val")


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".Jpeg", ".png", ".webp", ".bmp", ".tif"])
def test_any_suffix_of_a_photograph_is_found(voc_folder, suffix):
    path = voc_folder / "JPEGImages" / "a.jpg"
    with Image.open(path) as picture:
        picture.load()
        path.unlink()
        picture.save(path.with_suffix(suffix))
    assert read_split(voc_folder, "val").images[0].path.suffix == suffix


def test_two_photographs_of_one_id_are_told_by_the_annotation_or_refused(voc_folder):
    shutil.copy(voc_folder / "JPEGImages/a.jpg", voc_folder / "JPEGImages/a.jpeg")
    assert read_split(voc_folder, "val").images[0].path.name == "a.jpg"
    path = voc_folder / "Annotations/a.xml"
    path.write_text(path.read_text().replace("a.jpg", ""))
    with pytest.raises(DataError, match=r"a\.jpeg, a\.jpg"):
        read_split(voc_folder, "val")


def test_classes_that_differ_in_case_count_as_one_and_are_named(voc_folder, caplog):
    path = voc_folder / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<name>dog", "<name>Dog"))
    found = read_split(voc_folder, "val")
    assert found.class_names() == ("cat", "dog")
    assert "'Dog'" in caplog.text
    assert "'dog'" in caplog.text


def test_a_label_that_differs_from_a_class_in_case_is_refused(voc_folder):
    images = read_split(voc_folder, "val").images
    assert label_matrix(images, ("dog", "cat")).tolist() == [[1, 1], [0, 0], [1, 0]]
    with pytest.raises(DataError, match=r"a\.xml.*'dog'.*'Dog'"):
        label_matrix(images, ("Dog", "cat"))


def test_fractions_are_refused(tmp_path):
    objects = OBJECTS | {"a": (LabelledObject("dog", (0.1, 0.1, 0.3, 0.3)),)}
    format_named("csv").write(tmp_path / "csv", [make_split(tmp_path / "photographs", objects)])
    with pytest.raises(DataError, match=r"0\.1, 0\.1, 0\.3, 0\.3.*fractions.* 40 x 30"):
        read_split(tmp_path / "csv", "val")


def test_fractions_as_inclusive_pixels_are_neither_read_nor_clipped(tmp_path):
    """VOC's first corner is reduced by 1: 0.1 becomes -0.9, which must not be clipped to 0."""
    folder = one_image(tmp_path, 1, (16, 24))
    path = folder / "Annotations" / "a.xml"
    text = path.read_text()
    for value, fraction in zip((4, 6, 17, 11), (0.1, 0.2, 0.5, 0.6), strict=True):
        text = text.replace(f">{value}</", f">{fraction}</", 1)
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.xml.*fractions.* 24 x 16"):
        read_split(folder, "val")
    found = read_split(folder, "val", rules=ReadRules("clip"))
    assert found.images[0].objects == () and (found.n_clipped, found.n_skipped) == (0, 1)


def test_other_scales_are_refused_with_box_and_size(voc_folder):
    path = voc_folder / "Annotations" / "a.xml"
    text = path.read_text()
    for xmax, shown in (("1000", "1000"), ("1e154", "1e+154"), ("1" * 400, "xmax")):
        path.write_text(text.replace("<xmax>10<", f"<xmax>{xmax}<"))
        with pytest.raises(DataError, match=rf"a\.xml.*{re.escape(shown)}"):
            read_split(voc_folder, "val")


def test_all_faults_are_listed_at_once_or_skipped(voc_folder, caplog):
    (voc_folder / "JPEGImages/b.PNG").unlink()
    (voc_folder / "Annotations/s/c.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"(?s)2 images.*b\.jpg.*c\.xml"):
        read_split(voc_folder, "val")
    found = read_split(voc_folder, "val", rules=ReadRules(on_error="skip"))
    assert ([image.id for image in found.images], found.skipped_images) == (["a"], ("b", "s/c"))
    assert "2 images" in caplog.text


def test_nothing_left_is_an_error_even_when_faults_are_skipped(voc_folder):
    list_of(voc_folder).write_text("x\n")
    with pytest.raises(DataError, match=r"x\.xml"):
        read_split(voc_folder, "val", rules=ReadRules(on_error="skip"))


def write_masks(folder: Path, number: int) -> None:
    """Write masks of two images that show the dog's box under a number."""
    for name, size, box in (("a", (30, 40), (0, 1, 10, 20)), ("s/c", (50, 20), (3, 7, 20, 50))):
        mask = np.zeros(size, np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = number
        path = folder / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)


def test_masks_of_another_numbering_are_doubted_and_a_list_settles_it(voc_folder):
    write_masks(voc_folder, 12)
    assert doubtful_masks(read_split(voc_folder, "val")) is None
    write_masks(voc_folder, 2)
    doubt = doubtful_masks(read_split(voc_folder, "val"))
    assert "'bicycle'" in doubt
    assert "2 of 2" in doubt
    (voc_folder / "SegmentationClass/classes.txt").write_text("cat\ndog\n")
    assert doubtful_masks(read_split(voc_folder, "val")) is None


def test_masks_survive_a_conversion_to_voc(voc_folder, tmp_path):
    write_masks(voc_folder, 2)
    (voc_folder / "SegmentationClass/classes.txt").write_text("cat\ndog\n")
    original = read_split(voc_folder, "val")
    format_named("voc").write(tmp_path / "again", [original])
    found = read_split(tmp_path / "again", "val")
    assert found.mask_classes == ("cat", "dog")
    assert found.masks_sha256 == original.masks_sha256


def test_validate_lists_every_fault_in_one_pass(voc_folder):
    write_masks(voc_folder, 2)
    (voc_folder / "JPEGImages/b.PNG").unlink()
    photo = voc_folder / "JPEGImages/s/c.jpg"
    photo.write_bytes(photo.read_bytes()[:-200])
    xml = voc_folder / "Annotations/a.xml"
    xml.write_text(xml.read_text().replace("<xmax>10<", "<xmax>41<").replace("<ymax>30<", "<ymax>31<"))
    list_of(voc_folder, "train").write_text("a\na\n")
    train, val = validate(voc_folder)
    assert "'a' 2 times" in train.faults[0]
    assert (val.n_images, val.n_objects) == (3, {"dog": 1})
    faults = "\n".join(val.faults)
    assert all(name in faults for name in ("41", "31", "b.jpg", "c.jpg"))
    assert "bicycle" in val.warnings[0]
    result = CliRunner().invoke(main, ["validate", str(voc_folder)])
    assert (result.exit_code, "4 faults" in result.output) == (1, True)
    assert CliRunner().invoke(main, ["validate", str(voc_folder), "--on-error", "skip"]).exit_code == 0


def test_the_commands_convert_and_validate(voc_folder, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["convert-data", str(voc_folder), str(out), "--to", "coco"])
    assert result.exit_code == 0, result.output
    assert "3 images and 3 objects" in result.output
    assert [image.objects for image in read_split(out, "val").images] == list(OBJECTS.values())
    result = CliRunner().invoke(main, ["validate", str(out)])
    assert (result.exit_code, "0 faults" in result.output) == (0, True)


def test_convert_data_states_what_is_lost(tmp_path):
    objects = OBJECTS | {"b": (LabelledObject("dog", (1.0, 2.0, 9.0, 8.0), difficult=True),)}
    format_named("csv").write(tmp_path / "csv", [make_split(tmp_path / "photographs", objects)])
    command = ["convert-data", str(tmp_path / "csv"), str(tmp_path / "out"), "--to", "yolo"]
    assert CliRunner().invoke(main, command).exit_code == 1
    result = CliRunner().invoke(main, [*command, "--allow-loss"])
    assert result.exit_code == 0
    assert "lost: difficult flags (1)" in result.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_list_without_permission_is_named(voc_folder):
    list_of(voc_folder).chmod(0)
    with pytest.raises(DataError, match=r"val\.txt"):
        read_split(voc_folder, "val")
