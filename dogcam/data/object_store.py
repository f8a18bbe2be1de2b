"""Copy a folder of an object store to this machine, by fsspec; a second copy reads what changed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import fsspec

from dogcam.errors import ConfigError, DogcamError, DownloadError
from dogcam.files import atomic_write, path_inside, read_json, require_few_bytes, sha256_of
from dogcam.files.locks import dir_lock

THREADS = 16
"""Files that are read at the same time; most of the time is spent waiting for the store."""

INDEX = "index.json"
"""The file beside a copy with the version of each of its files."""

_VERSIONS = ("size", "ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "updated", "created")
"""What file systems state of a file that changes with its content."""


class _Listed(NamedTuple):
    """A file in the store: its path there, its size in bytes if that is known, and its version."""

    path: str
    size: int | None
    version: str


def copy_folder(url: str, cache: Path, copied: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Copy a folder of an object store, such as `s3://bucket/VOC2007`, and return the copy.

    Files that changed are read again, and files that are gone are removed. An interrupted copy continues.
    Credentials are those of the protocol's own library, for example AWS_ACCESS_KEY_ID.

    Args:
        url: `protocol://path` of any protocol that fsspec knows.
        cache: where copies are kept.
        copied: receives the number of files that are done, and of all files.

    Raises:
        ConfigError: if the protocol is unknown, or its library is not installed.
        DownloadError: if the store is not reached, the folder has no files, or a file is too large.
    """
    url = url.rstrip("/")
    system, root = _opened(url)
    home = cache / "copies" / sha256_of(url.encode())[:16]
    target = home / (root.rstrip("/").rpartition("/")[2] or "data")
    with dir_lock(home):
        there = _listed(system, root, url)
        known = _known(home / INDEX)
        for name in known.keys() - there.keys():
            path_inside(target, name).unlink(missing_ok=True)
        have = {
            name: each.version for name, each in there.items()
            if known.get(name) == each.version and path_inside(target, name).is_file()
        }  # fmt: skip
        missing = {name: each for name, each in there.items() if name not in have}
        try:
            for name, version in _read(system, target, missing, url):
                have[name] = version
                copied(len(have), len(there))
        finally:
            atomic_write(home / INDEX, json.dumps(have))
    return target


def _opened(url: str) -> tuple[Any, str]:
    try:
        return fsspec.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(
            f"{url} needs another package ({error}); install it, such as 'dogcam[s3]'"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{url} has an unknown protocol ({error}); expected s3://, for example") from error


def _listed(system: Any, root: str, url: str) -> dict[str, _Listed]:
    """Return the files of a folder, by their names in it."""
    try:
        system.invalidate_cache()
        found = system.find(root, detail=True)
    except Exception as error:  # each library has errors of its own
        raise DownloadError(
            f"{url} cannot be listed ({error}); check the address and the credentials"
        ) from error
    files = {}
    for path, info in found.items():
        name = path.removeprefix(root.rstrip("/")).lstrip("/")
        require_few_bytes(info.get("size") or 0, f"{url}/{name}", error=DownloadError)
        # Some stores have an empty object for each folder.
        if name and not name.endswith("/"):
            version = " ".join(f"{key}={info[key]}" for key in _VERSIONS if key in info)
            files[name] = _Listed(path, info.get("size"), version)
    if not files:
        raise DownloadError(f"{url} contains no files; check the address")
    return files


def _known(index: Path) -> dict[str, str]:
    """Return the versions of the files of an earlier copy; none if there is none."""
    try:
        return {str(name): str(version) for name, version in read_json(index, DownloadError).items()}
    except (DogcamError, AttributeError):
        return {}


def _read(system: Any, target: Path, missing: dict[str, _Listed], url: str) -> Iterator[tuple[str, str]]:
    """Read files, and yield the name and the version of each that is written."""

    def read(name: str) -> tuple[str, str]:
        path, size, version = missing[name]
        try:
            content = system.cat_file(path)
        except Exception as error:  # each library has errors of its own
            raise DownloadError(f"{url}/{name} cannot be read ({error}); run again to continue") from error
        if size is not None and len(content) != size:
            raise DownloadError(
                f"{url}/{name} gave {len(content):,} of {size:,} bytes; run again to continue"
            )
        atomic_write(path_inside(target, name), content)
        return name, version

    with ThreadPoolExecutor(THREADS) as threads:
        tasks = [threads.submit(read, name) for name in missing]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            threads.shutdown(cancel_futures=True)
