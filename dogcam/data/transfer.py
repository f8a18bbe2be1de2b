"""One file over HTTP: whole or not at all, and continued where it stopped."""

import json
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pooch
import requests
from requests.exceptions import ChunkedEncodingError
from rich.filesize import decimal

from dogcam.errors import DownloadError
from dogcam.files import file_lock

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be (None where nobody knows)."""

_CHUNK = 1 << 16
_PASSING_STATUS = (408, 429)
"""With 500 and above: answers that may be another one when asked again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How much a transfer puts up with.

    A connection counts as dropped after `timeout` seconds without an answer or a byte. When it drops, or the
    server is in trouble, there are up to `attempts` in all (at least 1), `pause` seconds before the second
    one and twice as many before each further one.
    """

    attempts: int = 3
    timeout: float = 30.0
    pause: float = 1.0


PATIENCE = Patience()


class _DroppedError(Exception):
    """A transfer that broke off for a reason which may pass."""


@dataclass(frozen=True)
class _Remote:
    """What a partial file is a part of, kept beside it as JSON.

    The validator is the remote file's strong ETag, or its modification time where it has none: as long as it
    and the length (bytes) stay the same, the rest of the file fits the part that is there.
    """

    url: str
    validator: str
    total: int


def fetch(
    url: str,
    path: Path,
    *,
    checksum: str | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """Download one file; do nothing where it is already there.

    The bytes gather in `path` + `.part`, which is kept when the transfer is interrupted and continued by the
    next call if the server can and the remote file is still the same one. `path` appears when all are there.
    Where another process or thread is downloading the same file, it is waited for.

    Args:
        url: an http or https address.
        path: where the file shall stand; its folder is made.
        checksum: `md5:HEX` or `sha256:HEX`; without one only the length is verified, and only if announced.
        progress: told how far the transfer is.
        patience: how often and how long to try.

    Returns:
        `path`.

    Raises:
        DownloadError: where the file cannot be had, is not the one expected, or cannot be written.
    """
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(path):
                if not path.is_file():  # another may have fetched it in the meantime
                    _complete(url, path, checksum, progress, patience)
                    return path
        _verify(path, checksum)
    except OSError as error:
        raise DownloadError(
            f"{error.filename or path} cannot be written: {error.strerror or error}; make room for it or "
            "choose another folder"
        ) from error
    return path


def _complete(
    url: str, path: Path, checksum: str | None, progress: Progress | None, patience: Patience
) -> None:
    """Download what is missing of a file, and put it into its place."""
    part = _part_of(path)
    _persist(url, path, progress, patience)
    _verify(part, checksum, url)
    part.replace(path)
    _sidecar_of(part).unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _sidecar_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _persist(url: str, path: Path, progress: Progress | None, patience: Patience) -> None:
    """Complete the partial file of `path`, trying again as long as that can help."""
    for attempt in range(1, patience.attempts + 1):
        try:
            return _transfer(url, path, progress, patience.timeout)
        except (_DroppedError, ChunkedEncodingError, requests.ConnectionError, requests.Timeout) as error:
            fault, reason = error, _reason(error)
        except requests.RequestException as error:
            raise _give_up(url, path, str(error)) from error
        if attempt < patience.attempts:
            seconds = patience.pause * 2 ** (attempt - 1)
            _log.warning("%s: %s; trying again in %g s", url, reason, seconds)
            time.sleep(seconds)
    raise _give_up(url, path, f"{reason} (attempt {patience.attempts} of {patience.attempts})") from fault


def _reason(error: Exception) -> str:
    """Return why a transfer broke off, without the layers of libraries that it was reported through."""
    if isinstance(error, ChunkedEncodingError):
        return "the connection dropped before the last byte"
    inner = getattr(error.args[0], "reason", None) or error
    return str(inner).split("): ", 1)[-1].rstrip(".")  # what follows `HTTPConnection(host=...): `


def _give_up(url: str, path: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{url} could not be downloaded: {reason}. Try again later, which continues what has arrived, or "
        f"place the file by hand at {path}"
    )


def _transfer(url: str, path: Path, progress: Progress | None, timeout: float) -> None:
    """Ask for the file, or for the rest of it, and write down what comes."""
    part = _part_of(path)
    headers = {"Accept-Encoding": "identity"}  # compressed bytes could neither be counted nor continued
    known = _read_sidecar(part, url)
    done = part.stat().st_size if known else 0
    if known and done == known.total:
        return
    if known and done:
        headers |= {"Range": f"bytes={done}-", "If-Range": known.validator}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        total = _total_of(response)
        if response.status_code == 200:
            done = 0
            _start(part, _Remote(url, _validator_of(response), total or 0))
        elif response.status_code not in (206, 416):
            _refuse(response, url, path)
        elif not (known and _continues(response, known, done)):
            part.unlink(missing_ok=True)
            raise _DroppedError("the file has changed on the server")
        if total is not None:
            _need_room(part, total - done)
        _receive(response, part, done, total, progress)


def _read_sidecar(part: Path, url: str) -> _Remote | None:
    """Return what the partial file is a part of; None where it cannot be continued from `url`."""
    try:
        remote = _Remote(**json.loads(_sidecar_of(part).read_text(encoding="utf-8")))
        fits = remote.url == url and 0 <= part.stat().st_size <= remote.total
    except (OSError, ValueError, TypeError):
        return None  # no part, no sidecar or a damaged one: nothing to rely on, so start afresh
    return remote if fits else None


def _start(part: Path, remote: _Remote) -> None:
    """Begin a partial file anew."""
    # In this order: at no time does a new sidecar vouch for an old part.
    part.unlink(missing_ok=True)
    if remote.validator and remote.total:
        _sidecar_of(part).write_text(json.dumps(asdict(remote)), encoding="utf-8")
    else:
        _sidecar_of(part).unlink(missing_ok=True)


def _validator_of(response: requests.Response) -> str:
    """Return what stays the same as long as the remote file does; "" if there is no such thing."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak one allows other bytes of the same meaning
        return etag
    return response.headers.get("Last-Modified", "")


def _total_of(response: requests.Response) -> int | None:
    """Return the length in bytes of the whole file that the response is, or is a part of."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _continues(response: requests.Response, known: _Remote, done: int) -> bool:
    """Say whether a partial response is the rest of what is known: some servers do not heed If-Range."""
    starts = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
    same = _validator_of(response) in ("", known.validator)  # it may be left out of an answer to If-Range
    return starts and same and _total_of(response) == known.total


def _refuse(response: requests.Response, url: str, path: Path) -> None:
    status = f"the server answered {response.status_code} {response.reason}".rstrip()
    if response.status_code >= 500 or response.status_code in _PASSING_STATUS:
        raise _DroppedError(status)
    raise _give_up(url, path, status)


def _need_room(part: Path, size: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if size > free:
        raise DownloadError(
            f"{part.parent} has room for {decimal(free)}, but {decimal(size)} are to come; "
            "make room there or choose another folder"
        )


def _receive(
    response: requests.Response, part: Path, done: int, total: int | None, progress: Progress | None
) -> None:
    with part.open("ab") as file:
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    _need_own(part, done)
    if total is not None and done != total:
        raise _DroppedError(f"only {done} of {total} bytes arrived")


def _need_own(part: Path, expected: int) -> None:
    """Look at the file itself: where the drive has no locks, another process may have written to it, too."""
    size = part.stat().st_size
    if size != expected:
        part.unlink()
        raise _DroppedError(f"{part} has {size} bytes, expected {expected}: it was removed")


def _verify(path: Path, checksum: str | None, url: str | None = None) -> None:
    """Compare a file with its checksum; one that has just come from `url` is removed where it differs."""
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found == expected.lower():
        return
    sums = f"the {algorithm} sum {found}, expected {expected}"
    if url is None:  # it may have been placed by hand, so it is not ours to remove
        raise DownloadError(f"{path} has {sums}; delete it, and it will be downloaded again")
    path.unlink()
    raise DownloadError(f"what {url} sent has {sums}, and was removed; try again later")
