"""Two classifiers on the same photographs: whose class activation maps box a class better."""

from collections.abc import Sequence
from dataclasses import dataclass

from dogcam.cam import GradCam, explain
from dogcam.classifier import Classifier
from dogcam.errors import DataError
from dogcam.localise import LocalisationRule, heat_map, localise
from dogcam.metrics import (
    Detections,
    GroundTruth,
    Interval,
    bootstrap_ap_difference,
    match,
    precision_recall,
)
from dogcam.voc import VocImage


@dataclass(frozen=True)
class ApDifference:
    """The average precision of two sets of boxes at one IoU threshold.

    Attributes:
        iou_threshold: what the IoU of a match exceeds.
        ap, other_ap: all-point average precision of the first and of the second, in [0, 1].
        interval: of the difference, first minus second, over images drawn again, the same for both.
    """

    iou_threshold: float
    ap: float
    other_ap: float
    interval: Interval

    @property
    def difference(self) -> float:
        """How much better the first is."""
        return self.ap - self.other_ap


def detect(
    classifier: Classifier,
    images: Sequence[VocImage],
    target: str,
    rule: LocalisationRule,
    batch_size: int = 16,
) -> Detections:
    """Box a class in photographs with Grad-CAM at the classifier's last maps.

    Args:
        classifier: knows the class.
        images: N photographs.
        target: the class; a box is scored by its probability times the height of the map within.
        rule: how a map becomes boxes.
        batch_size: how many photographs at a time.

    Raises:
        ModelError: where the classifier does not know the class.
    """
    index, found = classifier.index_of(target), []
    for start in range(0, len(images), batch_size):
        chosen = images[start : start + batch_size]
        batch = classifier.batch([image.read() for image in chosen])
        explanation = explain(classifier.network, batch, [index], [GradCam(classifier.target_layer)])
        scores = explanation.logits[:, index].double().sigmoid().cpu().numpy()
        maps = explanation.maps[0][:, 0].cpu().numpy()
        for image, map_, score in zip(chosen, maps, scores, strict=True):
            found.append(localise(heat_map(map_, image.size), score, rule))
    return Detections.from_images([boxes for boxes, _ in found], [scores for _, scores in found])


def compare(
    images: Sequence[VocImage],
    target: str,
    detections: Detections,
    others: Detections,
    iou_thresholds: Sequence[float],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[ApDifference, ...]:
    """Compare two sets of boxes of the same photographs, one result for each IoU threshold.

    Args:
        images: annotated photographs; difficult objects count too.
        target: the class.
        detections, others: the boxes of the first and of the second.
        iou_thresholds: where to measure.
        n_resamples, seed: of the bootstrap over images.

    Raises:
        DataError: where no photograph shows the class.
    """
    truth = GroundTruth.from_images(
        [image.boxes_of(target) for image in images],
        [[thing.difficult for thing in image.objects_of(target)] for image in images],
    )
    if not any(len(image.boxes_of(target)) for image in images):
        raise DataError(f"none of the {len(images)} images shows a {target}; name another split or class")
    both = [match(truth, each, iou_thresholds) for each in (detections, others)]
    intervals = bootstrap_ap_difference(*both, n_resamples=n_resamples, seed=seed)
    aps = [[precision_recall(each, iou).average_precision() for each in both] for iou in iou_thresholds]
    rows = zip(iou_thresholds, aps, intervals, strict=True)
    return tuple(ApDifference(iou, float(a), float(b), interval) for iou, (a, b), interval in rows)
