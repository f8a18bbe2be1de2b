"""Read and check a split of a data set in any known format, and report all faults together."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dogcam.data.boxes_in_image import boxes_upright, checked_box, in_pixels
from dogcam.data.formats import recognise
from dogcam.data.formats.base import Annotation, Format, Listing
from dogcam.data.images import Header, read_header, read_mask, require_decodable
from dogcam.data.splits import split_name, subset_of
from dogcam.errors import DataError
from dogcam.files import printable
from dogcam.structures.images import LabelledImage, LabelledObject, Split
from dogcam.structures.rules import ReadRules

_log = logging.getLogger(__name__)


@dataclass
class Scan:
    """The result of one pass over a split; faults of images do not raise.

    Attributes:
        root: the data set.
        name: the split spec.
        rules: how faults are treated.
        listing: the split as listed by its format.
        images: the images without a fault.
        faults: the fault of each other image, by id.
        warnings: ambiguities.
        n_clipped, n_skipped: number of boxes that were clipped, and skipped.
    """

    root: Path
    name: str
    rules: ReadRules
    listing: Listing
    images: list[LabelledImage] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    n_clipped: int = 0
    n_skipped: int = 0

    @property
    def split(self) -> Split:
        """The images without a fault, as a split."""
        return Split(
            self.root, self.name, tuple(self.images), self.n_clipped, self.n_skipped, tuple(self.faults),
            self.listing.mask_classes, self.listing.has_truth,
        )  # fmt: skip


def split_names(path: Path) -> tuple[str, ...]:
    """Return the names of the splits of a data set, sorted."""
    form, root = recognise(path)
    return form.split_names(root)


def require_splits(form: Format, root: Path) -> tuple[str, ...]:
    """Return the names of the splits of a data set.

    Raises:
        DataError: if there is none.
    """
    names = form.split_names(root)
    if not names:
        raise DataError(f"{root} has no split; expected {form.LAYOUT}: restore the lists of images")
    return names


def split_ids(path: Path, split: str) -> list[str]:
    """Return the ids of a split in the order of its list, or those of a subset in the order of subsets.

    Raises:
        DataError: if the list is missing or empty, contains an image twice, or has no such subset.
    """
    form, root = recognise(path)
    return _subset(form.open_split(root, split_name(split)).ids, split, root)


def read_split(
    path: Path, split: str, limit: int | None = None, rules: ReadRules | None = None, *, decode: bool = False
) -> Split:
    """Read the list and the annotations of a split, and check them against the headers of the images.

    Images are turned upright by their EXIF orientation. If an annotation states the size of the stored
    pixels, its boxes are converted to the upright image; if it states the upright size, they are unchanged.

    Args:
        path: folder or file of a data set in a known format.
        split: name of a split, such as `val`, or a split spec, such as `train[2000:]` (see
            `dogcam.data.splits`).
        limit: number of images from the start of the list; None for all.
        rules: how faults are treated; by default they are refused.
        decode: also decode all images and masks, so that each fault is found before a long computation.

    Raises:
        DataError: if the list, an annotation or an image is missing or malformed; the message lists all
            faults.
    """
    found = scan(path, split, limit, rules, decode=decode)
    faults = list(found.faults.values())
    if faults and (found.rules.on_error == "fail" or not found.images):
        head = f"{found.root}, split {split!r}: {len(faults)} images have a fault\n  "
        raise DataError((head if len(faults) > 1 else "") + "\n  ".join(faults))
    if faults:
        _log.warning("%s, split %r: skipped %d images with a fault", found.root, split, len(faults))
    for warning in found.warnings:
        _log.warning("%s", warning)
    return found.split


def scan(
    path: Path, split: str, limit: int | None = None, rules: ReadRules | None = None, *, decode: bool = False
) -> Scan:
    """Read and check a split as `read_split` does, and collect the faults of its images.

    Raises:
        DataError: if the list of the split is missing or malformed.
    """
    form, root = recognise(path)
    listing = form.open_split(root, split_name(split))
    found = Scan(root, split, rules or ReadRules(), listing, warnings=list(listing.notes()))
    unsure: list[str] = []
    for each in _subset(listing.ids, split, root)[:limit]:
        try:
            if printable(each) != each:
                raise DataError(f"{root} has the image {printable(each)}, whose name is not UTF-8; rename it")
            annotation = listing.read(each)
            header = read_header(annotation.path)
            image = _checked(annotation, header, found)
            if decode:
                _require_pixels(image)
            found.images.append(image)
        except DataError as error:
            found.faults[each] = str(error)
            continue
        sizes = {header.size, header.upright_size, annotation.size or header.size}
        if header.turn is not None and len(sizes) == 1 and annotation.objects and not annotation.relative:
            unsure.append(each)
    if unsure:
        found.warnings.append(
            f"{root}, split {split!r}: the EXIF orientation turns {len(unsure)} images (such as "
            f"{unsure[0]}), and their stated sizes do not show whether boxes refer to the upright image; "
            "this is assumed"
        )
    found.images, spellings = _with_one_spelling(found.images)
    found.warnings += [f"{root}, split {split!r}: {each}" for each in spellings]
    return found


def _subset(ids: Sequence[str], split: str, root: Path) -> list[str]:
    if not ids:
        raise DataError(f"the split {split!r} of {root} is empty; expected at least one image")
    each, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise DataError(f"the split {split!r} of {root} lists {each!r} {count} times; list each image once")
    return subset_of(ids, split)


def _checked(annotation: Annotation, header: Header, found: Scan) -> LabelledImage:
    """Check one annotation against the header of its image.

    Raises:
        DataError: if the sizes differ, or a bad box is refused.
    """
    as_stored = annotation.size == header.size != header.upright_size
    frame = header.size if as_stored else header.upright_size
    if annotation.size not in (None, frame):
        raise DataError(_size_fault(annotation, header))
    objects, faults = [], []
    for thing in annotation.objects:
        box = in_pixels(thing.box, frame) if annotation.relative else thing.box
        try:
            kept = checked_box(box, frame, found.rules.on_bad_box, f"{annotation.source}: a {thing.name}")
        except DataError as error:
            faults.append(str(error))
            continue
        found.n_skipped += kept is None
        found.n_clipped += kept is not None and kept != box
        if kept is not None:
            objects.append(replace(thing, box=kept))
    if faults:
        raise DataError("\n  ".join(faults))
    if as_stored:
        objects = boxes_upright(objects, header)
    return LabelledImage(
        annotation.id, annotation.path, *header.upright_size, tuple(objects), annotation.source,
        annotation.mask_path, as_stored,
    )  # fmt: skip


def _require_pixels(image: LabelledImage) -> None:
    require_decodable(image.path)
    if image.has_mask:
        read_mask(image)


def _size_fault(annotation: Annotation, header: Header) -> str:
    stated = f"{annotation.size[1]} x {annotation.size[0]}" if annotation.size else "no size"
    height, width = header.upright_size
    exif = " when its EXIF orientation turns it upright" if header.turn is not None else ""
    source = annotation.source.name if annotation.source else "the annotation"
    return (
        f"{annotation.path} has {width} x {height} pixels{exif}, but {source} states {stated}; "
        "restore the original image or correct the annotation"
    )


def _with_one_spelling(images: list[LabelledImage]) -> tuple[list[LabelledImage], list[str]]:
    """Use one name for classes that differ only in case: the lower-case one if it occurs, else the first.

    Returns:
        The images, and a warning for each name that was changed.
    """
    counts = Counter(thing.name for image in images for thing in image.objects)
    spelling: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (name != name.casefold(), -counts[name], name)):
        spelling.setdefault(name.casefold(), name)
    others = {name: spelling[name.casefold()] for name in counts if name != spelling[name.casefold()]}
    if not others:
        return images, []

    def renamed(thing: LabelledObject) -> LabelledObject:
        return replace(thing, name=others.get(thing.name, thing.name))

    changed = [replace(image, objects=tuple(map(renamed, image.objects))) for image in images]
    return changed, [
        f"the class {name!r} differs from {chosen!r} only in case, and counts as {chosen!r}"
        for name, chosen in sorted(others.items())
    ]
