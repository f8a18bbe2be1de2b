"""Named detection methods, and one way to run any of them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from dogcam.cam import METHODS
from dogcam.detection.box_fit import FitRule
from dogcam.detection.boxes_from_maps import DEFAULT_RULE, LocalisationRule, Located
from dogcam.detection.detector import Detector, FoundBoxes
from dogcam.detection.evidence import View
from dogcam.detection.images import ImageSources, each_source, load_image
from dogcam.detection.localiser import Localiser
from dogcam.detection.localiser_method import LocaliserMethod
from dogcam.detection.observer import Observer
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ConfigError
from dogcam.models.classifier import Classifier
from dogcam.structures.defaults import BATCH_SIZE
from dogcam.structures.presets import PresetName

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThresholdMethod:
    """One class activation map, one threshold: every connected component is a box.

    Attributes:
        map_method: name of the kind of map, one of `dogcam.cam.METHODS`.
        rule: how the map becomes boxes.
    """

    map_method: str = "grad_cam"
    rule: LocalisationRule = DEFAULT_RULE

    def detector(self, classifier: Classifier, targets: Sequence[str]) -> Detector:
        """Return the detector of this method.

        Raises:
            ModelError: if the classifier has no output for a target.
        """
        request = METHODS[self.map_method](classifier.target_layer)
        return Detector(classifier, tuple(targets), request, self.rule)


DetectionMethod: TypeAlias = ThresholdMethod | ProposalMethod

Locator: TypeAlias = Callable[[Image.Image], list[Located]]
"""Maps an RGB image to the boxes and scores of each of K classes, the highest score first."""

_FURTHER_VIEWS = (View(1.25, mirrored=True), View(2.5, dense=False))
_FIT_OF_SEVERAL = FitRule(midpoints=(1.0,), ring=1.0, side=0.47, octaves=1.0, fill=0.8, map_weight=0.0)

PRESETS: dict[PresetName, DetectionMethod] = {
    "published": ThresholdMethod(),
    "fast": ProposalMethod(
        views=(View(1.0, keep_aspect=False),),
        fit=FitRule(midpoints=(0.0,), ring=0.5, side=0.94, octaves=1.0, map_weight=0.0),
        max_cover=0.85, vote_iou=0.5, vote_sharpness=3.0, fit_exponent=1.0, share_exponent=0.75,
        calibration=(2.14, 3.45),
    ),
    "best": ProposalMethod(
        views=(View(1.0, keep_aspect=False), View(1.25), View(1.75)),
        further_views=_FURTHER_VIEWS,
        fit=_FIT_OF_SEVERAL,
        max_cover=0.85, vote_iou=0.35, vote_sharpness=0.0, fit_exponent=2.0, share_exponent=0.75,
        calibration=(1.39, 2.86),
    ),
    "localiser": LocaliserMethod(
        views=(View(1.0, keep_aspect=False), View(1.25, regressed=True), View(1.75, regressed=True)),
        further_views=_FURTHER_VIEWS,
        fit=_FIT_OF_SEVERAL,
        max_cover=1.0, vote_iou=0.5, vote_sharpness=1.0, fit_exponent=1.0, share_exponent=0.75,
        calibration=(0.86, 3.0), midpoint=1.0, overlap_exponent=2.0, iou_exponent=4.0, supporters=20,
    ),
}  # fmt: skip
"""The methods by name. `published` is that of the experiment. The numbers of the others were chosen on images
of VOC2007 train and on no others (docs/boxes.md). `localiser` needs a trained localiser."""


def find_preset(name: str) -> DetectionMethod:
    """Return the detection method of that name.

    Raises:
        ConfigError: if there is none; the message lists the names.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no detection preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def locator(
    method: DetectionMethod,
    classifier: Classifier,
    targets: Sequence[str],
    localiser: Localiser | None = None,
) -> Locator:
    """Return the function that finds classes in an image by a detection method.

    Args:
        method: for instance a preset.
        classifier: has outputs for the targets; a `ProposalMethod` needs global average pooling and a head.
        targets: names of K classes, which share the forward passes.
        localiser: of this classifier, for a `LocaliserMethod`.

    Raises:
        ModelError: if the classifier has no output for a target, or the method cannot use its network.

    Example:
        >>> from PIL import Image
        >>> from dogcam import load_classifier
        >>> find = locator(find_preset("fast"), load_classifier("sample_net", device="cpu"), ["dog"])
        >>> [(boxes, scores)] = find(Image.new("RGB", (120, 90)))
        >>> boxes.shape == (len(scores), 4)
        True
    """
    if isinstance(method, ThresholdMethod):
        detector = method.detector(classifier, targets)
        return lambda image: list(next(iter(detector.run(image))).located)
    observer = observer_for(method, classifier, targets, localiser)
    return lambda image: method.run(observer, image)


def detect_by_preset(
    images: ImageSources,
    classifier: Classifier,
    targets: Sequence[str],
    preset: str,
    batch_size: int = BATCH_SIZE,
    localiser: Localiser | None = None,
) -> Iterator[FoundBoxes]:
    """Yield the boxes of each image by a preset, in the order of the images.

    Args:
        images: one image or several; files are read batch by batch.
        classifier, targets: as for `locator`.
        preset: a name from `PRESETS`.
        batch_size: images in one forward pass of a `ThresholdMethod`; a `ProposalMethod` makes the views of
            one image after the other.
        localiser: as for `locator`.

    Raises:
        ConfigError: if there is no such preset.
        DataError: if an image cannot be read.
        ModelError: as `locator`.
    """
    method = find_preset(preset)
    if isinstance(method, ThresholdMethod):
        yield from method.detector(classifier, targets).run(images, batch_size)
        return
    find = locator(method, classifier, targets, localiser)
    # At twice the largest input, resizing averages over pixels, as in `Detector`.
    least = round(2 * max(view.scale for view in method.all_views) * max(classifier.preprocessing.size))
    for source in each_source(images):
        image = load_image(source, least)
        (height, width), pixels = image.size, image.pixels
        shrunk = np.array([width / pixels.width, height / pixels.height] * 2)
        located = tuple((boxes * shrunk, scores) for boxes, scores in find(pixels))
        yield FoundBoxes(image.size, tuple(targets), located)


def observer_for(
    method: ProposalMethod,
    classifier: Classifier,
    targets: Sequence[str],
    localiser: Localiser | None = None,
) -> Observer:
    """Return an observer of classes that can make every view of a method.

    A warning is logged if dense views have the plain resolution, because the network cannot be dilated.

    Raises:
        ModelError: if the classifier has no output for a target, its network cannot make a view, or a view
            needs a localiser and there is none.
    """
    observer = Observer(classifier, targets, localiser)
    observer.require(method.all_views)
    if observer.dense_fault is not None:
        _log.warning(
            "%s cannot be dilated: views have the plain resolution (%s)",
            classifier.name, observer.dense_fault,
        )  # fmt: skip
    return observer
