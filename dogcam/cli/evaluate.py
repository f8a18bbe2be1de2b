"""The command `dogcam evaluate`: a classifier and a split in, average precisions with intervals out."""

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dogcam.cli.common import number_of, visible
from dogcam.cli.options import BATCH_SIZE, ClassifierOptions, classifier_options
from dogcam.cli.progress import StepProgress
from dogcam.cli.resampling import Resampling, resampling_options
from dogcam.data.image_cache import label_matrix
from dogcam.data.reading import read_split
from dogcam.draw.plots import EstimateRow, class_figure
from dogcam.draw.svg import to_svg
from dogcam.errors import ConfigError
from dogcam.evaluate.classification import AP_VARIANT, ClassificationScores, predict, score_classes
from dogcam.evaluate.metrics import Interval, defined
from dogcam.files import atomic_write
from dogcam.files.states import Sources
from dogcam.models.classifier import Classifier, describe_classifier
from dogcam.models.registry import require_input
from dogcam.structures.images import Split


@click.command("evaluate")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set.")
@click.option("--split", default="val", show_default=True, help="The images to measure on.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first images of the split.")
@classifier_options
@click.option(
    "--input-size", type=click.IntRange(min=16), help="Height and width of the input.  [default: the card's]"
)
@click.option("--flip/--no-flip", default=False, show_default=True, help="Average over mirror images too.")
@click.option(
    "--high-resolution-pass/--no-high-resolution-pass", default=True, show_default=True,
    help="Use the second pass at a higher resolution if the card has one.",
)  # fmt: skip
@BATCH_SIZE
@resampling_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers to this file.")
@click.option("--figure", type=click.Path(path_type=Path), help="Write a drawing to this SVG file.")
def command(
    data: Path,
    split: str,
    limit: int | None,
    options: ClassifierOptions,
    input_size: int | None,
    flip: bool,
    high_resolution_pass: bool,
    batch_size: int,
    resampling: Resampling,
    json_path: Path | None,
    figure: Path | None,
) -> None:
    """Measure a classifier: average precision of each class and its mean, with bootstrap intervals."""
    photographs = read_split(data, split, limit)
    sources = Sources(photographs.files)
    classifier = options.load()
    if input_size:
        classifier = classifier.at_size((input_size, input_size))
        require_input(classifier.network, classifier.name, classifier.preprocessing.size)
    if not high_resolution_pass:
        classifier = replace(classifier, high_resolution=None)
    if not set(classifier.classes) & set(photographs.class_names()):
        raise ConfigError(
            f"{data}, split {split!r}, shows {', '.join(photographs.class_names()) or 'nothing'}; "
            f"{classifier.name} has {', '.join(classifier.classes)}; choose a split with one of these classes"
        )
    with StepProgress() as progress, progress.counter("predict") as count:
        logits = predict(
            classifier.network, photographs.images, classifier.preprocessing, batch_size,
            flip=flip, high_resolution=classifier.high_resolution, progress=count,
        )  # fmt: skip
    sources.require_unchanged()
    labels = label_matrix(photographs.images, classifier.classes)
    resampler = resampling.of(len(photographs))
    scores = score_classes(labels, classifier.log_odds(logits), classifier.classes, resampler)
    # Printed first: a failure to write a file must not lose the measurement.
    Console(highlight=False, soft_wrap=True, markup=False).print(_table(classifier, photographs, scores))
    if json_path:
        settings = {"flip": flip, "n_resamples": resampling.n_resamples, "seed": resampling.seed}
        document = describe(classifier, photographs, scores) | settings
        atomic_write(json_path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if figure:
        rows = [EstimateRow("mean", *_ends(scores.mean_ap, scores.interval)), *_rows(scores)]
        alt = "; ".join(f"{row.label} {row.value:.3f}" for row in rows if row.value is not None)
        alt = f"Average precision: {alt}"
        atomic_write(figure, to_svg(class_figure(rows), name="classes", alt=alt, theme="standalone"))


def describe(classifier: Classifier, split: Split, scores: ClassificationScores) -> dict:
    """Return what was measured as plain values for JSON; numbers that are not defined are null."""
    return {
        **describe_classifier(classifier),
        "data": split.describe(),
        "ap_variant": AP_VARIANT,
        "level": scores.interval.level,
        "map": _estimate(scores.mean_ap, scores.interval),
        "classes": [
            {"name": each.name, "n_positive": each.n_positive, **_estimate(each.ap, each.interval)}
            for each in scores.classes
        ],
        "absent": list(scores.absent),
    }


def _estimate(value: float, interval: Interval) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), _ends(value, interval), strict=True))


def _ends(value: float, interval: Interval) -> tuple[float | None, float | None, float | None]:
    return defined(value), interval.low, interval.high


def _rows(scores: ClassificationScores) -> list[EstimateRow]:
    return [EstimateRow(each.name, *_ends(each.ap, each.interval)) for each in scores.classes]


def _table(classifier: Classifier, split: Split, scores: ClassificationScores) -> Table:
    table = Table(
        title=f"{classifier.name} at {classifier.input_sizes} pixels on {split.name}, "
        f"{number_of(len(split), 'image')}",
        title_justify="left",
        caption=f"AP: {AP_VARIANT}; {100 * scores.interval.level:g}% bootstrap intervals over images",
        caption_justify="left",
    )
    table.add_column("class")
    for heading in ("images", "AP", "interval"):
        table.add_column(heading, justify="right")
    for each in scores.classes:
        table.add_row(visible(each.name), f"{each.n_positive}", f"{each.ap:.4f}", _span(each.interval))
    for name in scores.absent:
        table.add_row(visible(name), "0", "", "")
    table.add_section()
    table.add_row("mean", f"{scores.n_images}", f"{scores.mean_ap:.4f}", _span(scores.interval))
    return table


def _span(interval: Interval) -> str:
    return "n/a" if interval.low is None else f"{interval.low:.3f} to {interval.high:.3f}"
