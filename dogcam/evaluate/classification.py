"""Evaluate a classifier: average precision of each class, ranking images by their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dogcam.cam import Views
from dogcam.data.image_cache import label_matrix
from dogcam.data.images import read_pixels
from dogcam.detection import detector
from dogcam.evaluate.metrics import Interval, Resampler, mean_over_classes
from dogcam.evaluate.metrics.ranking import ranking_ap
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass, sizes_of
from dogcam.structures.images import LabelledImage, least_side

AP_VARIANT = "scikit-learn average_precision_score, not interpolated"


@dataclass(frozen=True)
class ClassScore:
    """One class: its name, the number of images that show it, and its average precision in [0, 1]."""

    name: str
    n_positive: int
    ap: float
    interval: Interval


@dataclass(frozen=True)
class ClassificationScores:
    """Average precision of a classifier on a set of images.

    Attributes:
        n_images: number of images.
        classes: classes that occur, in the order of the logits.
        absent: classes that no image shows; they have no average precision.
        mean_ap: mean over the classes that occur; nan if there are none.
        interval: its bootstrap interval over images.
    """

    n_images: int
    classes: tuple[ClassScore, ...]
    absent: tuple[str, ...]
    mean_ap: float
    interval: Interval


def predict(
    network: nn.Module,
    images: Sequence[LabelledImage],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    flip: bool = False,
    high_resolution: HighResolutionPass | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Return the logits of images, read and preprocessed as in detection.

    Args:
        network: maps (n, 3, H, W) images to (n, C) logits; left as it was found.
        images: N photographs.
        preprocessing: makes the network's input of them.
        batch_size: how many at a time.
        flip: average the logits of each photograph and of its mirror image.
        high_resolution: the second pass over each image at a higher resolution; None for a single pass.
        progress: receives the number of finished images, and N, after each batch.

    Returns:
        (N, C) float32 tensor on the CPU.
    """
    logits = []
    least = least_side(*sizes_of(preprocessing, high_resolution))
    for start in range(0, len(images), batch_size):
        batch = [read_pixels(image, least) for image in images[start : start + batch_size]]
        found = detector.predict(network, batch, preprocessing, high_resolution, views=Views(flip=flip))
        logits.append(found.logits)
        progress(start + len(batch), len(images))
    return torch.cat(logits)


def class_ap(labels: Tensor, scores: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Return the average precision of each class, ranking images by their scores.

    As in scikit-learn: the sum over the ranking of precision times the gain in recall, without interpolation;
    equal scores are one step.

    Args:
        labels: (N, C) tensor of 0 and 1.
        scores: (N, C) tensor, logits for example.
        classes: C names in the order of the columns.

    Returns:
        AP in [0, 1] by name, in the order of `classes`; classes without a positive image are left out.
    """
    once = np.ones((len(labels), 1))
    return {
        name: float(ranking_ap(labels[:, column].double().numpy(), scores[:, column].numpy(), once)[0])
        for column, name in enumerate(classes)
        if labels[:, column].any()
    }


def score_classes(
    labels: Tensor, scores: Tensor, classes: Sequence[str], resampler: Resampler
) -> ClassificationScores:
    """Measure a ranking of images, with bootstrap intervals over images.

    All classes use the same resamples, so the interval of the mean accounts for their correlation.

    Args:
        labels, scores, classes: as for `class_ap`.
        resampler: of the same images.
    """
    ap = class_ap(labels, scores, classes)
    drawn = resampled_by_class(labels, scores, classes, resampler)
    mean = mean_over_classes(list(drawn.values()))
    return ClassificationScores(
        n_images=len(labels),
        classes=tuple(
            ClassScore(
                name,
                int(labels[:, list(classes).index(name)].sum()),
                value,
                resampler.interval(drawn[name]),
            )
            for name, value in ap.items()
        ),
        absent=tuple(name for name in classes if name not in ap),
        mean_ap=float(np.mean(list(ap.values()))) if ap else float("nan"),
        interval=resampler.interval(mean),
    )


def resampled_by_class(
    labels: Tensor, scores: Tensor, classes: Sequence[str], resampler: Resampler
) -> dict[str, NDArray[np.float64]]:
    """Return the average precision of each class in every resample of the images.

    Args:
        labels, scores, classes: as for `class_ap`.
        resampler: draws the same images for every class, B times.

    Returns:
        (B,) float array by name, in the order of `classes`; classes without a positive image are left out.
    """
    return {
        name: resampler.ranking_ap_samples(labels[:, column], scores[:, column])
        for column, name in enumerate(classes)
        if labels[:, column].any()
    }


def measure(
    network: nn.Module,
    classes: Sequence[str],
    images: Sequence[LabelledImage],
    preprocessing: Preprocessing,
    batch_size: int,
    high_resolution: HighResolutionPass | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Return the average precision of each class that occurs in the images, as `class_ap`.

    Args:
        network: maps (n, 3, H, W) images to (n, C) logits; left as it was found.
        classes: C names in the order of the logits.
        images: annotated photographs.
        preprocessing: makes the network's input of them.
        batch_size: how many at a time.
        high_resolution, progress: as for `predict`.
    """
    logits = predict(
        network, images, preprocessing, batch_size, high_resolution=high_resolution, progress=progress
    )
    return class_ap(label_matrix(images, classes), logits, classes)
