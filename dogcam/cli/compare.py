"""The command `dogcam compare-classifiers`: box AP and classification AP, with paired intervals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dogcam.cam import GradCam
from dogcam.cli.common import number_of, visible
from dogcam.cli.options import CAM_THRESHOLD, ClassifierOptions, classifier_options
from dogcam.cli.resampling import Resampling, resampling_options
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.detector import Detector, detections_of
from dogcam.detection.images import LoadedImage
from dogcam.evaluate.compare import ApDifference, Ranking, compare_boxes, compare_rankings, require_shown
from dogcam.files.states import Sources
from dogcam.models.classifier import Classifier, describe_classifier
from dogcam.structures.defaults import IOU_THRESHOLDS, TARGET
from dogcam.structures.detections import Detections
from dogcam.structures.images import LabelledImage

if TYPE_CHECKING:
    from dogcam.network.activation import Activation


@click.command("compare-classifiers")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set.")
@click.option("--split", default="val", show_default=True, help="The images to measure on.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first images of the split.")
@click.option("--target", default=TARGET, show_default=True, help="The class that is boxed.")
@classifier_options
@click.option("--other-model", metavar="NAME", help="The second classifier.  [default: its card's]")
@click.option("--other-checkpoint", type=click.Path(path_type=Path), help="Its weights.")
@click.option("--other-classes", metavar="FILE|NAME,...|imagenet", help="Its outputs, without a card.")
@click.option("--other-activation", type=click.Choice(["sigmoid", "softmax"]), help="Of its head.")
@CAM_THRESHOLD
@resampling_options
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON and nothing else.")
def command(
    data: Path,
    split: str,
    limit: int | None,
    target: str,
    options: ClassifierOptions,
    other_model: str | None,
    other_checkpoint: Path | None,
    other_classes: str | None,
    other_activation: str | None,
    cam_threshold: float,
    resampling: Resampling,
    as_json: bool,
) -> None:
    """Compare two classifiers on the same images: the AP of their Grad-CAM boxes, and of their rankings.

    Both maps are thresholded at the same fraction of their peaks, and every component is boxed. The images
    are ranked by each class of both classifiers. The intervals are those of the difference of the
    average precisions, first minus second, over paired resamples of the images.
    """
    photographs = read_split(data, split, limit)
    sources = Sources(photographs.files)
    images = photographs.images
    # All that can be refused is refused before the first image is read.
    require_shown(images, target)
    other = ClassifierOptions(
        other_model,
        other_checkpoint,
        options.device,
        other_classes,
        cast("Activation | None", other_activation),
        options.pools,
    )
    classifiers = [options.load(), other.load()]
    for each in classifiers:
        each.index_of(target)
    (boxes_a, ranking_a), (boxes_b, ranking_b) = (
        _detect(each, images, target, cam_threshold) for each in classifiers
    )
    sources.require_unchanged()
    resampler = resampling.of(len(images))
    boxes = compare_boxes(images, target, boxes_a, boxes_b, IOU_THRESHOLDS, resampler)
    ranking = compare_rankings(images, ranking_a, ranking_b, resampler)
    if as_json:
        rows = {
            "data": photographs.describe(),
            "first": describe_classifier(classifiers[0]),
            "second": describe_classifier(classifiers[1]),
            "boxes": [{"iou_threshold": iou, **_plain(each)} for iou, each in boxes.items()],
            "ranking": {
                "mean": _plain(ranking.mean),
                "classes": [{"name": name, **_plain(each)} for name, each in ranking.classes.items()],
            },
        }
        click.echo(json.dumps(rows))
        return
    shown = sum(target in image.labels for image in images)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    by_iou = {f"IoU > {iou:g}": each for iou, each in boxes.items()}
    console.print(_table(f"AP all_point of Grad-CAM boxes of {target}", by_iou))
    ranked = {target: ranking.classes[target], f"mean of {len(ranking.classes)} classes": ranking.mean}
    console.print(_table("AP of the ranking of images", ranked))
    for which, each in zip(("first", "second"), classifiers, strict=True):
        weights = each.weights_sha256()[:8]
        console.print(f"{which}: {each.name} at {each.input_sizes} pixels, {each.source}, sha256 {weights}")
    n_resamples = resampling.n_resamples
    console.print(
        f"{number_of(len(images), 'image')}, {shown:,} with the class {target}; "
        f"{number_of(n_resamples, 'resample')}"
    )


def _detect(
    classifier: Classifier, images: Sequence[LabelledImage], target: str, cam_threshold: float
) -> tuple[Detections, Ranking]:
    request, rule = GradCam(classifier.target_layer), LocalisationRule(cam_threshold)
    detector = Detector(classifier, (target,), request, rule)
    loaded = (LoadedImage(read_pixels(image, detector.least_side), image.size) for image in images)
    results = list(detector.run(loaded))
    logits = torch.from_numpy(np.stack([each.logits for each in results]))
    return detections_of(results, target), Ranking(classifier.classes, classifier.log_odds(logits))


def _plain(row: ApDifference) -> dict:
    return asdict(row) | {"difference": row.difference}


def _table(title: str, rows: Mapping[str, ApDifference]) -> Table:
    table = Table(title=title, title_justify="left")
    level = next(iter(rows.values())).interval.level
    for heading in ("of", "first", "second", "difference", f"{100 * level:g}% interval"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        ends = f"{row.interval.low:+.4f} to {row.interval.high:+.4f}"
        table.add_row(visible(name), f"{row.ap:.4f}", f"{row.other_ap:.4f}", f"{row.difference:+.4f}", ends)
    return table
