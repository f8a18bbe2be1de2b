"""ImageFiles as they are found: modes, depths, orientations, transparency, and what is refused."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from dogcam.data.images import read_header, read_image, read_mask
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("photo.png" if mode != "CMYK" else "photo.jpg")
    Image.new(mode, (3, 2)).save(path)
    assert read_image(path).mode == "RGB"


def chequered(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture that looks another way whichever way it is turned or mirrored."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("form", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path, orientation, form):
    exif, path = Image.Exif(), tmp_path / f"turned.{form}"
    exif[0x0112] = orientation
    chequered().save(path, exif=exif)
    with Image.open(path) as file:
        expected = ImageOps.exif_transpose(file)
    assert expected.size == ((24, 16) if orientation < 5 else (16, 24))
    assert np.array_equal(read_image(path), expected)
    header = read_header(path)
    assert (header.size, header.upright_size) == ((16, 24), expected.size[::-1])


@pytest.mark.parametrize("odd", [0, 9, 65535])
def test_an_odd_orientation_counts_as_none(tmp_path, odd):
    exif = Image.Exif()
    exif[0x0112] = odd
    chequered().save(tmp_path / "odd.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "odd.png"), chequered())


def exif_with(tag: int) -> bytes:
    """EXIF as some phones write it: orientation 6, and a tag that is the signed fraction -2/0."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", tag, 10, 1, 38)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<Iii", 0, -2, 0)


@pytest.mark.parametrize("form", ["png", "jpg"])
@pytest.mark.parametrize("tag", [0x9204, 0x011A, 0x010F], ids=["exposure bias", "resolution", "maker"])
def test_a_tag_that_cannot_be_written_again_does_no_harm(tmp_path, tag, form):
    path = tmp_path / f"phone.{form}"
    chequered().save(path, exif=exif_with(tag))
    with Image.open(path) as file:
        odd = file.getexif()[tag]
        expected = file.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert (odd.numerator, odd.denominator) == (-2, 0)
    assert np.array_equal(read_image(path), expected)


def test_exif_that_cannot_be_read_leaves_the_photograph_as_it_is(tmp_path):
    chequered().save(tmp_path / "damaged.png", exif=b"Exif\0\0MMMMMMMM")
    assert np.array_equal(read_image(tmp_path / "damaged.png"), chequered())


@pytest.mark.parametrize(("name", "order"), [("grey.png", "<"), ("grey.tif", "<"), ("grey.tif", ">")])
def test_16_bits_are_scaled_to_8(tmp_path, name, order):
    shades = np.array([[0, 128, 129, 257], [1000, 32896, 65406, 65535]], f"{order}u2")
    Image.fromarray(shades).save(tmp_path / name)
    found = np.asarray(read_image(tmp_path / name))
    assert found.tolist() == [[[shade] * 3 for shade in row] for row in ([0, 0, 1, 1], [4, 128, 254, 255])]


def test_16_bits_that_pillow_reads_as_integers_are_scaled_too(tmp_path):
    (tmp_path / "grey.pgm").write_bytes(b"P5 2 1 65535 " + struct.pack(">2H", 32896, 65535))
    assert np.asarray(read_image(tmp_path / "grey.pgm"))[0].tolist() == [[128] * 3, [255] * 3]


@pytest.mark.parametrize(("mode", "kind"), [("F", np.float32), ("I", np.int32)])
def test_values_without_a_known_white_are_refused(tmp_path, mode, kind):
    Image.fromarray(np.array([[0, 1], [2, 3]], kind)).save(tmp_path / "depth.tif")
    with pytest.raises(DataError, match=rf"depth\.tif.* {mode}\b"):
        read_image(tmp_path / "depth.tif")


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    """As the HEIC photographs of a telephone, whose suffix may even be another."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(DataError, match=r"photo\.jpg.*JPEG, PNG, WEBP"):
        read_image(path)


def test_a_mask_of_colours_is_refused_with_what_to_do(tmp_path):
    Image.new("RGB", (8, 9)).save(tmp_path / "a.jpg")
    Image.new("RGB", (8, 9)).save(tmp_path / "a.png")
    image = LabelledImage("a", tmp_path / "a.jpg", 9, 8, (), mask_path=tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png.*\(9, 8, 3\).*\(9, 8\).*indices"):
        read_mask(image)
