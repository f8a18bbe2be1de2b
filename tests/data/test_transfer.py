"""A file arrives whole and verified or not at all, whatever the server does."""

import hashlib
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dogcam.data.transfer import MIRROR, fetch
from dogcam.errors import DownloadError
from tests.support.http_server import fail, send, serving

CONTENT = hashlib.shake_256(b"dogs").digest(300_000)
OTHER = hashlib.shake_256(b"cats").digest(300_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _direct_and_quick(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "dogs.tar"


def names(path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def get(server, path, **options):
    return fetch(server.url("dogs.tar"), path, **{"timeout": 5.0, "attempts": 3, **options})


@pytest.mark.parametrize("checksum", [None, SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest()])
def test_a_good_transfer_is_told_and_done_once(server, path, checksum):
    server.plan = [send(CONTENT)]
    told = []
    assert get(server, path, checksum=checksum, progress=lambda *seen: told.append(seen)) == path
    assert path.read_bytes() == CONTENT
    assert told[-1] == (300_000, 300_000)
    get(server, path, checksum=checksum)
    assert (len(server.requests), names(path)) == (1, ["dogs.tar"])


def test_a_dropped_connection_is_continued_where_it_broke(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(CONTENT)]
    get(server, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT
    first, second = server.asked_ranges()
    assert first is None
    assert re.fullmatch(r"bytes=\d+-", second)
    assert 0 < int(second[6:-1]) <= 100_000


def test_the_next_call_continues_too(server, path):
    server.plan = [send(CONTENT, stop_after=100_000)]
    with pytest.raises(DownloadError, match=r"dogs\.tar"):
        get(server, path, checksum=SHA256, attempts=1)
    assert names(path) == ["dogs.tar.part"]
    server.plan = [send(CONTENT)]
    get(server, path, checksum=SHA256)
    assert (path.read_bytes(), names(path)) == (CONTENT, ["dogs.tar"])
    assert server.asked_ranges()[-1] is not None


def test_without_a_checksum_nothing_is_continued(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(CONTENT)]
    get(server, path)
    assert (path.read_bytes(), server.asked_ranges()) == (CONTENT, [None, None])


def test_a_server_without_ranges_starts_again(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(CONTENT, heeds_range=False)]
    get(server, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [OTHER[:1000], CONTENT + b"more"], ids=["of another file", "too long"])
def test_a_wrong_part_is_thrown_away(server, path, part):
    path.parent.mkdir()
    (path.parent / "dogs.tar.part").write_bytes(part)
    server.plan = [send(CONTENT)]
    get(server, path, checksum=SHA256)
    assert (path.read_bytes(), names(path)) == (CONTENT, ["dogs.tar"])


@pytest.mark.parametrize("checksum", [None, SHA256])
def test_less_than_announced_is_not_accepted(server, path, checksum):
    server.plan = [send(CONTENT[:1000], announced=2000)]
    with pytest.raises(DownloadError, match=r"dogs\.tar"):
        get(server, path, checksum=checksum)
    assert not path.exists()


def test_more_than_announced_is_refused_by_the_checksum(server, path):
    server.plan = [send(CONTENT, announced=1000)]
    with pytest.raises(DownloadError, match=SHA256.partition(":")[2]):
        get(server, path, checksum=SHA256)
    assert not path.exists()


@pytest.mark.parametrize("announced", [None, -1], ids=["announced", "endless"])
def test_a_file_above_the_limit_is_refused_at_once_and_removed(server, path, announced):
    """Without a length, a server could send until the disk is full."""
    server.plan = [send(CONTENT, announced=announced)]
    with pytest.raises(DownloadError, match=r"200,000.*" + re.escape(str(path))):
        get(server, path, max_bytes=200_000)
    assert (len(server.requests), names(path)) == (1, [])


def test_other_bytes_of_the_announced_length_are_refused_and_removed(server, path):
    server.plan = [send(OTHER)]
    with pytest.raises(DownloadError, match=SHA256.partition(":")[2]):
        get(server, path, checksum=SHA256)
    assert names(path) == []


def test_a_page_instead_of_the_file_is_refused_at_once(server, path):
    def page(handler):
        content = b"<html>please log in</html>"
        handler.start(200, Content_Type="text/html; charset=utf-8", Content_Length=len(content))
        handler.wfile.write(content)

    server.plan = [page]
    with pytest.raises(DownloadError, match="text/html"):
        get(server, path)
    assert (len(server.requests), names(path)) == (1, [])


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_final_refusal_is_not_repeated_and_says_what_to_put_where(server, path, status):
    server.plan = [fail(status)]
    with pytest.raises(DownloadError, match=str(status)) as caught:
        get(server, path)
    assert all(part in str(caught.value) for part in (server.url("dogs.tar"), str(path), MIRROR))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_trouble_that_may_pass_is_tried_again(server, path, status):
    server.plan = [fail(status), send(CONTENT)]
    assert get(server, path).read_bytes() == CONTENT
    path.unlink()
    server.plan = [fail(status)]
    with pytest.raises(DownloadError, match=str(status)):
        get(server, path)
    assert len(server.requests) == 2 + 3


def test_an_offline_machine_is_told_which_file_to_put_where(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/dogs.tar"
    with pytest.raises(DownloadError) as caught:
        fetch(url, path, checksum=SHA256, attempts=1)
    assert all(part in str(caught.value) for part in (url, str(path), SHA256))


def test_a_file_placed_by_hand_needs_no_network_but_the_right_sum(path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("http://127.0.0.1:1/dogs.tar", path, checksum=SHA256) == path
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match=hashlib.sha256(OTHER).hexdigest()):
        fetch("http://127.0.0.1:1/dogs.tar", path, checksum=SHA256)
    assert path.read_bytes() == OTHER


def test_a_mirror_is_asked_instead(server, path, monkeypatch):
    monkeypatch.setenv(MIRROR, server.url("copies/"))
    server.plan = [send(CONTENT)]
    fetch("http://127.0.0.1:1/far/away/dogs.tar", path, checksum=SHA256)
    assert [asked for asked, _ in server.requests] == ["/copies/dogs.tar"]


def test_a_proxy_of_the_environment_is_asked(server, path, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", server.url("").rstrip("/"))
    monkeypatch.setenv("http_proxy", server.url("").rstrip("/"))
    server.plan = [send(CONTENT)]
    fetch("http://no-such-host.invalid/dogs.tar", path, checksum=SHA256)
    assert [asked for asked, _ in server.requests] == ["http://no-such-host.invalid/dogs.tar"]


def test_silence_counts_as_a_dropped_connection(path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/dogs.tar"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(url, path, timeout=0.2, attempts=1)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/dogs", "file:///etc/passwd", "dogs"])
def test_an_address_of_another_kind_is_refused(path, url):
    with pytest.raises(DownloadError, match=re.escape(url)):
        fetch(url, path)
    assert not path.exists()


def test_a_full_disk_is_noticed_before_the_transfer(server, path, monkeypatch):
    usage = shutil.disk_usage(path.parent.parent)._replace(free=299_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    server.plan = [send(CONTENT)]
    with pytest.raises(DownloadError, match=r"299,999.*300,000"):
        get(server, path)


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=re.escape(str(tmp_path / "file"))):
        get(server, tmp_path / "file" / "dogs.tar")


def test_many_at_once_fetch_a_file_once(server, path):
    server.plan = [send(CONTENT)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: get(server, path, checksum=SHA256), range(8)))
    assert (path.read_bytes(), len(server.requests)) == (CONTENT, 1)


def test_a_killed_process_leaves_a_part_that_is_continued(server, path):
    def stall(handler):
        handler.start(200, Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT[:200_000])
        handler.wfile.flush()
        handler.rfile.read(1)  # until the client is gone

    server.plan = [stall]
    code = (
        "import sys; from pathlib import Path; from dogcam.data.transfer import fetch\n"
        "tell = lambda done, total: print(done, flush=True)\n"
        "fetch(sys.argv[1], Path(sys.argv[2]), checksum=sys.argv[3], progress=tell)"
    )
    arguments = [server.url("dogs.tar"), str(path), SHA256]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE) as process:
        while int(process.stdout.readline()) < 100_000:
            pass
        process.kill()
    server.plan = [send(CONTENT)]
    get(server, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges()[-1] is not None
