"""The command `dogcam detect`: images in, scored boxes out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from dogcam.cli.common import FiniteRange, number_of
from dogcam.cli.options import (
    BATCH_SIZE,
    LOCALISER_FILE,
    ClassifierOptions,
    MapOptions,
    classifier_options,
    map_options,
    preset_with,
)
from dogcam.cli.paths import images_at, require_distinct_stems
from dogcam.cli.progress import StepProgress
from dogcam.detection.detector import FoundBoxes
from dogcam.detection.localiser import load_localiser
from dogcam.detection.presets import ThresholdMethod, detect_by_preset, find_preset
from dogcam.detection.writers import WRITERS, Row
from dogcam.errors import ConfigError
from dogcam.structures.presets import PRESET_NAMES

REPLACED = ("method", "layer", "flip", "cam_threshold")
"""Options that every preset replaces."""


@click.command("detect")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@classifier_options
@map_options
@click.option(
    "--preset",
    type=click.Choice(list(PRESET_NAMES)),
    help="A detection preset, instead of --method, --layer, --flip, --cam-threshold and, except for "
    "published, --batch-size; see docs/boxes.md.  [default: localiser, if --localiser is given]",
)
@LOCALISER_FILE
@click.option(
    "--score-threshold", type=FiniteRange(0, 1), default=0.05, show_default=True,
    help="Boxes that score less are left out.",
)  # fmt: skip
@click.option("--format", "name", type=click.Choice(list(WRITERS)), default="coco", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="File (coco, csv) or folder (voc, yolo).  [default: detections.json, Annotations, ...]",
)  # fmt: skip
@BATCH_SIZE
def command(
    paths: tuple[Path, ...],
    options: ClassifierOptions,
    maps: MapOptions,
    preset: str | None,
    localiser: Path | None,
    score_threshold: float,
    name: str,
    out: Path | None,
    batch_size: int,
) -> None:
    """Detect objects in images, and write their boxes.

    PATHS are images, folders that are searched for images, or .txt files that list one path a line. Boxes
    refer to the upright image. COCO and CSV boxes are 0-based and half-open, VOC's 1-based and inclusive,
    YOLO's relative to the image.
    """
    images = images_at(paths)
    writer = WRITERS[name]
    if writer.by_stem:
        require_distinct_stems(images)
    preset = preset_with(preset, localiser)
    _refuse_both(preset)
    classifier = options.load("efficientnet_lite0")
    trained = load_localiser(localiser, classifier) if localiser else None
    targets = classifier.classes_named(maps.targets)
    results: Iterator[FoundBoxes] = (
        detect_by_preset(images, classifier, targets, preset, batch_size, trained)
        if preset
        else maps.detector(classifier).run(images, batch_size)
    )
    with StepProgress() as progress:
        shown = progress.track(results, len(images), "detect")
        rows = [Row(path, result.above(score_threshold)) for path, result in zip(images, shown, strict=True)]
    target = out or Path(writer.default)
    writer.write(rows, targets, target)
    click.echo(f"{target}: {_summary(rows)}")


def _refuse_both(preset: str | None) -> None:
    """Refuse a preset together with an option of the method that it replaces."""
    if preset is None:
        return
    # A method of several views makes those of one image after another: it has no batches.
    has_batches = isinstance(find_preset(preset), ThresholdMethod)
    replaced = REPLACED if has_batches else (*REPLACED, "batch_size")
    context = click.get_current_context()
    given = [
        each.opts[0]
        for each in context.command.params
        if each.name in replaced and context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise ConfigError(f"--preset {preset} was given with {', '.join(given)}; expected one or the other")


def _summary(rows: Sequence[Row]) -> str:
    n_boxes = sum(len(row.result.boxes) for row in rows)
    n_empty = sum(not len(row.result.boxes) for row in rows)
    images = number_of(len(rows), "image")
    return f"{number_of(n_boxes, 'box', 'boxes')} in {images}, {n_empty:,} without a box"
