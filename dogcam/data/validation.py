"""Find every fault of a data set in one pass: lists, annotations, photographs, masks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dogcam.data.formats import recognise
from dogcam.data.images import VOID, read_mask, read_photo
from dogcam.data.reading import Scan, scan
from dogcam.errors import DataError
from dogcam.structures.images import LabelledImage, Split
from dogcam.structures.rules import ReadRules

MOST_DISAGREEING = 0.1
"""Share of the masks that may show a class without an object before their numbering is doubted."""


@dataclass(frozen=True)
class Validation:
    """What is in a split, and what is wrong with it.

    Attributes:
        split: the split's name.
        n_images: how many images it lists.
        n_objects: how many objects the images without a fault have, by class.
        faults: one text for each fault.
        warnings: what is unsure.
    """

    split: str
    n_images: int
    n_objects: dict[str, int]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def validate(path: Path, split: str | None = None, rules: ReadRules | None = None) -> Iterator[Validation]:
    """Check every split of a data set, or one, and decode every photograph and mask.

    Args:
        path: a data set in any known format.
        split: the split to check; all of them by default.
        rules: what happens to bad boxes.

    Raises:
        DataError: if the data set has no known format.
    """
    form, root = recognise(path)
    for name in (split,) if split else form.split_names(root):
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
    """Return why the masks of a split cannot be numbered by its list of classes; None if they are.

    A mask must not show a class that has no object in its image.
    """
    if split.mask_classes is None:
        return None
    masks, strange = 0, []
    for image in split.images:
        try:
            shown = _shown_classes(image, split.mask_classes) if image.has_mask else None
        except DataError:
            continue  # named where the mask is read
        masks += shown is not None
        if shown and not shown <= image.labels:
            strange.append((image.id, min(shown - image.labels)))
    if len(strange) <= MOST_DISAGREEING * masks:
        return None
    name, extra = strange[0]
    return (
        f"{split.root}, split {split.name!r}: {len(strange)} of {masks} masks show a class without "
        f"an object, such as {extra!r} in {name}; list the classes of the values 1, 2, ... in "
        "SegmentationClass/classes.txt"
    )


def _shown_classes(image: LabelledImage, classes: tuple[str, ...]) -> set[str]:
    values = set(np.unique(read_mask(image)).tolist()) - {0, VOID}
    return {classes[value - 1] if value <= len(classes) else f"number {value}" for value in values}


def _undecodable(found: Scan) -> Iterator[str]:
    for image in found.images:
        try:
            read_photo(image)
            if image.has_mask:
                read_mask(image)
        except DataError as error:
            yield str(error)
