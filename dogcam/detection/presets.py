"""Named detection methods, and one way to run any of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

from dogcam.cam import METHODS
from dogcam.detection.box_fit import FitRule
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.detector import DEFAULT_RULE, Detector, Located
from dogcam.detection.evidence import Observer, View
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ConfigError
from dogcam.models.classifier import Classifier


@dataclass(frozen=True)
class ThresholdMethod:
    """One class activation map, one threshold: every connected component is a box.

    Attributes:
        map_method: name of the kind of map, one of `dogcam.cam.METHODS`.
        rule: how the map becomes boxes.
    """

    map_method: str = "grad_cam"
    rule: LocalisationRule = DEFAULT_RULE


DetectionMethod: TypeAlias = ThresholdMethod | ProposalMethod

Locator: TypeAlias = Callable[[Image.Image], Located]
"""Maps an RGB image to its boxes and their scores, the highest first."""

PRESETS: dict[str, DetectionMethod] = {
    "published": ThresholdMethod(),
    "fast": ProposalMethod(
        views=(View(1.0, keep_aspect=False),),
        fit=FitRule(midpoints=(0.0,), ring=0.5, side=0.94, octaves=1.0, map_weight=0.0),
        max_cover=0.85, vote_iou=0.6, vote_sharpness=1.0, fit_exponent=1.0,
    ),
    "best": ProposalMethod(
        views=(View(1.0, keep_aspect=False), View(1.25), View(1.75)),
        further_views=(View(1.25, mirrored=True), View(2.5, dense=False)),
        fit=FitRule(midpoints=(1.0,), ring=1.0, side=0.47, octaves=1.0, fill=0.8, map_weight=0.0),
        max_cover=0.85, vote_iou=0.5, vote_sharpness=3.0, fit_exponent=1.0,
    ),
}  # fmt: skip
"""The methods by name. `published` is that of the experiment. The numbers of the others were chosen on 460
images of VOC2007 train and on no others (docs/boxes.md)."""


def find_preset(name: str) -> DetectionMethod:
    """Return the detection method of that name.

    Raises:
        ConfigError: if there is none; the message lists the names.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no detection preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def locator(method: DetectionMethod, classifier: Classifier, target: str) -> Locator:
    """Return the function that finds a class in an image by a detection method.

    Args:
        method: for instance a preset.
        classifier: has an output for the target; a `ProposalMethod` needs global average pooling and a head.
        target: name of the class.

    Raises:
        ModelError: if the classifier has no output for the target, or the method cannot use its head.

    Example:
        >>> from PIL import Image
        >>> from dogcam import load_classifier
        >>> find = locator(find_preset("fast"), load_classifier("sample_net", device="cpu"), "dog")
        >>> boxes, scores = find(Image.new("RGB", (120, 90)))
        >>> boxes.shape == (len(scores), 4)
        True
    """
    if isinstance(method, ThresholdMethod):
        request = METHODS[method.map_method](classifier.target_layer)
        detector = Detector(classifier, (target,), request, method.rule)
        return lambda image: next(iter(detector.run(image))).located[0]
    observer = Observer(classifier, target)
    return lambda image: method.run(observer, image)
