"""Results of a split, one file for each batch of images: an interrupted run resumes after the last one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from dogcam.structures.images import LabelledImage
from report.pipeline.context import Context
from report.pipeline.fingerprint import digest
from report.pipeline.folder import remove

Batch = Sequence[LabelledImage]

Result = TypeVar("Result")


def resume(
    context: Context,
    role: str,
    name: str,
    batches: Sequence[Batch],
    make: Callable[[Sequence[Batch]], Iterator[Result]],
    is_whole: Callable[[Path, str], bool],
    write: Callable[[Path, Result, str], None],
    *,
    made_by: str = "",
    suffix: str,
) -> list[str]:
    """Compute the batches of a split whose files an earlier run did not leave whole.

    Args:
        context: of the stage, with its workspace.
        role: of the split.
        name: of the stage, for the progress.
        batches: the images of the split, in their order.
        make: yields the result of each of the batches that it is given, in turn.
        is_whole: tells whether a file holds the result of a seal, which names the run and the images.
        write: writes a result with its seal.
        made_by: what else a result depends on and the stage's key does not.
        suffix: of the files.

    Returns:
        The names of the files, in the order of the images.

    Raises:
        DataError: if an image changed while the batch was computed.
    """
    paths = [context.workspace / f"{role}-{place:05d}{suffix}" for place in range(len(batches))]
    common = (context.workspace.name, made_by, role)
    seals = [digest(*common, *(image.id for image in batch)) for batch in batches]
    whole = [is_whole(path, seal) for path, seal in zip(paths, seals, strict=True)]
    made = make([batch for batch, there in zip(batches, whole, strict=True) if not there])
    n_images, size = sum(map(len, batches)), max(map(len, batches), default=1)
    work = list(zip(batches, paths, seals, whole, strict=True))
    for batch, path, seal, there in context.progress.track(work, n_images, f"{name} {role}", size):
        if not there:
            found = next(made)
            context.sources.require_unchanged(image.path for image in batch)
            remove(path)
            write(path, found, seal)
    return [path.relative_to(context.folder).as_posix() for path in paths]
