"""One file over HTTP by pooch: whole, verified, or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests

from dogcam.errors import DownloadError
from dogcam.files import file_lock

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be; None if nobody knows."""

TIMEOUT = 30.0
"""Seconds without an answer or a byte after which a connection counts as dropped."""

ATTEMPTS = 3
"""Tries if a connection drops or a file is not whole; a second longer is waited before each."""

_PASSING = (408, 416, 429)
"""Refusals that may be another answer when asked again."""

MIRROR = "DOGCAM_MIRROR"
"""The variable of the environment that names a folder on another server, such as https://host/folder."""


def fetch(
    url: str,
    path: Path,
    *,
    checksum: str | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
) -> Path:
    """Download one file; do nothing if it is already there.

    The file appears when all of it has arrived and its checksum is right. A process that downloads the same
    file is waited for. Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY). DOGCAM_MIRROR names a
    folder on another server that holds the file under its own name.

    Args:
        url: an http or https address.
        path: the file to make; its folder is made.
        checksum: `md5:HEX` or `sha256:HEX`; without one only the announced length is verified.
        progress: told how far the transfer is.
        timeout: seconds without an answer or a byte after which a try fails.
        attempts: how often to try.

    Returns:
        `path`.

    Raises:
        DownloadError: if the file cannot be had, is not the one expected, or cannot be written; the message
            states which file to put where by hand.
    """
    source = _mirrored(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path):
            if path.is_file():
                _require_sum(path, checksum)
            else:
                _download(source, path, checksum, progress, timeout, attempts)
    except (requests.RequestException, ValueError) as error:
        raise _by_hand(source, path, checksum, _reason(error)) from error
    except OSError as error:
        raise DownloadError(
            f"{error.filename or path} cannot be written: {error.strerror or error}; make room for it or "
            "choose another folder"
        ) from error
    return path


def _download(
    url: str, path: Path, checksum: str | None, progress: Progress | None, timeout: float, attempts: int
) -> None:
    downloader = _Downloader(path, checksum is not None, progress, timeout)
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected an http or https address")
    # `retrieve` has no retries; `stream_download` is what it and `Pooch.fetch` are made of.
    pooch.core.stream_download(url, path, checksum, downloader, retry_if_failed=attempts - 1)


class _Downloader:
    """What pooch calls to fetch a file: it continues a part, and verifies kind and length.

    Bytes gather in `PATH.part`, which a dropped connection or a killed process leaves behind. It is continued
    only if the whole has a checksum, by which pooch verifies the result.
    """

    def __init__(self, path: Path, resumes: bool, progress: Progress | None, timeout: float) -> None:
        self.part = path.with_name(f"{path.name}.part")
        self.path = path
        self.resumes = resumes
        self.progress = progress
        self.timeout = timeout

    def __call__(self, url: str, output: str, _: Any) -> None:
        # Compressed bytes could neither be counted nor continued.
        headers = {"Accept-Encoding": "identity"}
        done = self.part.stat().st_size if self.resumes and self.part.is_file() else 0
        if done:
            headers["Range"] = f"bytes={done}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            self._require_file(response, url)
            if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                done = 0
            length = response.headers.get("Content-Length", "")
            total = done + int(length) if length.isdigit() else None
            self._require_room(total)
            self._receive(response, done, total)
        if total is not None and self.part.stat().st_size != total:
            raise ValueError(f"only {self.part.stat().st_size} of {total} bytes arrived")
        self.part.replace(output)

    def _receive(self, response: requests.Response, done: int, total: int | None) -> None:
        with self.part.open("ab" if done else "wb") as file:
            for chunk in response.iter_content(1 << 16):
                file.write(chunk)
                done += len(chunk)
                if self.progress:
                    self.progress(done, total)

    def _require_file(self, response: requests.Response, url: str) -> None:
        """Refuse an error, and a page in the place of a file."""
        status = response.status_code
        if status == 416:  # there is nothing after the part, and yet it was not the whole file
            self.part.unlink(missing_ok=True)
        if 400 <= status < 500 and status not in _PASSING:
            raise _by_hand(url, self.path, None, f"the server answered {status} {response.reason}")
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _by_hand(url, self.path, None, "the server sent a page (text/html) instead of the file")

    def _require_room(self, total: int | None) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and total > free:
            raise DownloadError(
                f"{self.path.parent} has room for {free:,} bytes, but {total:,} are to come; make room, "
                "or choose another folder"
            )


def _mirrored(url: str) -> str:
    mirror = os.environ.get(MIRROR, "").strip().rstrip("/")
    return f"{mirror}/{url.rsplit('/', 1)[-1]}" if mirror else url


def _require_sum(path: Path, checksum: str | None) -> None:
    """Compare a file that was there with its checksum; it may have been placed by hand, so it stays."""
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found != expected.lower():
        raise DownloadError(
            f"{path} has the {algorithm} sum {found}, expected {expected}; delete it to download it"
        )


def _reason(error: Exception) -> str:
    """Return why a transfer failed, without the layers of libraries that it was reported through."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error).split("): ", 1)[-1].rstrip(".")  # what follows `HTTPConnection(host=...): `


def _by_hand(url: str, path: Path, checksum: str | None, reason: str) -> DownloadError:
    sums = f" (its sum is {checksum})" if checksum else ""
    return DownloadError(
        f"{url} could not be downloaded: {reason}. Try again later, set {MIRROR} or a proxy, or get the file "
        f"on another machine and place it at {path}{sums}"
    )
