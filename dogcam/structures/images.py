"""Annotated images: one object, one image, one split. They depend on no file format."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from dogcam.files import read_bytes
from dogcam.structures.boxes import Boxes, as_boxes


def least_side(*sizes: tuple[int, int]) -> int:
    """Return the minimum side of an image, in pixels, for network inputs of these (height, width).

    It is twice the largest input side: if a large JPEG is decoded at this size, resizing it is still
    antialiased.
    """
    return 2 * max(side for size in sizes for side in size)


@dataclass(frozen=True)
class LabelledObject:
    """One annotated object.

    Attributes:
        name: its class.
        box: 0-based half-open x0, y0, x1, y1 in pixels of the upright image.
        difficult: VOC's flag of objects that are hard to recognise.
        truncated: VOC's flag of objects that extend beyond the image.
        crowd: COCO's flag of a box around many objects.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False


@dataclass(frozen=True)
class LabelledImage:
    """One image of a split with its annotation; `dogcam.data.images` reads its pixels.

    Attributes:
        id: name of the image in the data set.
        path: the image file.
        height, width: size of the upright image in pixels.
        objects: the annotated objects, in the order of the file.
        annotation_path: the file of the annotation; None if there is none.
        mask_path: the file of the segmentation mask, which may be missing; None if the format has no masks.
        annotated_as_stored: the annotation and the mask refer to the stored pixels, before the EXIF
            orientation is applied; `objects` refer to the upright image.
    """

    id: str
    path: Path
    height: int
    width: int
    objects: tuple[LabelledObject, ...] = ()
    annotation_path: Path | None = None
    mask_path: Path | None = None
    annotated_as_stored: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright image in pixels."""
        return self.height, self.width

    @property
    def labels(self) -> frozenset[str]:
        """Names of the classes that occur in the image; a classifier is trained on nothing else."""
        return frozenset(thing.name for thing in self.objects)

    @property
    def has_mask(self) -> bool:
        """Whether the file of its segmentation mask exists."""
        return self.mask_path is not None and self.mask_path.is_file()

    def objects_of(self, name: str) -> tuple[LabelledObject, ...]:
        """Return the objects of one class, in the order of the file."""
        return tuple(thing for thing in self.objects if thing.name == name)

    def boxes_of(self, name: str) -> Boxes:
        """Return the boxes of one class: (M, 4) float64 array, half-open xyxy in pixels."""
        return as_boxes([thing.box for thing in self.objects_of(name)])


@dataclass(frozen=True)
class Split:
    """The images of one split of one data set, in the order of its list.

    Attributes:
        root: the folder or file of the data set.
        name: name of the split, such as `val`, or a split spec, such as `train[2000:]`.
        images: the images.
        n_clipped: number of boxes that were clipped to their image (`ReadRules.on_bad_box`).
        n_skipped: number of boxes that were skipped (`ReadRules.on_bad_box`).
        skipped_images: ids of faulty images that were skipped (`ReadRules.on_error`).
        mask_classes: classes of the mask values 1, 2, ...; None if the format has no masks.
        has_truth: whether the images are annotated; a plain folder of images is not.
    """

    root: Path
    name: str
    images: tuple[LabelledImage, ...]
    n_clipped: int = 0
    n_skipped: int = 0
    skipped_images: tuple[str, ...] = ()
    mask_classes: tuple[str, ...] | None = None
    has_truth: bool = True

    def __len__(self) -> int:
        return len(self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """Paths of the photographs and masks."""
        return tuple(path for image in self.images for path in (image.path, image.mask_path) if path)

    @cached_property
    def manifest(self) -> str:
        """SHA-256 over ids, image files and objects, in order; equal manifests mean equal data.

        The objects are hashed as read, so equal data in two file formats has one manifest.
        """
        digest = hashlib.sha256()
        for image in self.images:
            objects = [asdict(thing) for thing in image.objects]
            described = json.dumps([image.id, image.height, image.width, objects]).encode()
            # Hashes have a fixed length, so bytes cannot move between parts without changing the sum.
            for part in (described, read_bytes(image.path)):
                digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    @cached_property
    def masks_sha256(self) -> str:
        """SHA-256 over the segmentation masks, in order; images without a mask count as such."""
        digest = hashlib.sha256()
        for image in self.images:
            found = read_bytes(image.mask_path) if image.has_mask and image.mask_path else b"none"
            digest.update(hashlib.sha256(found).digest())
        return digest.hexdigest()

    def describe(self) -> dict[str, str | int]:
        """Return name, number of images and manifest, as plain values for JSON."""
        return {"split": self.name, "n_images": len(self), "manifest": self.manifest}

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that occur, sorted."""
        return tuple(sorted(set().union(*(image.labels for image in self.images))))
