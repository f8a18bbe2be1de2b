"""Reading of the VOC layout: what comes out of sound files, and what is said of each kind of broken one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogcam.data.formats import recognise
from dogcam.data.formats.voc import CLASSES, to_half_open, to_inclusive
from dogcam.data.images import VOID, read_mask, read_pixels
from dogcam.data.reading import read_split, split_names
from dogcam.errors import DataError

HEIGHT, WIDTH = 30, 40
DOG = ("dog", (1, 2, 10, 20), 0, 0)
CAT = ("cat", (11, 1, 40, 30), 1, 1)
DOG_AT_THE_EDGE = ("dog", (40, 30, 40, 30), 1, 0)


def make_xml(objects: list, size: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    body = ""
    for name, box, difficult, truncated in objects:
        named = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        corners = "".join(f"<{key}>{value}</{key}>" for key, value in named)
        part = "<part><name>head</name><bndbox><xmin>3</xmin></bndbox></part>"
        body += (
            f"<object><name>{name}</name><truncated>{truncated}</truncated><difficult>{difficult}</difficult>"
            f"<bndbox>{corners}</bndbox>{part}</object>"
        )
    sides = f"<height>{size[0]}</height><width>{size[1]}</width>"
    return f"<annotation><size>{sides}<depth>3</depth></size>{body}</annotation>"


def make_root(root: Path) -> Path:
    """Write three images: two dogs and a cat; nothing; a dog. `val` lists them out of order."""
    contents = {"000007": [DOG, CAT, DOG_AT_THE_EDGE], "000003": [], "000005": [DOG]}
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for index, (image_id, objects) in enumerate(contents.items()):
        (root / "Annotations" / f"{image_id}.xml").write_text(make_xml(objects))
        pixels = np.full((HEIGHT, WIDTH, 3), 60 * index, dtype=np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.jpg")
    write_mask(root, np.full((HEIGHT, WIDTH), CLASSES.index("dog") + 1))
    lists = {"val": "000007 \n000003\n\n000005\n", "train": "000003\n", "dog_val": "000007  1\n000003 -1\n"}
    for name, text in lists.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
    return root


def write_mask(root: Path, values: np.ndarray) -> None:
    mask = Image.fromarray(values.astype(np.uint8), mode="P")
    mask.putpalette([channel for value in range(256) for channel in (value, 255 - value, 7)])
    mask.save(root / "SegmentationClass" / "000007.png")


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path / "data")


def list_path(root: Path) -> Path:
    return root / "ImageSets" / "Main" / "val.txt"


def xml_path(root: Path) -> Path:
    return root / "Annotations" / "000003.xml"


def test_only_the_first_corner_moves():
    assert to_half_open([[1, 1, 1, 1], [48, 240, 195, 371]]).tolist() == [[0, 0, 1, 1], [47, 239, 195, 371]]
    assert to_half_open([]).shape == (0, 4)


def test_the_conversions_are_each_others_inverse():
    boxes = np.array([[1.0, 2.0, 3.0, 4.0], [10.5, 1.0, 500.0, 375.0]])
    assert to_inclusive(to_half_open(boxes)).tolist() == boxes.tolist()
    assert to_inclusive([]).shape == (0, 4)


def test_a_split_in_the_order_of_its_list(root):
    split = read_split(root, "val")
    assert split.name == "val"
    assert len(split) == 3
    assert [image.id for image in split.images] == ["000007", "000003", "000005"]
    assert split.class_names() == ("cat", "dog")
    first, empty, _ = split.images
    assert first.size == (HEIGHT, WIDTH)
    assert first.labels == {"cat", "dog"}
    assert first.boxes_of("dog").tolist() == [[0, 1, 10, 20], [39, 29, 40, 30]]
    assert [thing.difficult for thing in first.objects] == [False, True, True]
    assert [thing.truncated for thing in first.objects] == [False, True, False]
    assert empty.objects == ()
    assert empty.labels == frozenset()
    assert empty.boxes_of("dog").shape == (0, 4)


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (2, 2), (0, 0), (9, 3)])
def test_limit_takes_the_start_of_the_list(root, limit, count):
    ids = [image.id for image in read_split(root, "val", limit).images]
    assert ids == ["000007", "000003", "000005"][:count]


def test_lists_of_single_classes_are_no_splits(root):
    assert split_names(root) == ("train", "val")


def test_photographs_and_masks(root):
    image = read_split(root, "val").images[0]
    photograph = read_pixels(image)
    assert (photograph.mode, photograph.size) == ("RGB", (WIDTH, HEIGHT))
    mask = read_mask(image)
    assert (mask.shape, mask.dtype) == ((HEIGHT, WIDTH), np.uint8)
    assert np.unique(mask).tolist() == [12], "the index of the palette, not its colour"


def test_void_comes_through(root):
    values = np.zeros((HEIGHT, WIDTH))
    values[0] = VOID
    write_mask(root, values)
    mask = read_mask(read_split(root, "val").images[0])
    assert (mask == VOID).sum() == WIDTH


@pytest.mark.parametrize("nesting", ["", "VOC2007", "VOCdevkit/VOC2007"])
def test_the_root_is_found_inside_an_unpacked_release(tmp_path, nesting):
    root = make_root(tmp_path / "release" / nesting)
    assert recognise(tmp_path / "release")[1] == root
    assert len(read_split(tmp_path / "release", "val")) == 3
    if nesting == "VOCdevkit/VOC2007":
        assert recognise(tmp_path / "release" / "VOCdevkit")[1] == root


def test_several_data_sets_are_not_guessed_between(tmp_path):
    make_root(tmp_path / "VOCdevkit" / "VOC2007")
    make_root(tmp_path / "VOCdevkit" / "VOC2012")
    with pytest.raises(DataError, match="VOC2007, VOC2012"):
        recognise(tmp_path)


def test_no_data_set(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist[^$]*voc"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"voc \(ImageSets/Main"):
        recognise(tmp_path)


def test_the_manifest_is_that_of_photographs_objects_and_their_order(root, tmp_path):
    manifest = read_split(root, "val").manifest
    assert len(manifest) == 64
    assert read_split(make_root(tmp_path / "elsewhere"), "val").manifest == manifest
    assert read_split(root, "val", limit=2).manifest != manifest
    photograph, annotation = root / "JPEGImages" / "000005.jpg", root / "Annotations" / "000005.xml"
    for path, changed in (
        (photograph, photograph.read_bytes() + b" "),
        (annotation, make_xml([CAT]).encode()),
        (annotation, make_xml([(*DOG[:2], 1, 0)]).encode()),
    ):
        content = path.read_bytes()
        path.write_bytes(changed)
        assert read_split(root, "val").manifest != manifest
        path.write_bytes(content)
    annotation.write_bytes(annotation.read_bytes() + b"\n")  # the objects are the same
    assert read_split(root, "val").manifest == manifest
    list_path(root).write_text("000003\n000007\n000005\n")
    assert read_split(root, "val").manifest != manifest


def test_a_split_that_is_not_there_names_those_that_are(root):
    with pytest.raises(DataError, match=r"test\.txt.* train, val"):
        read_split(root, "test")
    for path in (root / "ImageSets" / "Main").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"test\.txt.* none"):
        read_split(root, "test")


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_an_empty_list(root, text):
    list_path(root).write_text(text)
    with pytest.raises(DataError, match=r"'val'.* is empty"):
        read_split(root, "val")


def test_an_image_that_is_listed_twice(root):
    list_path(root).write_text("000007\n000003\n000007\n")
    with pytest.raises(DataError, match="'000007' 2 times"):
        read_split(root, "val")


def test_a_byte_order_mark_is_no_part_of_an_id(root):
    list_path(root).write_text("000007\n000003\n", encoding="utf-8-sig")
    assert [image.id for image in read_split(root, "val").images] == ["000007", "000003"]


def test_a_list_that_is_no_text(root):
    list_path(root).write_bytes("000007\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"val\.txt is not UTF-8 \(.*byte 0xff"):
        read_split(root, "val")


def test_a_missing_annotation(root):
    xml_path(root).unlink()
    with pytest.raises(DataError, match=r"000003\.xml.*No such file"):
        read_split(root, "val")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no element found"),
        ("<annotation><size>", "no element found"),
        ("\0\1", "not well-formed"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unknown encoding: klingon"),
        ("<annotation/>", "size/height.*missing"),
        (make_xml([], size=("tall", 40)), "size/height.*'tall'"),
        (make_xml([], size=(30, 40.5)), r"size/width.*'40\.5'"),
        (make_xml([], size=(30, "inf")), "size/width.*'inf'"),
        (make_xml([], size=("", 40)), "size/height.*''"),
        (make_xml([("", (1, 1, 2, 2), 0, 0)]), "object.* name"),
        (make_xml([DOG]).replace("ymax", "zmax"), r"\bdog\b.* bndbox"),
        (make_xml([("dog", (1, 1, "far", 2), 0, 0)]), "far"),
    ],
)
def test_a_malformed_annotation(root, text, fault):
    xml_path(root).write_text(text)
    with pytest.raises(DataError, match=rf"000003\.xml.*{fault}"):
        read_split(root, "val")


def test_whole_numbers_may_be_written_as_floats(root):
    xml_path(root).write_text(make_xml([("dog", ("1.0", 2, 10, "20.0"), 0, 0)], size=("30.0", " 40.0 ")))
    image = read_split(root, "val").images[1]
    assert image.size == (30, 40)
    assert [type(side) for side in image.size] == [int, int]
    assert image.boxes_of("dog").tolist() == [[0, 1, 10, 20]]


@pytest.mark.parametrize(
    "box",
    [(0, 1, 5, 5), (1, 0, 5, 5), (1, 1, WIDTH + 1, 5), (1, 1, 5, HEIGHT + 1), (6, 1, 5, 5), (1, 9, 5, 8),
     ("nan", 1, 5, 5), (1, 1, "inf", 5)],
)  # fmt: skip
def test_a_box_that_is_not_inside_its_image(root, box):
    xml_path(root).write_text(make_xml([DOG, ("cat", box, 0, 0)]))
    with pytest.raises(DataError, match=r"000003\.xml.*\bcat\b"):
        read_split(root, "val")


def test_a_box_that_fills_its_image_is_inside_it(root):
    xml_path(root).write_text(make_xml([("dog", (1, 1, WIDTH, HEIGHT), 0, 0)]))
    assert read_split(root, "val").images[1].boxes_of("dog").tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_a_missing_photograph(root):
    split = read_split(root, "val")
    split.images[0].path.unlink()
    with pytest.raises(DataError, match=r"000007\.jpg.*No such file"):
        read_split(root, "val")
    with pytest.raises(DataError, match=r"000007\.jpg.*No such file"):
        read_pixels(split.images[0])
    with pytest.raises(DataError, match=r"000007\.jpg.*No such file"):
        _ = split.manifest


@pytest.mark.parametrize("kept", [0, 10, 300, -20])
def test_a_truncated_photograph(root, kept):
    image = read_split(root, "val").images[0]
    image.path.write_bytes(image.path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"000007\.jpg"):
        read_pixels(image)


def test_a_photograph_of_another_size(root):
    image = read_split(root, "val").images[0]
    Image.new("RGB", (HEIGHT, WIDTH)).save(image.path)
    with pytest.raises(DataError, match=r"000007\.jpg has 30 x 40 pixels, but 000007\.xml states 40 x 30"):
        read_pixels(image)


def test_a_missing_mask(root):
    image = read_split(root, "val").images[2]
    with pytest.raises(DataError, match=r"000005\.png cannot be read: No such file"):
        read_mask(image)


def test_damaged_masks(root):
    image = read_split(root, "val").images[0]
    content = image.mask_path.read_bytes()
    middle = content.index(b"IDAT") + 6
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    header = content[:11] + b"\x05" + content[12:]  # its first chunk says that it ends early
    for broken in (b"", content[: middle + 2], content[:20], flipped, header):
        image.mask_path.write_bytes(broken)
        with pytest.raises(DataError, match=r"000007\.png"):
            read_mask(image)


@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT), (HEIGHT, WIDTH, 3)], ids=["turned", "colour"])
def test_a_mask_of_another_shape(root, shape):
    image = read_split(root, "val").images[0]
    Image.fromarray(np.zeros(shape, dtype=np.uint8)).save(image.mask_path)
    with pytest.raises(DataError, match=r"000007\.png.*\(30, 40\)"):
        read_mask(image)


@pytest.mark.parametrize(
    ("split", "images", "dog_images", "dogs"), [("train", 2500, 210, 271), ("val", 500, 47, 52)]
)
def test_the_real_subset_has_the_stated_counts(real_data, split, images, dog_images, dogs):
    found = read_split(real_data / "voc2007", split)
    counts = [len(image.objects_of("dog")) for image in found.images]
    assert (len(found), sum(count > 0 for count in counts), sum(counts)) == (images, dog_images, dogs)
    assert found.class_names() == CLASSES
    for image in found.images[:20]:
        read_pixels(image)


def test_real_masks_agree_with_the_annotated_classes(real_data):
    root = real_data / "voc2012seg"
    (name,) = split_names(root)
    split = read_split(root, name)
    assert len(split) == 200
    assert sum("dog" in image.labels for image in split.images) == 25
    for image in split.images[:40]:
        indices = set(np.unique(read_mask(image)).tolist()) - {0, VOID}
        assert {CLASSES[index - 1] for index in indices} <= image.labels
