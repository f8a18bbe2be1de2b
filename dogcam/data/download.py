"""What can be downloaded: VOC2007 test and the published checkpoint, kept in a cache folder."""

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
from dogcam.files import file_lock

VOC2007_TEST_URLS = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
)
"""Where VOC2007 test is published, the present address first; the older one redirects to it when it is up."""

VOC2007_TEST_CHECKSUM = "md5:b6e924de25625d8de591ea690078ad9f"

PUBLISHED_CHECKPOINT_URLS = (
    "https://efeo-misc.s3.eu-west-1.amazonaws.com/hiring_test_2023/model_at_epoch_019.pth.tar",
    "https://efeo-misc.s3.eu-west-1.amazonaws.com/hiring_test_2023/model_at_epoch_019_compatible.pt",
)
"""The fine-tuned ResNet50, then the same weights in another form; no checksum is published for either."""

_TAR_END = bytes(2 * tarfile.BLOCKSIZE)
"""What stands behind the last member of a tar archive, at least."""

_log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the folder of the user's account that downloads are kept in by default."""
    return Path(pooch.os_cache("dogcam"))


def fetch_voc2007_test(
    cache: Path,
    *,
    urls: Sequence[str] = VOC2007_TEST_URLS,
    checksum: str | None = VOC2007_TEST_CHECKSUM,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Download VOC2007 test (451 MB) and unpack it; do nothing where that has been done.

    Args:
        cache: the folder to keep the archive and the unpacked data set in.
        urls: places of the same archive, the best first.
        checksum, progress, options: as in `dogcam.data.transfer.fetch`.

    Returns:
        The folder that holds `VOCdevkit/VOC2007`, as `dogcam.data.reading.read_split` takes it. The archive
        is no longer needed.

    Raises:
        DownloadError: where no place has the archive, or it cannot be unpacked.
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
    """Download the published checkpoint, in the first of its forms that loads.

    Args:
        cache: the folder to keep it in.
        loads: raises a DogcamError where a file does not load: `dogcam.models.checkpoints.load_checkpoint`.
        urls: the forms, the best first; each is kept under the last part of its address.
        progress, options: as in `dogcam.data.transfer.fetch`.

    Returns:
        The file. Its SHA-256 is logged, since none is published to compare with.

    Raises:
        DownloadError: where none can be had and loaded; the message gives the reason for each.
    """

    def fetch_and_load(url: str) -> Path:
        path = fetch(url, cache / url.rsplit("/", 1)[-1], progress=progress, **options)
        loads(path)
        return path

    path = _first_success(urls, fetch_and_load)
    _log.info("%s has the SHA-256 %s", path, pooch.file_hash(str(path)))
    return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive into a new folder, which appears when all of it is there.

    Links, devices, names outside the folder and members larger than the archive are refused. A process that
    unpacks the same archive is waited for.

    Args:
        archive: a tar file, not compressed.
        folder: the folder to make; where it holds all files of the archive, there is nothing to do.

    Raises:
        DownloadError: where the archive is damaged or unsafe, or the folder holds something else or cannot be
            written.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError(
            f"this Python cannot unpack archives safely; use Python 3.11.4 or newer, or unpack {archive} "
            f"into {folder} by hand"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(folder), tarfile.open(archive, "r:") as file:
            _require_end(file)
            _require_plain(file, archive)
            if not _holds_all(folder, file):
                _extract(file, folder)
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}); delete it, and it will be downloaded again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"{archive} cannot be unpacked into {folder}: {reason}") from error


def _require_end(file: tarfile.TarFile) -> None:
    """Refuse an archive whose list of members stops before the zeros that end it.

    Raises:
        tarfile.ReadError: where it does; `tarfile` itself takes any damaged header but the first for the end.
    """
    file.getmembers()  # up to the end, or what is taken for it
    file.fileobj.seek(file.offset)
    if file.fileobj.read(len(_TAR_END)) != _TAR_END:
        n_members = len(file.getmembers())
        raise tarfile.ReadError(f"after {n_members} of its members comes neither another one nor the end")


def _require_plain(file: tarfile.TarFile, archive: Path) -> None:
    """Refuse links, and members that unfold to more than the archive holds, such as sparse files.

    Raises:
        tarfile.TarError: if there is one; `extractall` itself refuses devices and names outside the folder.
    """
    link = next((member for member in file.getmembers() if member.issym() or member.islnk()), None)
    if link is not None:
        raise tarfile.TarError(f"its member {link.name!r} is a link to {link.linkname!r}")
    size = sum(member.size for member in file.getmembers())
    if size > archive.stat().st_size:
        raise tarfile.TarError(f"its members unfold to {size:,} bytes, more than the archive has")


def _holds_all(folder: Path, file: tarfile.TarFile) -> bool:
    """Tell whether every file of an archive is in a folder, with its length."""
    paths = {folder / member.name: member.size for member in file.getmembers() if member.isfile()}
    return folder.is_dir() and all(path.is_file() and path.stat().st_size == paths[path] for path in paths)


def _extract(file: tarfile.TarFile, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        file.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    except OSError:
        # Another process may have been faster where the drive has no locks to wait for.
        if not _holds_all(folder, file):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def progress_bar(label: str, console: Console | None = None) -> Iterator[Progress | None]:
    """Show a transfer's bytes, rate and time left for as long as the context lasts.

    Args:
        label: what is transferred.
        console: where to draw; standard error by default.

    Yields:
        The `progress` of `dogcam.data.transfer.fetch`; None, and nothing is drawn, where nobody watches.
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
    """Return what `attempt` makes of the first address that it does not fail on."""
    faults: list[str] = []
    for url in urls:
        try:
            path = attempt(url)
        except DogcamError as error:
            faults.append(str(error))
            continue
        if faults:
            _log.warning("%s was taken instead: %s", url, " ".join(faults))
        return path
    raise DownloadError("\n".join(dict.fromkeys(faults)))
