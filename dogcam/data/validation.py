"""Find all faults of a data set in one pass: lists, annotations, images, masks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dogcam.data.formats import recognise
from dogcam.data.images import VOID, read_mask, read_pixels
from dogcam.data.reading import Scan, require_splits, scan
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage, Split
from dogcam.structures.rules import ReadRules

MOST_DISAGREEING = 0.1
"""Maximum share of masks that show a class without an object; above it, their numbering is doubtful."""


@dataclass(frozen=True)
class Validation:
    """The content of a split, and its faults.

    Attributes:
        split: name of the split.
        n_images: number of listed images.
        n_objects: number of objects by class, in images without a fault.
        faults: one text for each fault.
        warnings: one text for each ambiguity.
    """

    split: str
    n_images: int
    n_objects: dict[str, int]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def validate(path: Path, split: str | None = None, rules: ReadRules | None = None) -> Iterator[Validation]:
    """Check one or all splits of a data set, and decode all images and masks.

    Args:
        path: a data set in a known format.
        split: the split to check; None for all.
        rules: how bad boxes are treated.

    Raises:
        DataError: if the data set has no known format, or no split.
    """
    form, root = recognise(path)
    for name in (split,) if split else require_splits(form, root):
        try:
            found = scan(path, name, rules=rules)
        except DataError as error:
            yield Validation(name, 0, {}, (str(error),), ())
            continue
        faults = [*found.faults.values(), *_undecodable(found)]
        doubt = doubtful_masks(found.split)
        warnings = found.warnings + ([doubt] if doubt else [])
        n_objects = Counter(thing.name for image in found.images for thing in image.objects)
        n_images = len(found.images) + len(found.faults)
        yield Validation(name, n_images, dict(n_objects), tuple(faults), tuple(warnings))


def doubtful_masks(split: Split) -> str | None:
    """Return why the masks of a split do not fit its list of classes; None if they do.

    A mask must not contain a class without an object in its image.
    """
    if split.mask_classes is None:
        return None
    masks, doubtful = 0, []
    for image in split.images:
        try:
            shown = _shown_classes(image, split.mask_classes) if image.has_mask else None
        except DataError:
            continue  # is reported when the mask is read
        masks += shown is not None
        if shown and not shown <= image.labels:
            doubtful.append((image.id, min(shown - image.labels)))
    if len(doubtful) <= MOST_DISAGREEING * masks:
        return None
    name, extra = doubtful[0]
    return (
        f"{split.root}, split {split.name!r}: {len(doubtful)} of {masks} masks contain a class without "
        f"an object, such as {extra!r} in {name}; list the classes of the values 1, 2, ... in "
        "SegmentationClass/classes.txt"
    )


def _shown_classes(image: LabelledImage, classes: tuple[str, ...]) -> set[str]:
    values = set(np.flatnonzero(np.bincount(read_mask(image).ravel())).tolist()) - {0, VOID}
    return {classes[value - 1] if value <= len(classes) else f"number {value}" for value in values}


def _undecodable(found: Scan) -> Iterator[str]:
    for image in found.images:
        try:
            read_pixels(image)
            if image.has_mask:
                read_mask(image)
        except DataError as error:
            yield str(error)
