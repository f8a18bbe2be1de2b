"""Loss of box AP by 8-bit quantisation, on real photographs.

The network runs in floating point and in several quantisations, on 500 photographs of VOC2007 val. The ranges
of the activations come from train. The cam_threshold is 0.3, chosen on neither split. Each quantisation is
compared with floating point by a paired bootstrap over images.

All quantisations were fixed before val was used, and all are shown. The first is the default of the backend.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from rich.table import Table
from torch import Tensor

from dogcam.backends import Backend, Quantisation, load_backend
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.detection.boxes_from_maps import LocalisationRule, heat_map, localise
from dogcam.evaluate.metrics import Matches, Resampler, match, precision_recall
from dogcam.models.classifier import Classifier, load_classifier
from dogcam.structures.defaults import IOU_THRESHOLDS
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import LabelledImage, Split

from .photographs import voc2007

PACKAGES = ("dogcam", "torch", "onnx", "onnxruntime")

RULE = LocalisationRule(0.3)
TARGET = "dog"
BATCH = 16
SEED = 2007

QUANTISATIONS = (
    Quantisation("minmax"),
    Quantisation("minmax", float_first=1, float_last=1),
    Quantisation("percentile"),
    Quantisation("entropy"),
)

FOR_HISTOGRAMS = 32
"""Images from which `percentile` and `entropy` compute ranges; they store all activations."""


def data_folder() -> Path:
    """Return the folder in VOC layout.

    Raises:
        ClickException: if it is absent; noise or rendered images cannot measure the loss.
    """
    folder = voc2007()
    if not folder.is_dir():
        raise click.ClickException(
            f"no real photographs at {folder}; set DOGCAM_DATA to the folder that holds voc2007/"
        )
    return folder


def measure(quick: bool, checkpoint: Path | None = None) -> list[dict[str, object]]:
    """Return a row for floating point and for each quantisation.

    Args:
        quick: use few photographs.
        checkpoint: a trained network with its card; None for EfficientNet-Lite0 as ImageNet left it.
    """
    folder = data_folder()
    test = read_split(folder, "val", 24 if quick else None)
    train = read_split(folder, "train", 16 if quick else 128)
    classifier = load_classifier(None if checkpoint else "efficientnet_lite0", checkpoint, "cpu")
    calibration = list(_batches(classifier, train.images))
    truth = GroundTruth.from_images([image.boxes_of(TARGET) for image in test.images])
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        exact = _matches(load_backend("onnx", classifier, Path(cache)), classifier, test, truth)
        rows.append(_row(classifier, "float32", None, exact, None))
        for quantisation in QUANTISATIONS[: 1 if quick else None]:
            click.echo(f"int8: {quantisation}", err=True)
            given = calibration if quantisation.ranges == "minmax" else calibration[: FOR_HISTOGRAMS // BATCH]
            backend = load_backend("int8", classifier, Path(cache), given, quantisation)
            found = _matches(backend, classifier, test, truth)
            row = _row(classifier, "int8", quantisation, found, exact)
            rows.append(row | {"n_calibration": sum(map(len, given))})
    return [row | {"n_images": len(test)} for row in rows]


def _batches(classifier: Classifier, images: Sequence[LabelledImage]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield classifier.batch([read_pixels(image) for image in images[start : start + BATCH]])


def _matches(backend: Backend, classifier: Classifier, split: Split, truth: GroundTruth) -> Matches:
    target, found = classifier.index_of(TARGET), []
    done = 0
    for batch in _batches(classifier, split.images):
        logits, maps = (each[:, target].double().numpy() for each in backend.maps(batch))
        for logit, map_ in zip(logits, maps, strict=True):
            probability = float(1 / (1 + np.exp(-logit)))
            found.append(localise(heat_map(map_, split.images[done].size), probability, RULE))
            done += 1
    detections = Detections.from_images([boxes for boxes, _ in found], [scores for _, scores in found])
    return match(truth, detections, IOU_THRESHOLDS)


def _row(
    classifier: Classifier, name: str, how: Quantisation | None, found: Matches, exact: Matches | None
) -> dict[str, object]:
    ap = [precision_recall(found, iou).average_precision() for iou in IOU_THRESHOLDS]
    row = {"name": name, "model": classifier.name, "cam_threshold": RULE.cam_threshold, "seed": SEED}
    row |= {"ranges": how and how.ranges, "float_ends": [how.float_first, how.float_last] if how else None}
    row |= {"iou": IOU_THRESHOLDS, "ap": ap}
    if exact is not None:
        intervals = Resampler(found.n_images, seed=SEED).ap_difference(found, exact)
        float_ap = [precision_recall(exact, iou).average_precision() for iou in IOU_THRESHOLDS]
        row["ap_difference"] = [one - other for one, other in zip(ap, float_ap, strict=True)]
        row["ap_difference_interval"] = [[interval.low, interval.high] for interval in intervals]
    return row


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    title = f"Dogs of VOC2007 val, {rows[0]['model']}: AP, and its difference from float32 (95 % interval)"
    printed = Table(title=title, title_justify="left")
    printed.add_column("name")
    for iou in IOU_THRESHOLDS:
        printed.add_column(f"IoU {iou}", justify="right")
    for row in rows:
        how = "" if row["ranges"] is None else f" {row['ranges']}, float ends {row['float_ends']}"
        cells = [f"{ap:.4f}" for ap in row["ap"]]
        if "ap_difference" in row:
            paired = zip(cells, row["ap_difference"], row["ap_difference_interval"], strict=True)
            cells = [f"{cell} {gap:+.4f} ({low:+.4f}, {high:+.4f})" for cell, gap, (low, high) in paired]
        printed.add_row(row["name"] + how, *cells)
    return printed
