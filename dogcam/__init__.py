"""Turn an image classifier into a detector with class activation maps, and measure its boxes.

`load_classifier`, `explain`, `detect` and `evaluate_boxes` are the public interface. Importing `dogcam` is
fast: torch is imported by the first call that needs it.
"""

from __future__ import annotations

from dogcam.structures.defaults import BATCH_SIZE, CAM_THRESHOLD, IOU_THRESHOLDS

# A command catches Ctrl-C from here on: `typing` and `pathlib` would take most of the time until then.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from dogcam.detection.detector import ImageResult
    from dogcam.detection.images import ImageSources
    from dogcam.evaluate.metrics import PrecisionRecall
    from dogcam.models.classifier import Classifier
    from dogcam.network.activation import Activation

__version__ = "0.1.0"

__all__ = ["detect", "evaluate_boxes", "explain", "load_classifier"]


def load_classifier(
    model: str | None = None,
    checkpoint: str | Path | None = None,
    *,
    device: str = "auto",
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    input_size: int | None = None,
    pools: Sequence[str] | None = None,
) -> Classifier:
    """Load a classifier with its weights, in evaluation mode.

    Args:
        model: `sample_net`, `efficientnet_lite0`, a name of torchvision, `timm:NAME`, or
            `package.module:function` of your own; None for the network that the checkpoint's card names.
        checkpoint: file of the weights; None for those that come with the network, such as ImageNet's.
        device: `cpu`, `cuda`, `mps`, ..., or `auto` for the fastest one available.
        classes: names of the outputs in their order, for a checkpoint without a card.
        activation: `sigmoid` or `softmax`, if the card does not state it.
        input_size: height and width of the input in pixels, for a checkpoint without a card.
        pools: outputs to pool, such as `["pet=cat,dog"]`; by default ImageNet's classes are pooled into
            VOC's, and `["none"]` keeps all 1,000.

    Raises:
        ModelError: if the name, the device or the checkpoint cannot be used; the message says what to do.

    Example:
        >>> import dogcam
        >>> classifier = dogcam.load_classifier("sample_net", device="cpu")
        >>> "dog" in classifier.classes
        True
        >>> classifier.preprocessing.size
        (160, 160)
    """
    from pathlib import Path

    from dogcam.models.classifier import load_classifier as load

    path = None if checkpoint is None else Path(checkpoint)
    return load(
        model, path, device, classes=classes, activation=activation, input_size=input_size, pools=pools
    )


def explain(
    images: ImageSources,
    classifier: Classifier,
    targets: str | Sequence[str] | None = None,
    *,
    method: str = "grad_cam",
    layer: str | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    cam_threshold: float = CAM_THRESHOLD,
    batch_size: int = BATCH_SIZE,
) -> list[ImageResult]:
    """Compute class activation maps of images, with the probabilities and boxes that belong to them.

    Args:
        images: one image or several: files, Pillow images, (H, W, 3) arrays or (3, H, W) tensors; uint8, or
            floats in [0, 1].
        classifier: from `load_classifier`.
        targets: class names; None for all classes. All targets share one forward pass.
        method: a name from `dogcam.cam.METHODS`.
        layer: dotted name of the target layer; None for the classifier's own.
        scales: factors of the input size to average the maps over.
        flip: average over mirror images too.
        cam_threshold: fraction of the map's peak, in (0, 1), from which on a pixel belongs to an object.
        batch_size: images in one forward pass.

    Returns:
        One result for each image: `probabilities`, `maps`, `heat_map(target)`, `boxes`, `scores`, `labels`.

    Raises:
        ConfigError: if no method has that name.
        DataError: if an image cannot be read.
        ModelError: if the classifier does not know a target or has no such layer.

    Example:
        >>> import numpy as np, dogcam
        >>> image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        >>> classifier = dogcam.load_classifier("sample_net", device="cpu")
        >>> [result] = dogcam.explain(image, classifier, "dog")
        >>> result.heat_map("dog").shape
        (90, 120)
        >>> bool(0 <= result.probabilities[0] <= 1)
        True
    """
    from dogcam.cam import METHODS, Views
    from dogcam.detection.boxes_from_maps import LocalisationRule
    from dogcam.detection.detector import Detector
    from dogcam.errors import ConfigError

    if method not in METHODS:
        raise ConfigError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    names = (targets,) if isinstance(targets, str) else tuple(targets or classifier.classes)
    request = METHODS[method](layer or classifier.target_layer)
    rule, views = LocalisationRule(cam_threshold), Views(tuple(scales), flip)
    return list(Detector(classifier, names, request, rule, views).run(images, batch_size))


def detect(
    images: ImageSources,
    classifier: Classifier,
    targets: str | Sequence[str] | None = None,
    *,
    score_threshold: float = 0.0,
    cam_threshold: float = CAM_THRESHOLD,
    method: str = "grad_cam",
    batch_size: int = BATCH_SIZE,
) -> list[ImageResult]:
    """Detect objects: threshold the class activation maps and box every connected component.

    Args:
        images, classifier, targets, method, batch_size: as for `explain`.
        score_threshold: boxes that score less are left out.
        cam_threshold: fraction of the map's peak, in (0, 1), from which on a pixel belongs to an object.

    Returns:
        One result for each image, with `boxes` (N, 4), half-open xyxy in pixels, `scores` (N,) and `labels`.

    Raises:
        DogcamError: as `explain`.

    Example:
        >>> from PIL import Image
        >>> import dogcam
        >>> images = [Image.new("RGB", (120, 90), colour) for colour in ("white", "grey")]
        >>> classifier = dogcam.load_classifier("sample_net", device="cpu")
        >>> results = dogcam.detect(images, classifier, "dog", score_threshold=0.5)
        >>> [result.boxes.shape[1] for result in results]
        [4, 4]
        >>> all(score >= 0.5 for result in results for score in result.scores)
        True
    """
    results = explain(
        images, classifier, targets,
        method=method, cam_threshold=cam_threshold, batch_size=batch_size,
    )  # fmt: skip
    return [result.above(score_threshold) for result in results]


def evaluate_boxes(
    truth: Sequence[ArrayLike],
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> list[PrecisionRecall]:
    """Measure the detections of one class against the ground truth, as PASCAL VOC does.

    Args:
        truth: for each of M images its (K, 4) ground-truth boxes, half-open xyxy in pixels.
        boxes: for each image its (N, 4) detected boxes.
        scores: for each image the (N,) scores of these boxes.
        iou_thresholds: a detection matches if its IoU exceeds the threshold.

    Returns:
        The precision-recall curve at each threshold: `average_precision()`, `total_recall`, `n_found`, ...

    Raises:
        ValueError: if shapes disagree or a number is not finite.

    Example:
        >>> import dogcam
        >>> truth = [[[10, 10, 50, 50]], [[0, 0, 20, 20]]]
        >>> boxes = [[[10, 10, 50, 40]], [[60, 60, 80, 80]]]
        >>> curves = dogcam.evaluate_boxes(truth, boxes, [[0.9], [0.8]], iou_thresholds=[0.5, 0.75])
        >>> [(curve.average_precision(), curve.total_recall) for curve in curves]
        [(0.5, 0.5), (0.0, 0.0)]
    """
    from dogcam.evaluate.metrics import match, precision_recall
    from dogcam.structures.detections import Detections, GroundTruth

    if len(truth) != len(boxes):
        raise ValueError(f"detections of {len(boxes)} images for {len(truth)} images with ground truth")
    matches = match(GroundTruth.from_images(truth), Detections.from_images(boxes, scores), iou_thresholds)
    return [precision_recall(matches, threshold) for threshold in iou_thresholds]
