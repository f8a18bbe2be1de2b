"""Convert a data set to another format, and verify the result by reading it again."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from dogcam.data.formats import Format, recognise
from dogcam.data.reading import read_split, require_splits
from dogcam.errors import DataError, OutputError
from dogcam.structures.images import LabelledImage, Split
from dogcam.structures.rules import ReadRules


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        splits: the splits, as read from the source.
        losses: one line for each kind of difference between source and result; empty if they are equal.
    """

    splits: tuple[Split, ...]
    losses: tuple[str, ...]


def convert(
    source: Path, target: Path, form: Format, rules: ReadRules, *, allow_loss: bool = False
) -> Conversion:
    """Write all splits of a data set in another format, with copies of the images.

    The result is read again and compared object by object. The target folder is created only if the
    comparison succeeds.

    Args:
        source: a data set in a known format.
        target: the folder to create; it must not exist.
        form: the format to write.
        rules: how faults of the source are treated.
        allow_loss: write the result even if the format cannot represent everything.

    Raises:
        DataError: for a fault of the source, or a loss that is not allowed.
        OutputError: if the folder exists or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} exists; choose a new folder")
    found, root = recognise(source)
    splits = tuple(read_split(source, name, rules=rules) for name in require_splits(found, root))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            fresh = Path(temporary) / target.name
            form.write(fresh, splits)
            losses = tuple(_losses(splits, fresh))
            if losses and not allow_loss:
                raise DataError(
                    f"{form.NAME} cannot represent all of {source}: {'; '.join(losses)}. "
                    "Choose another format, or use --allow-loss"
                )
            fresh.rename(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror or error}); free some space, or choose "
            "another folder"
        ) from error
    return Conversion(splits, losses)


def _losses(splits: tuple[Split, ...], folder: Path) -> list[str]:
    """Read the result, and list the differences."""
    counts: dict[str, int] = {}
    for split in splits:
        again = {image.id: image for image in read_split(folder, split.name).images}
        for image in split.images:
            for kind in _differences(image, again.get(image.id)):
                counts[kind] = counts.get(kind, 0) + 1
        if list(again) != [image.id for image in split.images]:
            counts["the order of images"] = 1
    return [f"{kind} ({count:,})" for kind, count in sorted(counts.items())]


def _differences(image: LabelledImage, other: LabelledImage | None) -> list[str]:
    if other is None:
        return ["images"]
    if len(image.objects) != len(other.objects):
        return ["objects"]
    found = []
    for mine, theirs in zip(image.objects, other.objects, strict=True):
        found += [
            f"{key} flags"
            for key in ("difficult", "truncated", "crowd")
            if getattr(mine, key) != getattr(theirs, key)
        ]
        found += ["class names"] if mine.name != theirs.name else []
        found += ["exact corners of boxes"] if mine.box != theirs.box else []
    found += ["masks"] if image.has_mask and not other.has_mask else []
    return found
