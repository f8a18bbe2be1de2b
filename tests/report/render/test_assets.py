"""Files of a run that a page takes in: inside the folder, plain, and drawn by the run."""

import hashlib
import os
from pathlib import Path

import pytest

from dogcam.errors import DogcamError
from report.record.files import read_file
from report.render.assets import data_uri, inline_svg, script_hash

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/>{}</svg>'
WEBP = b"RIFF\x04\x00\x00\x00WEBP"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (folder / "gallery").mkdir()
    (folder / "figures" / "own.svg").write_text(SVG.format(""), encoding="utf-8")
    (folder / "gallery" / "own.webp").write_bytes(WEBP)
    (tmp_path / "precious.svg").write_text(SVG.format("<text>precious</text>"), encoding="utf-8")
    (tmp_path / "precious.webp").write_bytes(WEBP + b"precious")
    return folder


def listed(run: Path, name: str) -> bytes:
    """Read a file that the record lists with the sum of what is there."""
    path = run / name
    content = path.read_bytes() if path.is_file() else b""
    return read_file(run, name, {name: hashlib.sha256(content).hexdigest()})


def drawing(run: Path, name: str) -> str:
    return inline_svg(listed(run, name), name)


def picture(run: Path, name: str) -> str:
    return data_uri(listed(run, name), name)


def test_files_of_the_run_are_taken(run):
    assert drawing(run, "figures/own.svg") == SVG.format("")
    assert picture(run, "gallery/own.webp").startswith("data:image/webp;base64,UklGR")


@pytest.mark.parametrize(
    "name", ["../precious", "figures/../../precious", "{parent}/precious", "", "a\\b", "link"]
)
@pytest.mark.parametrize("ending", [".svg", ".webp"])
def test_a_file_outside_of_the_run_is_refused(run, name, ending):
    (run / f"link{ending}").symlink_to(run.parent / f"precious{ending}")
    named = name.format(parent=run.parent) + ending if name else ""
    read = drawing if ending == ".svg" else picture
    with pytest.raises(DogcamError):
        read(run, named)


def test_what_is_no_plain_file_is_refused(run):
    os.mkfifo(run / "pipe.svg")
    for name in ("pipe.svg", "figures", "gone.svg"):
        with pytest.raises(DogcamError, match=name):
            drawing(run, name)


def test_a_picture_that_changed_after_the_record_is_refused(run):
    sums = {"gallery/own.webp": hashlib.sha256(WEBP).hexdigest()}
    assert read_file(run, "gallery/own.webp", sums) == WEBP
    (run / "gallery" / "own.webp").write_bytes(WEBP + b"other")
    with pytest.raises(DogcamError, match=r"own\.webp"):
        read_file(run, "gallery/own.webp", sums)


UNSAFE = {
    "a script": "<script>alert(1)</script>",
    "a handler": '<rect onload="alert(1)"/>',
    "a foreign object": "<foreignObject><body/></foreignObject>",
    "an image": '<image href="file:///etc/passwd"/>',
    "a link": '<a href="https://example.org"><rect/></a>',
    "a use of another file": '<use href="other.svg#x"/>',
    "a use of a script": '<use href="javascript:alert(1)"/>',
    "a style with an address": '<rect style="fill: url(https://example.org/x)"/>',
    "a style element": "<style>* { display: none }</style>",
    "an animation": '<set attributeName="href" to="javascript:alert(1)"/>',
}


@pytest.mark.parametrize("fault", UNSAFE)
def test_a_drawing_with_anything_else_is_refused(run, fault):
    (run / "figures" / "own.svg").write_text(SVG.format(UNSAFE[fault]), encoding="utf-8")
    with pytest.raises(DogcamError, match=r"own\.svg"):
        drawing(run, "figures/own.svg")


def test_the_name_of_a_class_may_be_like_an_address(run):
    label = "boxes of [x](javascript:alert(1)) and url(https://example.org)"
    content = SVG.format("").replace("<svg", f'<svg aria-label="{label}"', 1)
    (run / "figures" / "own.svg").write_text(content, encoding="utf-8")
    assert drawing(run, "figures/own.svg") == content


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE svg [<!ENTITY x 'y'>]><svg/>", "<svg", "no drawing", "<?xml ?><svg/>"]
)
def test_what_is_no_drawing_is_refused(run, text):
    (run / "figures" / "own.svg").write_text(text, encoding="utf-8")
    with pytest.raises(DogcamError, match=r"own\.svg"):
        drawing(run, "figures/own.svg")


def test_a_picture_of_another_kind_is_refused(run):
    (run / "gallery" / "own.webp").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    with pytest.raises(DogcamError, match=r"own\.webp"):
        picture(run, "gallery/own.webp")


def test_the_drawings_of_a_run_pass(finished):
    for path in sorted((finished / "figures").glob("*.svg")):
        assert drawing(finished, f"figures/{path.name}").startswith("<svg")


def test_the_hash_of_a_script_is_that_of_the_standard():
    assert script_hash("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
