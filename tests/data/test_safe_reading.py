"""What is not a plain file of sensible size is refused before it is read; each defence has its attack."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from dogcam.data.box_files.truth import read_truth
from dogcam.data.conversion import convert
from dogcam.data.formats import format_named
from dogcam.data.formats.base import finite
from dogcam.data.images import read_header, read_image, require_decodable
from dogcam.data.reading import read_split, split_ids
from dogcam.data.validation import validate
from dogcam.errors import ConfigError, DataError, ModelError
from dogcam.files import MAX_DEPTH, open_plain, read_bytes, read_json, read_text
from dogcam.structures.rules import ReadRules
from tests.support.data_sets import make_split, photograph

HANG = 10
"""Seconds after which a read counts as hanging."""


def special_files(folder: Path) -> dict[str, Path]:
    """Make one path of every kind that is no plain file."""
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(folder)  # names of sockets are short
        sock.bind("socket")
    return {
        "FIFO": folder / "fifo", "folder": folder / "folder", "socket": folder / "socket",
        "device": Path("/dev/zero"),
    }  # fmt: skip


@pytest.fixture
def special(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return special_files(tmp_path)


@pytest.mark.parametrize("kind", ["FIFO", "folder", "socket", "device"])
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, read_image, read_header, read_truth])
def test_what_is_no_plain_file_is_refused_by_every_reader(special, kind, read):
    if read is read_truth and kind == "folder":
        pytest.skip("a folder may be a data set")
    with pytest.raises(DataError, match=re.escape(str(special[kind]))):
        read(special[kind])


@pytest.mark.parametrize("place", ["Annotations/a.xml", "ImageSets/Main/val.txt", "JPEGImages/a.jpg"])
def test_a_fifo_in_a_data_set_does_not_hang(tmp_path, place):
    folder = tmp_path / "voc"
    format_named("voc").write(folder, [make_split(tmp_path / "photographs")])
    (folder / place).unlink()
    os.mkfifo(folder / place)
    code = f"from dogcam.data.reading import read_split; read_split({str(folder)!r}, 'val')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=6 * HANG)
    assert done.returncode == 1
    assert Path(place).name in done.stderr.splitlines()[-1] or "does not exist" in done.stderr


def test_a_link_to_a_plain_file_is_read_and_one_to_a_device_is_not(tmp_path):
    (tmp_path / "plain").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert read_bytes(tmp_path / "link") == b"x"
    with pytest.raises(ModelError, match="zero"):
        open_plain(tmp_path / "zero", ModelError)


def test_a_file_over_the_limit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1_000_001)
    monkeypatch.setenv("DOGCAM_MAX_MEGABYTES", "1")
    with pytest.raises(DataError, match=r"large has 1,000,001 .*1,000,000.*DOGCAM_MAX_MEGABYTES"):
        read_bytes(path)
    with pytest.raises(DataError, match=r"large has 1,000,001 .* 10 "):
        read_bytes(path, limit=10)
    monkeypatch.setenv("DOGCAM_MAX_MEGABYTES", "2")
    assert len(read_bytes(path)) == 1_000_001


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "²", "9" * 13])
def test_a_limit_that_is_no_number_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv("DOGCAM_MAX_MEGABYTES", value)
    with pytest.raises(ConfigError, match=re.escape(repr(value))):
        read_bytes(tmp_path)


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(DataError, match="1,000,000,000,000"):
        read_bytes(tmp_path / "sparse")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_json_is_refused(tmp_path, depth, brackets):
    start, end = brackets[:-1], brackets[-1]
    (tmp_path / "deep.json").write_text(start * depth + "1" + end * depth)
    with pytest.raises(DataError, match=r"deep\.json"):
        read_json(tmp_path / "deep.json")


def test_json_of_the_largest_depth_is_read(tmp_path):
    (tmp_path / "deep.json").write_text("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert json.dumps(read_json(tmp_path / "deep.json")).count("[") == MAX_DEPTH


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', '{"a": 1, "a": 2}', "1" * 5000])
def test_json_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(DataError, match=r"odd\.json"):
        read_json(tmp_path / "odd.json")


@pytest.fixture
def voc_folder(tmp_path):
    format_named("voc").write(tmp_path / "voc", [make_split(tmp_path / "photographs")])
    return tmp_path / "voc"


BOMB = "<!DOCTYPE a [" + '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
) + "]><annotation>&a9;</annotation>"  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        "<a>" * 100 + "</a>" * 100,
        "<a>" * 1_000_000,
        "<annotation>" + " " * 16_000_001 + "</annotation>",
    ],
    ids=["entities", "foreign file", "deep", "very deep", "long"],
)
def test_hostile_xml_is_refused(voc_folder, text):
    (voc_folder / "Annotations/a.xml").write_text(text)
    with pytest.raises(DataError, match=r"a\.xml") as caught:
        read_split(voc_folder, "val")
    assert "root:" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_truncated_photograph_is_found_before_the_work(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(noise).save(folder / f"{name}.{suffix}")
    whole = read_split(folder, "all", decode=True)
    for name in ("a", "c"):
        path = folder / f"{name}.{suffix}"
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert len(whole) == 3
    with pytest.raises(DataError, match=rf"(?s)a\.{suffix}.*c\.{suffix}"):
        read_split(folder, "all", decode=True)


@pytest.mark.slow
def test_a_long_list_is_checked_in_linear_time(voc_folder):
    ids = "".join(f"{number}\n" for number in range(20_000))
    (voc_folder / "ImageSets/Main/val.txt").write_text(f"{ids}77\n")
    started = time.process_time()
    with pytest.raises(DataError, match="'77' 2 times"):
        split_ids(voc_folder, "val")
    assert time.process_time() - started < 3  # comparing each with each takes longer


@pytest.mark.parametrize(
    ("extra", "key"), [("<a>" * 64 + "</a>" * 64, "64 levels"), (" " * 16_000_000, "16,000,000")]
)
def test_a_valid_annotation_beyond_a_limit_is_refused(voc_folder, extra, key):
    path = voc_folder / "Annotations/a.xml"
    text = path.read_text()
    path.write_text(text.replace("</annotation>", "<a></a> </annotation>"))
    read_split(voc_folder, "val")
    path.write_text(text.replace("</annotation>", f"{extra}</annotation>"))
    with pytest.raises(DataError, match=rf"a\.xml.*{key}"):
        read_split(voc_folder, "val")


def test_xml_with_entities_is_refused(voc_folder):
    path = voc_folder / "Annotations/a.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY e "dog">]>' + path.read_text().replace("dog", "&e;"))
    with pytest.raises(DataError, match=r"a\.xml"):
        read_split(voc_folder, "val")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: [*a]", "a: !!float ''", "a: !!bool z", "a: !!timestamp x", "[" * 5000,
        "a: " + "9" * 5000,
        "a: !!python/object/apply:os.getcwd []",
    ],
    ids=["reference", "float", "bool", "time", "deep", "digits", "object"],
)  # fmt: skip
def test_hostile_yaml_is_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_text(f"names: [dog]\ntrain: images\n{text}")
    with pytest.raises(DataError, match=r"data\.yaml"):
        read_split(tmp_path / "data.yaml", "train")


def test_references_in_yaml_are_refused(tmp_path):
    (tmp_path / "data.yaml").write_text("a: &a dog\nnames: [*a]\ntrain: images\n")
    with pytest.raises(DataError, match=r"\*a"):
        read_split(tmp_path / "data.yaml", "train")


@pytest.mark.parametrize(
    "text", ["names: {0: dog, 0: cat}\ntrain: images\n", "names: [dog]\nnames: [cat]\ntrain: i\n"]
)
def test_a_key_that_occurs_twice_is_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"data\.yaml.*twice"):
        read_split(tmp_path / "data.yaml", "train")


def test_a_long_yaml_is_refused(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [dog]\n" + "# x\n" * 250_000)
    with pytest.raises(DataError, match="1,000,013"):
        read_split(tmp_path / "data.yaml", "train")


@pytest.mark.parametrize("part", ["val[0:1" + "0" * 40 + "]", "val[" + "9" * 5000 + ":]", "val[1e9:]"])
def test_a_part_of_astronomic_size_is_refused(voc_folder, part):
    with pytest.raises(DataError, match=re.escape(part[:40])):
        read_split(voc_folder, part)


def test_halves_of_characters_are_no_json(tmp_path):
    (tmp_path / "half.json").write_text(r'{"name": "\ud83d"}')
    with pytest.raises(DataError, match="surrogates"):
        read_json(tmp_path / "half.json")
    (tmp_path / "whole.json").write_text(r'{"name": "\ud83d\ude00"}')
    assert read_json(tmp_path / "whole.json") == {"name": "\U0001f600"}


def test_an_eps_behind_the_name_of_a_photograph_starts_no_program(tmp_path, monkeypatch):
    """Pillow would start the `gs` on PATH; this one leaves a file behind."""
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", format="EPS")
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(DataError, match=r"photo\.jpg"):
        read_image(tmp_path / "photo.jpg")
    assert not (tmp_path / "started").exists()


def large_png(path: Path, side: int) -> Path:
    """Write a valid black PNG of side x side pixels in a few KiB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 2)) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("read", [read_image, read_header])
def test_an_image_that_unfolds_is_refused_before_it_is_decoded(tmp_path, read):
    path = large_png(tmp_path / "bomb.png", 13_000)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match=r"bomb\.png.*13000 x 13000.* 120 .*DOGCAM_MAX_MEGAPIXELS"):
        read(path)


def test_the_pixel_limit_is_an_option(tmp_path, monkeypatch):
    path = photograph(tmp_path / "photo.png", (1100, 1000))
    monkeypatch.setenv("DOGCAM_MAX_MEGAPIXELS", "1")
    with pytest.raises(DataError, match="1000 x 1100"):
        read_image(path)
    monkeypatch.setenv("DOGCAM_MAX_MEGAPIXELS", "2")
    assert read_image(path).size == (1000, 1100)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_and_pages_are_refused(tmp_path, suffix):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / f"two.{suffix}", save_all=True, append_images=[second])
    with pytest.raises(DataError, match=rf"two\.{suffix} has several frames"):
        read_image(tmp_path / f"two.{suffix}")


def test_the_frames_of_an_animation_are_not_counted(tmp_path, monkeypatch):
    """Pillow takes minutes to count those of a GIF of 100 MB."""
    many = tmp_path / "many.gif"
    first, *others = (Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in range(100))
    first.save(many, save_all=True, append_images=others)
    sought = []
    seek = GifImageFile._seek
    monkeypatch.setattr(GifImageFile, "_seek", lambda self, *a, **k: sought.append(a) or seek(self, *a, **k))
    with pytest.raises(DataError, match=r"many\.gif has several frames"):
        read_image(many)
    assert len(sought) < 5


@pytest.mark.parametrize("read", [read_image, read_header, require_decodable])
def test_an_image_file_over_the_limit_is_refused(tmp_path, monkeypatch, read):
    path = photograph(tmp_path / "photo.png", (30, 20))
    os.truncate(path, 10**12)
    with pytest.raises(DataError, match=r"photo\.png has 1,000,000,000,000 bytes.*DOGCAM_MAX_MEGABYTES"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_header])
def test_a_png_of_very_many_chunks_is_refused(tmp_path, read):
    path = photograph(tmp_path / "photo.png", (30, 20))
    content = path.read_bytes()
    chunk = struct.pack(">I", 3) + b"tEXtk\0v" + struct.pack(">I", zlib.crc32(b"tEXtk\0v"))
    path.write_bytes(content[:33] + 1000 * chunk + content[33:])
    read(path)
    path.write_bytes(content[:33] + 100_001 * chunk + content[33:])
    with pytest.raises(DataError, match=r"photo\.png.*100,000 chunks"):
        read(path)


@pytest.mark.parametrize("below", [(0, 0, 0), (255, 255, 255), (9, 200, 31)])
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparent_pixels_are_white_whatever_is_below(tmp_path, below, suffix):
    picture = Image.new("RGBA", (3, 1), (*below, 0))
    picture.putpixel((1, 0), (10, 20, 30, 255))
    picture.putpixel((2, 0), (0, 0, 0, 51))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    picture.save(tmp_path / f"cutout.{suffix}", **options)
    found = np.asarray(read_image(tmp_path / f"cutout.{suffix}"))[0].tolist()
    assert found == [[255, 255, 255], [10, 20, 30], [204, 204, 204]]


def test_a_transparent_palette_entry_is_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "palette.png", transparency=0)
    assert np.asarray(read_image(tmp_path / "palette.png"))[0].tolist() == [[255, 255, 255], [10, 20, 30]]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_a_16_bit_grey_are_refused(tmp_path, bits):
    peak = (1 << bits) - 1
    Image.fromarray(np.array([[0, peak]], np.uint16)).save(tmp_path / "grey.png")
    with pytest.raises(DataError, match=rf"grey\.png.* {peak} .* {bits} bits"):
        read_image(tmp_path / "grey.png")


def test_a_black_and_a_full_16_bit_grey_are_read(tmp_path):
    for peak, shade in ((0, 0), (65535, 255), (16384, 64)):
        Image.fromarray(np.array([[0, peak]], np.uint16)).save(tmp_path / "grey.png")
        assert np.asarray(read_image(tmp_path / "grey.png"))[0, 1].tolist() == [shade] * 3


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\udcff"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path / name)


def test_a_voc_folder_without_lists_is_refused(tmp_path):
    """A folder that cannot be read must not count as one without faults."""
    folder = tmp_path / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    for read in (
        lambda: list(validate(tmp_path)),
        lambda: convert(tmp_path, tmp_path / "new", format_named("coco"), ReadRules()),
    ):
        with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))} has no split"):
            read()
    assert not (tmp_path / "new").exists()


def test_lists_that_cannot_be_read_are_no_empty_data_set(tmp_path, monkeypatch):
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refused)
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        list(validate(tmp_path))


@pytest.mark.parametrize("text", ["1_0", "५", "１", "nan", "inf", "1e309", "9" * 400, "", "0x10", "true"])
def test_a_number_in_an_unusual_form_is_none(text):
    with pytest.raises(ValueError, match="expected a"):
        finite(text, "x0")
    assert finite(" 10.5 ", "x0") == 10.5


def test_the_folder_of_images_is_found_by_their_canonical_names(tmp_path):
    """`s/../a.png` is `a.png`, also if there is no folder `s`."""
    photograph(tmp_path / "images" / "a.png", (30, 20))
    (tmp_path / "annotations").mkdir()
    image = {"id": 1, "file_name": "s/../a.png", "width": 20, "height": 30}
    document = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}
    (tmp_path / "annotations" / "val.json").write_text(json.dumps(document))
    assert [each.id for each in read_split(tmp_path, "val").images] == ["a"]
