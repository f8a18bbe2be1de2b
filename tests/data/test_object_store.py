"""Copies of folders in an object store: what changed is read, nothing else, and faults are named."""

from pathlib import Path

import pytest

from dogcam.data.object_store import copy_folder
from dogcam.errors import ConfigError, DownloadError, RecordError
from tests.support.runs import invoke, options, record_of

FILES = {"VOC/a/one.txt": b"1", "VOC/two.txt": b"22", "VOC/folder/": b"", "VOCother/three.txt": b"3"}


@pytest.fixture(scope="module")
def endpoint():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint, monkeypatch):
    """A new bucket in an object store on this machine: a function that writes or removes an object."""
    import boto3
    import s3fs

    for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"),
                        ("DEFAULT_REGION", "us-east-1")):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("NO_PROXY", "*")
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    for bucket in client.list_buckets()["Buckets"]:
        for each in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=each["Key"])
    client.create_bucket(Bucket="photos")

    def change(key: str, content: bytes | None) -> None:
        if content is None:
            client.delete_object(Bucket="photos", Key=key)
        else:
            client.put_object(Bucket="photos", Key=key, Body=content)

    return change


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_is_copied_once_and_follows_its_changes(store, tmp_path):
    for key, content in FILES.items():
        store(key, content)
    counts = []
    copy = copy_folder("s3://photos/VOC", tmp_path, lambda *each: counts.append(each))
    assert (copy.name, files_of(copy)) == ("VOC", {"a/one.txt": b"1", "two.txt": b"22"})
    assert counts == [(1, 2), (2, 2)]
    untouched = (copy / "two.txt").stat().st_mtime_ns
    store("VOC/a/one.txt", b"9")
    store("VOC/new.txt", b"new")
    assert files_of(copy_folder("s3://photos/VOC/", tmp_path)) == {  # another name of the same folder
        "a/one.txt": b"9", "new.txt": b"new", "two.txt": b"22",
    }  # fmt: skip
    store("VOC/new.txt", None)
    again = copy_folder("s3://photos/VOC", tmp_path)
    assert files_of(again) == {"a/one.txt": b"9", "two.txt": b"22"}
    assert (again / "two.txt").stat().st_mtime_ns == untouched
    (again / "two.txt").unlink()
    assert files_of(copy_folder("s3://photos/VOC", tmp_path))["two.txt"] == b"22"


def test_an_interrupted_copy_keeps_what_it_has(store, tmp_path):
    for number in range(40):
        store(f"VOC/{number:02d}.txt", b"%d" % number)

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_folder("s3://photos/VOC", tmp_path, interrupt)
    counts = []
    copy_folder("s3://photos/VOC", tmp_path, lambda done, total: counts.append(done))
    assert counts == list(range(6, 41))


@pytest.mark.parametrize(
    ("url", "error", "named"),
    [
        ("s3://photos/nothing", DownloadError, "no files"), ("s3://missing/VOC", DownloadError, "missing"),
        ("nowhere://photos", ConfigError, "nowhere"),
    ],
)  # fmt: skip
def test_a_faulty_address_is_named(store, tmp_path, url, error, named):
    with pytest.raises(error, match=named):
        copy_folder(url, tmp_path)


def test_no_file_is_written_outside_of_the_copy(store, tmp_path):
    store("VOC/../../outside.txt", b"1")
    with pytest.raises(RecordError, match=r"outside\.txt"):
        copy_folder("s3://photos/VOC", tmp_path / "cache")
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_large_file_is_refused(store, tmp_path, monkeypatch):
    store("VOC/large.txt", bytes(1_000_001))
    monkeypatch.setenv("DOGCAM_MAX_MEGABYTES", "1")
    with pytest.raises(DownloadError, match=r"large\.txt has 1,000,001 bytes"):
        copy_folder("s3://photos/VOC", tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path, monkeypatch):
    import fsspec.implementations.local

    (tmp_path / "VOC").mkdir()
    (tmp_path / "VOC" / "one.txt").write_bytes(b"whole")
    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "cat_file", lambda self, path: b"who")
    with pytest.raises(DownloadError, match=r"one\.txt gave 3 of 5 bytes"):
        copy_folder(f"file://{tmp_path / 'VOC'}", tmp_path / "cache")


@pytest.mark.slow
def test_a_run_on_an_object_store_has_the_numbers_of_the_folder(
    store, small_data, small_checkpoint, finished, tmp_path, quick_runs
):
    for name, content in files_of(small_data).items():
        store(f"{small_data.name}/{name}", content)
    words = options(small_data, small_checkpoint, tmp_path / "out", "--cache", str(tmp_path / "cache"))
    words[words.index(str(small_data))] = f"s3://photos/{small_data.name}"
    found = invoke(words)
    assert found.exit_code == 0, found.output
    ours, theirs = record_of(tmp_path / "out"), record_of(finished)
    assert ours["config"]["data"] == theirs["config"]["data"]
    assert "s3:" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for part in ("detection", "data", "localisation", "failures"):
        assert ours[part] == theirs[part]
