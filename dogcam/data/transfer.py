"""Download one file over HTTP with pooch: resumed, verified, atomic.

pooch verifies checksums and repeats failed downloads. Its own downloader neither resumes a partial file nor
checks the announced length, the content type and the free space, so `_Downloader` replaces it.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests

from dogcam.errors import DownloadError
from dogcam.files.locks import file_lock

Progress = Callable[[int, int | None], None]
"""Called with the received bytes and the total bytes; None if the total is unknown."""

TIMEOUT = 30.0
"""Seconds without any response after which a connection counts as lost."""

MAX_BYTES = 4 * 2**30
"""Limit of a download: a server cannot fill the disk. The largest known file has 451 MB."""

ATTEMPTS = 3
"""Number of attempts; the wait before each is a second longer than before the previous one."""

_TEMPORARY = (408, 416, 429)
"""HTTP errors after which another attempt is made."""

MIRROR = "DOGCAM_MIRROR"
"""Environment variable with a folder on another server, such as https://host/folder."""


def fetch(
    url: str,
    path: Path,
    *,
    checksum: str | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Download one file, unless it exists.

    The file is created when it is complete and its checksum is verified. If another process downloads the
    same file, the function waits for it. Proxies are read from the environment (HTTPS_PROXY, NO_PROXY).
    DOGCAM_MIRROR names a folder on another server with a file of the same name.

    Args:
        url: an http or https address.
        path: the file to create; its folder is created if it is missing.
        checksum: `md5:HEX` or `sha256:HEX`; if None, only the announced length is verified.
        progress: receives the progress.
        timeout: seconds without any response after which an attempt fails.
        attempts: maximum number of attempts.
        max_bytes: largest size of the file.

    Returns:
        `path`.

    Raises:
        DownloadError: if the file cannot be downloaded or written, or has another checksum; the message
            states where to put the file by hand.
    """
    source = _mirrored(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path):
            if path.is_file():
                _require_sum(path, checksum)
            else:
                downloader = _Downloader(path, checksum is not None, progress, timeout, max_bytes)
                _download(source, path, checksum, downloader, attempts)
    except (requests.RequestException, ValueError) as error:
        raise _by_hand(source, path, checksum, _reason(error)) from error
    except OSError as error:
        raise DownloadError(
            f"{error.filename or path} cannot be written: {error.strerror or error}; free some space, or "
            "choose another folder"
        ) from error
    return path


def _download(url: str, path: Path, checksum: str | None, downloader: "_Downloader", attempts: int) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected an http or https address")
    # `pooch.retrieve` has no retries; `stream_download` is the function behind it and `Pooch.fetch`.
    pooch.core.stream_download(url, path, checksum, downloader, retry_if_failed=attempts - 1)


class _Downloader:
    """Downloader for pooch: resumes a partial file, and checks content type, size and free space.

    Bytes are written to `PATH.part`, which remains if the connection is lost or the process is killed. It is
    resumed only if there is a checksum, with which pooch verifies the result.
    """

    def __init__(
        self, path: Path, resumes: bool, progress: Progress | None, timeout: float, max_bytes: int
    ) -> None:
        self.part = path.with_name(f"{path.name}.part")
        self.path = path
        self.resumes = resumes
        self.progress = progress
        self.timeout = timeout
        self.max_bytes = max_bytes

    def __call__(self, url: str, output: str, _: Any) -> None:
        # Compressed bytes could be neither counted nor resumed.
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
            self._require_size(url, total or 0)
            self._require_room(total)
            self._receive(response, done, total)
        if total is not None and self.part.stat().st_size != total:
            raise ValueError(f"only {self.part.stat().st_size} of {total} bytes were received")
        self.part.replace(output)

    def _receive(self, response: requests.Response, done: int, total: int | None) -> None:
        with self.part.open("ab" if done else "wb") as file:
            for chunk in response.iter_content(1 << 16):
                file.write(chunk)
                done += len(chunk)
                self._require_size(response.url, done)
                if self.progress:
                    self.progress(done, total)

    def _require_file(self, response: requests.Response, url: str) -> None:
        """Refuse HTTP errors, and a page instead of the file."""
        status = response.status_code
        if status == 416:  # nothing follows the partial file, but it was not complete
            self.part.unlink(missing_ok=True)
        if 400 <= status < 500 and status not in _TEMPORARY:
            raise _by_hand(url, self.path, None, f"the server returned {status} {response.reason}")
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _by_hand(url, self.path, None, "the server sent a page (text/html) instead of the file")

    def _require_size(self, url: str, n_bytes: int) -> None:
        if n_bytes > self.max_bytes:
            self.part.unlink(missing_ok=True)
            raise _by_hand(url, self.path, None, f"the file has more than {self.max_bytes:,} bytes")

    def _require_room(self, total: int | None) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and total > free:
            raise DownloadError(
                f"{self.path.parent} has {free:,} bytes of free space; expected {total:,}: free some space, "
                "or choose another folder"
            )


def _mirrored(url: str) -> str:
    mirror = os.environ.get(MIRROR, "").strip().rstrip("/")
    return f"{mirror}/{url.rsplit('/', 1)[-1]}" if mirror else url


def _require_sum(path: Path, checksum: str | None) -> None:
    """Verify the checksum of an existing file; it is kept, because it may have been put there by hand."""
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found != expected.lower():
        raise DownloadError(
            f"{path} has the {algorithm} checksum {found}; expected {expected}: delete it to download it"
        )


def _reason(error: Exception) -> str:
    """Return the cause of a failed download, without the wrapping of HTTP libraries."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error).split("): ", 1)[-1].rstrip(".")  # the part after `HTTPConnection(host=...): `


def _by_hand(url: str, path: Path, checksum: str | None, reason: str) -> DownloadError:
    suffix = f" (checksum {checksum})" if checksum else ""
    return DownloadError(
        f"{url} could not be downloaded: {reason}. Try again later, set {MIRROR} or a proxy, or download "
        f"the file on another machine and put it at {path}{suffix}"
    )
