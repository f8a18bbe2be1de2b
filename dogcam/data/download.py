"""Download VOC2007 test and the published checkpoint to a cache folder."""

import logging
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pooch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from dogcam.data.transfer import Progress, fetch
from dogcam.errors import DogcamError, DownloadError
from dogcam.files.locks import file_lock

VOC2007_TEST_URLS = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
)
"""Addresses of VOC2007 test: the present one, and the older one that redirects to it."""

VOC2007_TEST_CHECKSUM = "md5:b6e924de25625d8de591ea690078ad9f"

PUBLISHED_CHECKPOINT_URLS = (
    "https://efeo-misc.s3.eu-west-1.amazonaws.com/hiring_test_2023/model_at_epoch_019.pth.tar",
    "https://efeo-misc.s3.eu-west-1.amazonaws.com/hiring_test_2023/model_at_epoch_019_compatible.pt",
)
"""The fine-tuned ResNet50, and the same weights in another format; no checksums are published."""

_log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the default folder of downloads, in the cache folder of the user."""
    return Path(pooch.os_cache("dogcam"))


def fetch_voc2007_test(
    cache: Path,
    *,
    urls: Sequence[str] = VOC2007_TEST_URLS,
    checksum: str | None = VOC2007_TEST_CHECKSUM,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Download VOC2007 test (451 MB) and unpack it, unless this is done already.

    Args:
        cache: folder of the archive and of the unpacked data set.
        urls: addresses of the archive, in order of preference.
        checksum, progress, options: as for `dogcam.data.transfer.fetch`.

    Returns:
        The folder with `VOCdevkit/VOC2007`, for `dogcam.data.reading.read_split`. The archive is no longer
        needed.

    Raises:
        DownloadError: if the archive cannot be downloaded or unpacked.
    """
    folder = cache / "voc2007-test"
    if not folder.is_dir():
        archive = cache / "VOCtest_06-Nov-2007.tar"
        _first_success(urls, lambda url: fetch(url, archive, checksum=checksum, progress=progress, **options))
        unpack(archive, folder)
    return folder


def fetch_published_checkpoint(
    cache: Path,
    loads: Callable[[Path], object],
    *,
    urls: Sequence[str] = PUBLISHED_CHECKPOINT_URLS,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Download the published checkpoint in the first format that loads.

    Args:
        cache: folder of the file.
        loads: raises a DogcamError if a file does not load: `dogcam.models.checkpoints.load_checkpoint`.
        urls: addresses of the formats, in order of preference; each file has the last part of its address as
            name.
        progress, options: as for `dogcam.data.transfer.fetch`.

    Returns:
        The file. Its SHA-256 is logged, because none is published.

    Raises:
        DownloadError: if no format can be downloaded and loaded; the message states the reason for each.
    """

    def fetch_and_load(url: str) -> Path:
        path = fetch(url, cache / url.rsplit("/", 1)[-1], progress=progress, **options)
        loads(path)
        return path

    path = _first_success(urls, fetch_and_load)
    _log.info("%s has the SHA-256 %s", path, pooch.file_hash(str(path)))
    return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a verified tar archive to a new folder, atomically.

    Links, devices, names outside of the folder and members larger than the archive are refused. If another
    process unpacks the same archive, the function waits for it.

    Args:
        archive: an uncompressed tar file, whose checksum was verified.
        folder: the folder to create; nothing is done if it contains all files of the archive.

    Raises:
        DownloadError: if the archive is damaged or unsafe, or the folder has other content or cannot be
            written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(folder), tarfile.open(archive, "r:") as file:
            _require_plain(file, archive)
            if not _has_all(folder, file):
                _extract(file, folder)
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}); delete it, and it will be downloaded again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(
            f"{archive} cannot be unpacked into {folder}: {reason}; free some space, or choose another folder"
        ) from error


def _require_plain(file: tarfile.TarFile, archive: Path) -> None:
    """Refuse links, and members that are larger than the archive, such as sparse files.

    Raises:
        tarfile.TarError: if there is one; `extractall` refuses devices and names outside of the folder.
    """
    link = next((member for member in file.getmembers() if member.issym() or member.islnk()), None)
    if link is not None:
        raise tarfile.TarError(f"its member {link.name!r} is a link to {link.linkname!r}")
    size = sum(member.size for member in file.getmembers())
    if size > archive.stat().st_size:
        raise tarfile.TarError(f"its members have {size:,} bytes, more than the archive")


def _has_all(folder: Path, file: tarfile.TarFile) -> bool:
    """Check whether a folder contains all files of an archive, by name and length."""
    paths = {folder / member.name: member.size for member in file.getmembers() if member.isfile()}
    return folder.is_dir() and all(path.is_file() and path.stat().st_size == paths[path] for path in paths)


def _extract(file: tarfile.TarFile, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        file.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    except OSError:
        # Another process may have been faster, on a drive without locks.
        if not _has_all(folder, file):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def progress_bar(label: str, console: Console | None = None) -> Iterator[Progress | None]:
    """Show bytes, rate and remaining time of a download until the context ends.

    Args:
        label: name of the file.
        console: output; standard error by default.

    Yields:
        The argument `progress` of `dogcam.data.transfer.fetch`; None if the console is not interactive.
    """
    console = console or Console(stderr=True)
    if not console.is_interactive:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with RichProgress(TextColumn("{task.description}"), *columns, console=console) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _first_success(urls: Sequence[str], attempt: Callable[[str], Path]) -> Path:
    """Return the result of `attempt` for the first address for which it succeeds."""
    faults: list[str] = []
    for url in urls:
        try:
            path = attempt(url)
        except DogcamError as error:
            faults.append(str(error))
            continue
        if faults:
            _log.warning("%s is used instead: %s", url, " ".join(faults))
        return path
    raise DownloadError("\n".join(dict.fromkeys(faults)))
