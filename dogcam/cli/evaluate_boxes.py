"""The command `dogcam evaluate-boxes`: two JSON files in, a table or JSON out."""

import json
import math
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dogcam.data.boxes_json import read_detections, read_ground_truth
from dogcam.evaluate.metrics import (
    IOU_THRESHOLDS,
    TIES,
    VARIANTS,
    Matches,
    PrecisionRecall,
    TieRange,
    Ties,
    Variant,
    ap_over_ties,
    match,
    precision_recall,
)

TIE_WIDTH_WARNED = 0.01
"""A warning is printed where the order of equal scores can move AP by more than this."""


class SeveralNumbers(click.Command):
    """A command whose `--iou` takes all the numbers that follow it.

    Click's options take a fixed number of values, so `--iou 0.3 0.5` is turned into `--iou 0.3 --iou 0.5`
    before click reads it. The first value is the option's as usual; the following ones are for as long as
    they read as numbers. A file whose name is a number is written `./0.5`, or after `--`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spread the numbers over repeated flags, then parse as usual."""
        return super().parse_args(ctx, _spread(args, "--iou"))


def _check_thresholds(
    ctx: click.Context, parameter: click.Parameter, values: tuple[float, ...]
) -> tuple[float, ...]:
    for value in values:
        if not 0 <= value < 1:
            raise click.BadParameter(f"{value:g} is not in [0, 1).")
    return values


@click.command("evaluate-boxes", cls=SeveralNumbers)
@click.argument("ground_truth", type=click.Path(path_type=Path))
@click.argument("detections", type=click.Path(path_type=Path))
@click.option(
    "--iou",
    "iou_thresholds",
    type=float,
    metavar="NUMBER...",
    callback=_check_thresholds,
    multiple=True,
    default=IOU_THRESHOLDS,
    show_default=True,
    help="One or more thresholds, which the IoU of a match must exceed.",
)
@click.option(
    "--ties",
    type=click.Choice(TIES),
    default="stable",
    show_default=True,
    help="Order of equal scores: that of the files, or that of numpy's sort before 1.25.",
)
@click.option("--variant", type=click.Choice(VARIANTS), default="all_point", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a list of {iou, ap, recall} and nothing else.")
def command(
    ground_truth: Path,
    detections: Path,
    iou_thresholds: tuple[float, ...],
    ties: Ties,
    variant: Variant,
    as_json: bool,
) -> None:
    """Measure the boxes of DETECTIONS against those of GROUND_TRUTH.

    \b
    GROUND_TRUTH  {"images": [{"id", "width", "height", "dogs": [[xmin, ymin, xmax, ymax], ...]}, ...]}
    DETECTIONS    {"id": [[xmin, ymin, xmax, ymax, score], ...], ...}

    Boxes are 1-based inclusive pixels, as in PASCAL VOC.
    """
    annotated = read_ground_truth(ground_truth)
    found = read_detections(detections, annotated.ids)
    matches = match(annotated.ground_truth, found, iou_thresholds, ties=ties)
    curves = [precision_recall(matches, threshold) for threshold in matches.iou_thresholds]
    if as_json:
        click.echo(json.dumps([_json_row(curve, variant) for curve in curves], allow_nan=False))
    else:
        _print_report(matches, curves, variant, ties)


def _print_report(matches: Matches, curves: list[PrecisionRecall], variant: Variant, ties: Ties) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(curves, variant, ties))
    counts = (
        (matches.n_ground_truth, "ground-truth boxes"),
        (len(matches.detections), "detections"),
        (matches.n_images, "images"),
    )
    console.print(", ".join(f"{count:,} {what}" for count, what in counts))
    for threshold in matches.iou_thresholds:
        tie_range = ap_over_ties(matches, threshold, variant)
        if tie_range.width > TIE_WIDTH_WARNED:
            console.print(_warning(threshold, tie_range), style="yellow")


def _json_row(curve: PrecisionRecall, variant: Variant) -> dict[str, float | None]:
    """Return fractions; nan, which JSON lacks, becomes null."""
    numbers = {
        "iou": curve.iou_threshold,
        "ap": curve.average_precision(variant),
        "recall": curve.total_recall,
    }
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def _table(curves: list[PrecisionRecall], variant: Variant, ties: Ties) -> Table:
    table = Table(title=f"AP {variant}, ties {ties}", title_justify="left")
    for heading in ("IoU >", "AP", "recall", "found", "missed", "false"):
        table.add_column(heading, justify="right")
    for curve in curves:
        counts = (curve.n_found, curve.n_ground_truth - curve.n_found, curve.n_false_positives)
        ratios = (curve.average_precision(variant), curve.total_recall)
        table.add_row(
            f"{curve.iou_threshold:g}",
            *(f"{value:.4f}" for value in ratios),
            *(f"{count:,}" for count in counts),
        )
    return table


def _warning(iou_threshold: float, ties: TieRange) -> str:
    return (
        f"Warning: at IoU {iou_threshold:g} the order of equal scores alone moves AP between {ties.low:.4f} "
        f"and {ties.high:.4f} ({ties.expected:.4f} expected of a random order)"
    )


def _spread(args: list[str], flag: str) -> list[str]:
    """Repeat the flag before every further number that follows its value."""
    spread: list[str] = []
    collecting = False
    for place, arg in enumerate(args):
        is_value = place > 0 and args[place - 1] == flag
        if collecting and not is_value and _is_number(arg):
            spread += [flag, arg]
            continue
        collecting = is_value or arg.startswith(f"{flag}=")
        spread.append(arg)
    return spread


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
