"""Read a split of a data set in any known format, check it, and list all faults at once."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dogcam.data.boxes_in_image import BadBoxes, Box, boxes_upright, checked_box
from dogcam.data.formats import recognise
from dogcam.data.formats.base import Annotation
from dogcam.data.images import read_header
from dogcam.data.splits import split_name, subset_of
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage, LabelledObject, Split

OnError = Literal["fail", "skip"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadRules:
    """What happens to faults of a data set.

    Attributes:
        on_bad_box: `refuse` an image with a box that is empty or leaves it, `clip` the box to the image, or
            `skip` the box. An empty box is skipped by `clip` too.
        on_error: `fail` with a list of all faults, or `skip` the images that have one.
    """

    on_bad_box: BadBoxes = "refuse"
    on_error: OnError = "fail"


@dataclass
class _Pass:
    """What one pass over a split has found."""

    rules: ReadRules
    images: list[LabelledImage] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)
    n_clipped: int = 0
    n_skipped: int = 0


def split_names(path: Path) -> tuple[str, ...]:
    """Return the names of the splits that a data set has, sorted."""
    form, root = recognise(path)
    return form.split_names(root)


def split_ids(path: Path, split: str) -> list[str]:
    """Return the ids of a split in the order of its list, or those of a part in the order of parts.

    Raises:
        DataError: if the list is missing or empty, names an image twice, or has no such part.
    """
    form, root = recognise(path)
    return _part(form.open_split(root, split_name(split)).ids, split, root)


def read_split(path: Path, split: str, limit: int | None = None, rules: ReadRules | None = None) -> Split:
    """Read the list and the annotations of a split, and check them against the photographs' headers.

    Photographs are turned upright by their EXIF orientation. If an annotation states the size of the stored
    pixels, its boxes are turned too; if it states the upright size, they are taken as they are.

    Args:
        path: the folder or file of a data set in a known format.
        split: the split's name, such as `val`, or a part of one, such as `train[2000:]`
            (see `dogcam.data.splits`).
        limit: how many images to take from the start of the list; all of them by default.
        rules: what happens to faults; by default they are refused.

    Raises:
        DataError: if the list, an annotation or a photograph is missing or malformed; the message lists
            every fault.
    """
    form, root = recognise(path)
    listing = form.open_split(root, split_name(split))
    found = _Pass(rules or ReadRules())
    for each in _part(listing.ids, split, root)[:limit]:
        try:
            _take(found, listing.read(each))
        except DataError as error:
            found.faults[each] = str(error)
    _judge(found, root, split)
    images = tuple(_with_one_spelling(found.images))
    return Split(
        root, split, images, found.n_clipped, found.n_skipped, tuple(found.faults), listing.mask_classes
    )


def _part(ids: Sequence[str], split: str, root: Path) -> list[str]:
    if not ids:
        raise DataError(f"the split {split!r} of {root} is empty; expected at least one image")
    each, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise DataError(f"the split {split!r} of {root} lists {each!r} {count} times; list each image once")
    return subset_of(ids, split)


def _take(found: _Pass, annotation: Annotation) -> None:
    """Check one annotation against its photograph and add the image."""
    header = read_header(annotation.path)
    as_stored = False
    if header.turn is not None and annotation.size is not None:
        as_stored = annotation.size == header.size != header.upright_size
        if header.size == header.upright_size == annotation.size and annotation.objects:
            found.unsure.append(annotation.id)
    frame = header.size if as_stored else header.upright_size
    if annotation.size not in (None, frame):
        raise DataError(_of_another_size(annotation, header.upright_size, header.turn is not None))
    height, width = frame
    objects = []
    for thing in annotation.objects:
        scale = (width, height, width, height) if annotation.relative else (1, 1, 1, 1)
        box: Box = tuple(value * factor for value, factor in zip(thing.box, scale, strict=True))
        kept = checked_box(box, frame, found.rules.on_bad_box, f"{annotation.source}: a {thing.name}")
        found.n_skipped += kept is None
        found.n_clipped += kept is not None and kept != box
        if kept is not None:
            objects.append(replace(thing, box=kept))
    if as_stored:
        objects = boxes_upright(objects, header)
    found.images.append(
        LabelledImage(
            annotation.id, annotation.path, *header.upright_size, tuple(objects), annotation.source,
            annotation.mask_path, as_stored,
        )
    )  # fmt: skip


def _of_another_size(annotation: Annotation, size: tuple[int, int], turned: bool) -> str:
    stated = f"{annotation.size[1]} x {annotation.size[0]}" if annotation.size else "no size"
    exif = " (upright by its EXIF orientation)" if turned else ""
    source = annotation.source.name if annotation.source else "the annotation"
    return (
        f"{annotation.path} has {size[1]} x {size[0]} pixels{exif}, but {source} states {stated}; "
        "restore the original photograph or correct the annotation"
    )


def _judge(found: _Pass, root: Path, split: str) -> None:
    """Raise for faults unless they are skipped, and warn of what is unsure."""
    faults = list(found.faults.values())
    if faults and (found.rules.on_error == "fail" or not found.images):
        head = f"{root}, split {split!r}: {len(faults)} images have a fault\n  " if len(faults) > 1 else ""
        raise DataError(head + "\n  ".join(faults))
    if faults:
        _log.warning("%s, split %r: skipped %d images with a fault", root, split, len(faults))
    if found.unsure:
        _log.warning(
            "%s: the EXIF orientation of %d photographs (%s, ...) turns them, and their annotations do not "
            "show whether the boxes are for the upright picture; they are taken for it",
            root, len(found.unsure), found.unsure[0],
        )  # fmt: skip


def _with_one_spelling(images: list[LabelledImage]) -> list[LabelledImage]:
    """Give classes that differ only in case one name: the lower-case one if it occurs, else the first."""
    counts = Counter(thing.name for image in images for thing in image.objects)
    spelling: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (name != name.casefold(), -counts[name], name)):
        spelling.setdefault(name.casefold(), name)
    others = {name: spelling[name.casefold()] for name in counts if name != spelling[name.casefold()]}
    if not others:
        return images
    for name, chosen in sorted(others.items()):
        _log.warning("the class %r differs from %r only in case; both count as %r", name, chosen, chosen)

    def renamed(thing: LabelledObject) -> LabelledObject:
        return replace(thing, name=others.get(thing.name, thing.name))

    return [replace(image, objects=tuple(map(renamed, image.objects))) for image in images]
