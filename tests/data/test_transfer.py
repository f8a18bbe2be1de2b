"""A file arrives whole or not at all, whatever the server does; what has arrived is not asked for again."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dogcam.data.transfer import Patience, fetch
from dogcam.errors import DownloadError
from tests.support.http_server import fail, send, serving

CONTENT = hashlib.shake_256(b"dogs").digest(300_000)
OTHER = hashlib.shake_256(b"cats").digest(300_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(attempts=3, timeout=5.0, pause=0.0)
ONCE = Patience(attempts=1, timeout=5.0, pause=0.0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "dogs.tar"


def names(path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def start_part(server, path, arrived: int = 100_000, **options) -> int:
    """Leave a part behind, as an interrupted call does; return its length, and forget the requests."""
    server.plan = [send(CONTENT, stop_after=arrived, **options)]
    with pytest.raises(DownloadError):
        fetch(server.url("dogs"), path, patience=ONCE)
    server.requests.clear()
    size = (path.parent / "dogs.tar.part").stat().st_size
    assert 0 < size <= arrived
    return size


@pytest.mark.parametrize("checksum", [None, SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest().upper()])
def test_a_good_transfer(server, path, checksum):
    server.plan = [send(CONTENT)]
    seen = []
    options = {"checksum": checksum, "progress": lambda *state: seen.append(state)}
    assert fetch(server.url("dogs"), path, **options) == path
    assert path.read_bytes() == CONTENT
    assert names(path) == ["dogs.tar"]
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (300_000, 300_000)
    assert {total for _, total in seen} == {300_000}
    fetch(server.url("dogs"), path, **options)
    assert len(server.requests) == 1, "what is there must not be fetched again"


def test_a_dropped_connection_is_taken_up_where_it_broke(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(CONTENT, stop_after=100_000), send(CONTENT)]
    fetch(server.url("dogs"), path, patience=QUICK)
    assert path.read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.asked_ranges()[1:]]
    assert 0 < starts[0] <= 100_000 < starts[1] <= 200_000
    assert [headers["If-Range"] for _, headers in server.requests] == [None, '"one"', '"one"']
    assert names(path) == ["dogs.tar"]


def test_the_next_call_continues(server, path):
    size = start_part(server, path)
    server.plan = [send(CONTENT)]
    seen = []
    fetch(server.url("dogs"), path, progress=lambda done, total: seen.append((done, total)), patience=ONCE)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges() == [f"bytes={size}-"]
    assert seen[0][0] > size
    assert seen[-1] == (300_000, 300_000)


def test_an_interrupt_leaves_the_part_for_the_next_call(server, path):
    def interrupt(done, total):
        if done > 100_000:
            raise KeyboardInterrupt

    server.plan = [send(CONTENT)]
    with pytest.raises(KeyboardInterrupt):
        fetch(server.url("dogs"), path, progress=interrupt, patience=QUICK)
    assert names(path) == ["dogs.tar.part", "dogs.tar.part.json"]
    part = (path.parent / "dogs.tar.part").read_bytes()
    assert len(part) > 100_000
    assert part == CONTENT[: len(part)]
    fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert server.asked_ranges() == [None, f"bytes={len(part)}-"]


def test_a_part_that_is_whole_needs_no_request(server, path):
    start_part(server, path)
    (path.parent / "dogs.tar.part").write_bytes(CONTENT)
    fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert path.read_bytes() == CONTENT
    assert server.requests == []


def fetching(url: str, path: Path) -> subprocess.Popen:
    """Start a process that fetches `url` and says how large the file is that it has in the end."""
    code = (
        "import sys; from pathlib import Path; from dogcam.data.transfer import fetch; "
        "print(fetch(sys.argv[1], Path(sys.argv[2])).stat().st_size)"
    )
    command = [sys.executable, "-c", code, url, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_another_process_waits_and_finds_the_file(server, path):
    others = []

    def start_another(done, total):
        # In the middle of the transfer; it goes on when the other one is known to wait.
        if not others:
            others.append(fetching(server.url("dogs"), path))
            assert "another program holds" in others[0].stderr.readline()

    server.plan = [send(CONTENT)]
    fetch(server.url("dogs"), path, checksum=SHA256, progress=start_another, patience=ONCE)
    said, _ = others[0].communicate(timeout=30)
    assert (others[0].returncode, said.strip()) == (0, "300000")
    assert len(server.requests) == 1
    assert path.read_bytes() == CONTENT
    assert names(path) == ["dogs.tar"]


def test_many_at_once_fetch_a_file_once(server, path):
    server.plan = [send(CONTENT)]
    with ThreadPoolExecutor(8) as pool:
        fetches = [pool.submit(fetch, server.url("dogs"), path, checksum=SHA256) for _ in range(8)]
        assert {each.result() for each in fetches} == {path}
    assert len(server.requests) == 1
    assert path.read_bytes() == CONTENT
    assert names(path) == ["dogs.tar"]


def test_the_next_in_turn_takes_over_where_the_first_fails(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(CONTENT)]
    with ThreadPoolExecutor(2) as pool:
        fetches = [pool.submit(fetch, server.url("dogs"), path, patience=ONCE) for _ in range(2)]
    assert sorted(each.exception() is None for each in fetches) == [False, True]
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges()[1] is not None, "what the first one left is continued"


def test_a_lock_that_a_killed_process_left_keeps_nobody_waiting(server, path):
    path.parent.mkdir()
    (path.parent / ".dogs.tar.lock").touch()
    server.plan = [send(CONTENT)]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert names(path) == ["dogs.tar"]


def test_a_part_that_somebody_else_wrote_to_is_thrown_away(server, path):
    """As on a drive without locks."""

    def write_too(done, total):
        if len(server.requests) == 1:
            with (path.parent / "dogs.tar.part").open("ab") as file:
                file.write(b"x")

    server.plan = [send(CONTENT)]
    fetch(server.url("dogs"), path, progress=write_too, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges() == [None, None]


def test_a_server_without_ranges_starts_again(server, path):
    start_part(server, path)
    server.plan = [send(CONTENT, heeds_range=False)]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("length", [300_000, 200_000, 50_000], ids=["same", "shorter", "shorter than part"])
def test_a_changed_file_is_not_glued_onto_an_old_part(server, path, heeds_if_range, length):
    start_part(server, path)
    server.plan = [send(OTHER[:length], etag='"two"', heeds_if_range=heeds_if_range)]
    fetch(server.url("dogs"), path, patience=QUICK)
    assert path.read_bytes() == OTHER[:length]


def test_a_changed_file_between_attempts_of_one_call(server, path):
    server.plan = [send(CONTENT, stop_after=100_000), send(OTHER, etag='"two"', stop_after=150_000)]
    server.plan += [send(OTHER, etag='"two"')]
    fetch(server.url("dogs"), path, patience=QUICK)
    assert path.read_bytes() == OTHER
    assert server.requests[-1][1]["If-Range"] == '"two"'


def test_the_modification_time_serves_where_the_etag_is_weak(server, path):
    date = "Tue, 06 Nov 2007 12:00:00 GMT"
    size = start_part(server, path, etag='W/"one"', modified=date)
    server.plan = [send(CONTENT, etag='W/"one"', modified=date)]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges() == [f"bytes={size}-"]
    assert server.requests[0][1]["If-Range"] == date


def test_without_a_strong_validator_nothing_is_continued(server, path):
    start_part(server, path, etag='W/"one"')
    server.plan = [send(OTHER, etag='W/"one"')]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert path.read_bytes() == OTHER
    assert server.asked_ranges() == [None]


@pytest.mark.parametrize("damage", ["{", "[]", '{"url": 1}', None], ids=["cut", "list", "keys", "gone"])
def test_a_part_without_a_sound_sidecar_is_not_trusted(server, path, damage):
    start_part(server, path)
    sidecar = path.parent / "dogs.tar.part.json"
    sidecar.unlink() if damage is None else sidecar.write_text(damage)
    server.plan = [send(OTHER)]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert path.read_bytes() == OTHER
    assert server.asked_ranges() == [None]


def test_a_part_of_another_address_is_not_continued(server, path):
    start_part(server, path)
    server.plan = [send(OTHER)]
    fetch(server.url("cats"), path, patience=ONCE)
    assert path.read_bytes() == OTHER


def test_a_part_longer_than_the_file_is_not_continued(server, path):
    start_part(server, path)
    (path.parent / "dogs.tar.part").write_bytes(CONTENT + b"x")
    server.plan = [send(CONTENT)]
    fetch(server.url("dogs"), path, patience=ONCE)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges() == [None]


def test_less_than_announced_is_not_accepted(server, path):
    server.plan = [send(CONTENT[:200_000], announced=300_000)]
    with pytest.raises(DownloadError, match=r"last byte|200000 of 300000"):
        fetch(server.url("dogs"), path, patience=ONCE)
    assert not path.exists()


def test_less_than_announced_is_noticed_without_the_library(server, path, monkeypatch):
    """Older releases of urllib3 end a short body in silence; the length is compared by ourselves, too."""
    monkeypatch.setattr("requests.Response.iter_content", lambda response, size: iter([CONTENT[:1000]]))
    server.plan = [send(CONTENT)]
    with pytest.raises(DownloadError, match="1000 of 300000"):
        fetch(server.url("dogs"), path, patience=ONCE)
    assert not path.exists()


def test_a_short_file_of_the_announced_length_is_told_by_its_checksum(server, path):
    server.plan = [send(CONTENT[:200_000])]
    found = hashlib.sha256(CONTENT[:200_000]).hexdigest()
    with pytest.raises(DownloadError, match=rf"{found}.*{SHA256[7:]}"):
        fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert not path.exists()
    assert not (path.parent / "dogs.tar.part").exists()
    server.plan = [send(CONTENT)]
    fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert server.asked_ranges() == [None, None]


def test_wrong_bytes_in_a_file_that_was_placed_by_hand(server, path):
    path.parent.mkdir()
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match=rf"dogs\.tar.*{SHA256[7:]}"):
        fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert path.read_bytes() == OTHER
    assert server.requests == []


def test_a_length_that_nobody_announced(server, path):
    server.plan = [send(CONTENT, announced=-1)]
    seen = []
    fetch(server.url("dogs"), path, progress=lambda *state: seen.append(state), patience=ONCE)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (300_000, None)


def test_an_empty_file(server, path):
    server.plan = [send(b"")]
    assert fetch(server.url("dogs"), path, patience=ONCE).read_bytes() == b""


@pytest.mark.parametrize("status", [404, 403, 410, 204])
def test_a_final_refusal_is_not_repeated(server, path, status):
    server.plan = [fail(status)]
    with pytest.raises(DownloadError) as caught:
        fetch(server.url("dogs"), path, patience=QUICK)
    message = str(caught.value)
    assert server.url("dogs") in message
    assert f"the server answered {status}" in message
    assert f"place the file by hand at {path}" in message
    assert len(server.requests) == 1
    assert names(path) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_trouble_that_may_pass_is_waited_for(server, path, status, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.plan = [fail(status), fail(status), send(CONTENT)]
    fetch(server.url("dogs"), path, patience=Patience(attempts=3, timeout=5.0, pause=0.5))
    assert path.read_bytes() == CONTENT
    assert pauses == [0.5, 1.0]


def test_trouble_that_does_not_pass(server, path):
    server.plan = [fail(500)]
    with pytest.raises(DownloadError, match=r"\b500\b.*\b3 of 3\b.*dogs\.tar"):
        fetch(server.url("dogs"), path, patience=QUICK)
    assert len(server.requests) == 3


def test_trouble_keeps_the_part(server, path):
    size = start_part(server, path)
    server.plan = [fail(503), send(CONTENT)]
    fetch(server.url("dogs"), path, patience=QUICK)
    assert server.asked_ranges() == [f"bytes={size}-"] * 2


def test_nobody_listens(path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/dogs"
        with pytest.raises(DownloadError, match=r"refused.*\b2 of 2\b"):
            fetch(url, path, patience=Patience(attempts=2, pause=0.0))


def test_silence_counts_as_a_dropped_connection(path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/dogs"
        with pytest.raises(DownloadError, match=r"timed out.*\b1 of 1\b"):
            fetch(url, path, patience=Patience(attempts=1, timeout=0.1))


@pytest.mark.parametrize("url", ["dogs.tar", "gopher://127.0.0.1/dogs"])
def test_an_address_that_is_none(path, url):
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(url, path, patience=QUICK)


def test_a_full_disk_is_noticed_before_the_transfer(server, path, monkeypatch):
    usage = shutil.disk_usage(path.parents[1])._replace(free=100_000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    server.plan = [send(CONTENT * 10)]
    with pytest.raises(DownloadError, match=r"cache.* 100\.0 kB.* 3\.0 MB"):
        fetch(server.url("dogs"), path, patience=QUICK)
    assert len(server.requests) == 1


def test_a_write_that_fails_is_told_apart_from_the_network(server, path):
    """A limit on the size of files stands for a disk that fills up on the way."""
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    server.plan = [send(CONTENT)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DownloadError, match=r"dogs\.tar.*File too large"):
            fetch(server.url("dogs"), path, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(server.requests) == 1, "asking again does not help"
    fetch(server.url("dogs"), path, checksum=SHA256, patience=ONCE)
    assert server.asked_ranges()[1] is not None


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"file.*(Not a directory|File exists)"):
        fetch(server.url("dogs"), tmp_path / "file" / "dogs.tar", patience=QUICK)
    assert server.requests == []


def test_the_sidecar_says_what_the_part_is_a_part_of(server, path):
    start_part(server, path)
    sidecar = json.loads((path.parent / "dogs.tar.part.json").read_text())
    assert sidecar == {"url": server.url("dogs"), "validator": '"one"', "total": 300_000}
