"""The data set arrives unpacked and whole, the checkpoint in the first form that loads."""

import hashlib
import io
import logging
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from PIL import Image
from rich.console import Console
from torchvision.datasets import voc as torchvision_voc

from dogcam.data import download
from dogcam.data.download import fetch_published_checkpoint, fetch_voc2007_test, progress_bar, unpack
from dogcam.data.reading import read_split
from dogcam.data.transfer import fetch
from dogcam.errors import DownloadError, ModelError
from dogcam.models.checkpoints import load_checkpoint
from tests.support.http_server import fail, send, serving

QUICK = {"attempts": 2, "timeout": 5.0}
ANNOTATION = (
    "<annotation><size><width>40</width><height>30</height></size><object><name>dog</name><bndbox>"
    "<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20</ymax></bndbox></object></annotation>"
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)


@pytest.fixture
def server():
    with serving() as server:
        yield server


def make_tar(members: dict[str, str | bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            content = text.encode() if isinstance(text, str) else text
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def photograph() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (40, 30)).save(encoded, "JPEG")
    return encoded.getvalue()


VOC_TAR = make_tar(
    {
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt": "000001\n",
        "VOCdevkit/VOC2007/Annotations/000001.xml": ANNOTATION,
        "VOCdevkit/VOC2007/JPEGImages/000001.jpg": photograph(),
    }
)
VOC_SUM = "md5:" + hashlib.md5(VOC_TAR).hexdigest()


def checkpoint_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"i_epoch": 19, "model_sdict": {"w": torch.ones(3)}, "extra": value}, buffer)
    return buffer.getvalue()


def test_the_voc_archive_is_the_one_that_torchvision_knows():
    known = torchvision_voc.DATASET_YEAR_DICT["2007-test"]
    assert f"md5:{known['md5']}" == download.VOC2007_TEST_CHECKSUM
    assert known["url"] in download.VOC2007_TEST_URLS
    assert all(url.endswith("/voc2007/VOCtest_06-Nov-2007.tar") for url in download.VOC2007_TEST_URLS)


def test_voc_is_fetched_unpacked_and_then_at_hand(server, tmp_path):
    server.plan = [send(VOC_TAR)]
    urls, seen = [server.url("test.tar")], []
    options = {"urls": urls, "checksum": VOC_SUM, **QUICK}
    folder = fetch_voc2007_test(tmp_path, progress=lambda *state: seen.append(state), **options)
    split = read_split(folder, "test")
    assert [image.id for image in split.images] == ["000001"]
    assert split.images[0].boxes_of("dog").tolist() == [[0.0, 1.0, 10.0, 20.0]]
    assert seen[-1] == (len(VOC_TAR), len(VOC_TAR))
    assert fetch_voc2007_test(tmp_path, **options) == folder
    assert len(server.requests) == 1


def test_voc_falls_back_to_the_next_place(server, tmp_path, caplog):
    server.plan = [fail(404), send(VOC_TAR)]
    urls = [server.url("new/test.tar"), server.url("old/test.tar")]
    fetch_voc2007_test(tmp_path, urls=urls, checksum=VOC_SUM, **QUICK)
    assert [path for path, _ in server.requests] == ["/new/test.tar", "/old/test.tar"]
    assert "old/test.tar is used instead" in caplog.text
    assert "404 Not Found" in caplog.text


def test_voc_from_nowhere_names_each_place_and_what_to_do(server, tmp_path):
    server.plan = [fail(404), fail(403)]
    urls = [server.url("new/test.tar"), server.url("old/test.tar")]
    with pytest.raises(DownloadError) as caught:
        fetch_voc2007_test(tmp_path, urls=urls, checksum=VOC_SUM, **QUICK)
    first, second = str(caught.value).splitlines()
    assert "new/test.tar" in first
    assert "404" in first
    assert "old/test.tar" in second
    assert "403" in second
    assert f"put it at {tmp_path / 'VOCtest_06-Nov-2007.tar'}" in second
    assert list(tmp_path.iterdir()) == []


def test_an_archive_placed_by_hand_needs_no_network(tmp_path):
    (tmp_path / "VOCtest_06-Nov-2007.tar").write_bytes(VOC_TAR)
    folder = fetch_voc2007_test(tmp_path, urls=["http://127.0.0.1:9/none"], checksum=VOC_SUM)
    assert len(read_split(folder, "test")) == 1


def test_another_archive_than_the_published_one_is_refused_once(tmp_path):
    (tmp_path / "VOCtest_06-Nov-2007.tar").write_bytes(VOC_TAR)
    with pytest.raises(DownloadError, match=r"VOCtest_06-Nov-2007\.tar.* b6e924de\w+") as caught:
        fetch_voc2007_test(tmp_path)
    assert len(str(caught.value).splitlines()) == 1, "both places fail for the same reason"
    assert not (tmp_path / "voc2007-test").exists()


@pytest.mark.parametrize(
    "content",
    [VOC_TAR[:700], VOC_TAR[:2] + b"?" * 600, b"<html>" * 200],
    ids=["truncated", "damaged", "no tar"],
)
def test_a_broken_archive_leaves_no_folder(server, tmp_path, content):
    server.plan = [send(content)]
    with pytest.raises(DownloadError, match=r"VOCtest_06-Nov-2007\.tar .*(unexpected end|invalid header)"):
        fetch_voc2007_test(tmp_path, urls=[server.url("test.tar")], checksum=None, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["VOCtest_06-Nov-2007.tar"]


def test_a_folder_that_another_process_unpacked_is_taken(tmp_path):
    (tmp_path / "voc.tar").write_bytes(VOC_TAR)
    unpack(tmp_path / "voc.tar", tmp_path / "folder")
    (tmp_path / "folder" / "in use").touch()
    unpack(tmp_path / "voc.tar", tmp_path / "folder")
    assert (tmp_path / "folder" / "in use").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "voc.tar"]


def test_a_folder_that_another_process_unpacked_at_the_same_time_is_taken(tmp_path, monkeypatch):
    """As on a drive without locks: the other one is faster between the look and the move."""
    (tmp_path / "voc.tar").write_bytes(VOC_TAR)
    extract = tarfile.TarFile.extractall

    def be_faster(file, path, **options):
        extract(file, tmp_path / "folder", **options)
        extract(file, path, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", be_faster)
    unpack(tmp_path / "voc.tar", tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "voc.tar"]


def test_a_folder_of_something_else_is_no_unpacked_archive(tmp_path):
    (tmp_path / "voc.tar").write_bytes(VOC_TAR)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("precious")
    with pytest.raises(DownloadError, match=r"folder.*Directory not empty"):
        unpack(tmp_path / "voc.tar", tmp_path / "folder")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mine.txt"]


def test_two_that_fetch_voc_at_once_download_and_unpack_it_once(server, tmp_path, monkeypatch):
    unpacked, extract = [], tarfile.TarFile.extractall
    watched = lambda file, path, **options: (unpacked.append(path), extract(file, path, **options))  # noqa: E731
    monkeypatch.setattr(tarfile.TarFile, "extractall", watched)
    server.plan = [send(VOC_TAR)]
    options = {"urls": [server.url("test.tar")], "checksum": VOC_SUM, **QUICK}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch_voc2007_test(tmp_path, **options), range(4)))
    assert found == [tmp_path / "voc2007-test"] * 4
    assert len(server.requests) == len(unpacked) == 1
    assert len(read_split(found[0], "test")) == 1


@pytest.mark.parametrize(
    "content",
    [make_tar({"../out": "x"}), make_tar({}, {"link": "/etc/passwd"}), make_tar({}, {"link": "../../x"})],
    ids=["dots", "absolute link", "link outside"],
)
def test_members_that_leave_the_folder_are_refused(tmp_path, content):
    (tmp_path / "evil.tar").write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(DownloadError, match=r"evil\.tar.*(outside|absolute|link)"):
        unpack(tmp_path / "evil.tar", tmp_path / "into" / "folder")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.tar", "into"]


def test_a_member_that_unfolds_to_more_than_the_archive_is_refused(tmp_path):
    header = bytearray(tarfile.TarInfo("bomb").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"00000000000\0" + b"00000000000\0"  # one hole-free part of no bytes
    header[483:495] = b"77777777777\0"  # the size that it unfolds to: 8 GiB
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "bomb.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(DownloadError, match=r"bomb\.tar.*8,589,934,591"):
        unpack(tmp_path / "bomb.tar", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_unpacking_where_nothing_can_be_written(tmp_path):
    (tmp_path / "voc.tar").write_bytes(VOC_TAR)
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"voc\.tar.*(Not a dir|File exists)"):
        unpack(tmp_path / "voc.tar", tmp_path / "file" / "folder")


def test_the_first_checkpoint_that_loads_is_taken(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    content = checkpoint_bytes(None)
    server.plan = [send(content)]
    urls = [server.url("model.pth.tar"), server.url("model_compatible.pt")]
    path = fetch_published_checkpoint(tmp_path, load_checkpoint, urls=urls, **QUICK)
    assert path == tmp_path / "model.pth.tar"
    assert load_checkpoint(path).meta == {"i_epoch": 19}
    assert f"{path} has the SHA-256 {hashlib.sha256(content).hexdigest()}" in caplog.text
    assert fetch_published_checkpoint(tmp_path, load_checkpoint, urls=urls, **QUICK) == path
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (send(checkpoint_bytes(Fraction(1, 2))), "expected only tensors"),
        (send(b"<html>moved</html>"), "cannot be read as a checkpoint"),
        (fail(404), "404 Not Found"),
    ],
    ids=["refused", "no checkpoint", "missing"],
)
def test_the_second_form_is_taken_where_the_first_does_not_load(server, tmp_path, caplog, first, reason):
    server.plan = [first, send(checkpoint_bytes(None))]
    urls = [server.url("model.pth.tar"), server.url("model_compatible.pt")]
    path = fetch_published_checkpoint(tmp_path, load_checkpoint, urls=urls, **QUICK)
    assert path == tmp_path / "model_compatible.pt"
    assert reason in caplog.text


def test_no_checkpoint_loads(server, tmp_path):
    def never(path):
        raise ModelError(f"{path.name} is of no use")

    server.plan = [send(b"anything")]
    urls = [server.url("model.pth.tar"), server.url("model_compatible.pt")]
    with pytest.raises(DownloadError, match=r"model\.pth\.tar.*\nmodel_compatible\.pt"):
        fetch_published_checkpoint(tmp_path, never, urls=urls, **QUICK)


def test_the_bar_shows_bytes_and_rate_where_somebody_watches(server, tmp_path):
    server.plan = [send(bytes(200_000))]
    console = Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=100)
    with progress_bar("test.tar", console) as progress:
        fetch(server.url("test.tar"), tmp_path / "test.tar", progress=progress, **QUICK)
    assert "test.tar" in console.file.getvalue()
    assert "200.0/200.0 kB" in console.file.getvalue()


def test_the_bar_is_silent_where_nobody_watches():
    console = Console(file=io.StringIO())
    with progress_bar("test.tar", console) as progress:
        assert progress is None
    assert console.file.getvalue() == ""


def test_the_bar_draws_on_standard_error(capsys):
    with progress_bar("test.tar"):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_downloading_needs_no_torch():
    code = "import sys, dogcam.data.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_cache_is_the_accounts_own(monkeypatch):
    assert download.default_cache().name == "dogcam"
    assert download.default_cache().is_absolute()
