"""Files are written whole or not at all."""

import io
import os
import re
import stat
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from dogcam import files
from dogcam.errors import OutputError, RecordError
from dogcam.files import atomic_write, path_inside, remove_temporary_files, unfolds


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    path = tmp_path / "new" / "folders" / "file.txt"
    assert atomic_write(path, "é\r\n\n") == path
    assert path.read_bytes() == b"\xc3\xa9\r\n\n"
    atomic_write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def _half_written(self, content):
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError("no space left")


def _not_moved(self, target):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("method", "failing", "error"),
    [("write_bytes", _half_written, OutputError), ("replace", _not_moved, KeyboardInterrupt)],
)
@pytest.mark.parametrize("old", [None, b"old content"])
def test_an_interrupted_write_leaves_the_old_file_or_none(tmp_path, monkeypatch, method, failing, error, old):
    path = tmp_path / "file.json"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(Path, method, failing)
        atomic_write(path, "new content")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_not_replaced(tmp_path, linked):
    special = tmp_path / "pipe"
    os.mkfifo(special)
    path = tmp_path / "link" if linked else special
    if linked:
        path.symlink_to(special)
    with pytest.raises(OutputError, match="FIFO"):
        atomic_write(path, "text")
    assert stat.S_ISFIFO(special.stat().st_mode) and path.is_symlink() == linked


def test_text_that_has_no_bytes_leaves_the_old_file(tmp_path):
    path = atomic_write(tmp_path / "file.txt", "old")
    with pytest.raises(OutputError, match=re.escape(repr("x\ud800"))):
        atomic_write(path, "x\ud800")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


OUTSIDE = [
    "../precious.txt", "/etc/passwd", "figures/../../precious.txt", "figures/..", "..", ".", "", "figures//a",
    "figures\\..\\a", "C:/a", "a\0b", "link/precious.txt", "precious-link.txt",
]  # fmt: skip


@pytest.fixture
def folder_with_links(tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    run = tmp_path / "run"
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "a.svg").write_text("mine")
    (run / "inner").symlink_to(run / "figures")
    (run / "link").symlink_to(tmp_path)
    (run / "precious-link.txt").symlink_to(tmp_path / "precious.txt")
    (run / "loop").symlink_to(run / "loop")
    return run


@pytest.mark.parametrize("name", [*OUTSIDE, "loop"])
def test_a_name_that_leads_out_of_its_folder_is_refused(folder_with_links, name):
    with pytest.raises(RecordError, match=re.escape(str(folder_with_links))):
        path_inside(folder_with_links, name)


@pytest.mark.parametrize("name", ["figures/a.svg", "inner/a.svg", "new.txt", "new/..a"])
def test_a_name_inside_its_folder_is_resolved(folder_with_links, name):
    path = path_inside(folder_with_links, name)
    assert path.parent in (folder_with_links, folder_with_links / "figures", folder_with_links / "new")


def test_a_link_in_the_place_of_the_temporary_file_is_not_written_through(tmp_path):
    """The name is known from the process; a folder from elsewhere can have links of all such names."""
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    path = tmp_path / "run" / "report.html"
    path.parent.mkdir()
    (path.parent / f".{path.name}.{os.getpid()}.part").symlink_to(precious)
    atomic_write(path, "new")
    assert precious.read_text() == "kept"
    assert path.read_text() == "new" and not path.is_symlink()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_only_temporary_files_of_the_program_are_removed(tmp_path):
    names = [".report.html.123.part", ".movie.part", "report.html.123.part", ".123.part"]
    for name in names:
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names[1:])


@pytest.mark.parametrize(
    ("compression", "n_bytes", "expected"),
    [(ZIP_STORED, 10_000, False), (ZIP_DEFLATED, 10_000, True), (ZIP_DEFLATED, 1, False)],
)
def test_an_archive_that_is_larger_inside_unfolds(tmp_path, monkeypatch, compression, n_bytes, expected):
    monkeypatch.setattr(files, "MAX_UNFOLDED", 1000)
    path = tmp_path / "a.zip"
    with ZipFile(path, "w", compression) as file:
        file.writestr("a", bytes(n_bytes))
    assert unfolds(path) is unfolds(io.BytesIO(path.read_bytes())) is expected
    path.write_bytes(b"no archive")
    assert unfolds(path) is False


def test_a_name_with_a_null_byte_is_refused(tmp_path):
    """Such as that of a class in the card of a checkpoint, after which an overlay is named."""
    with pytest.raises(OutputError, match="null byte"):
        atomic_write(tmp_path / "a\0b.png", b"")
