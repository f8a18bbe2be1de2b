"""The command `dogcam compare-classifiers`: whose Grad-CAM boxes are better, with a paired interval."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dogcam.classifier import load_classifier
from dogcam.comparison import ApDifference, compare, detect
from dogcam.errors import ConfigError
from dogcam.localise import LocalisationRule
from dogcam.metrics import IOU_THRESHOLDS
from dogcam.voc import read_split


@click.command("compare-classifiers")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A folder in VOC layout.")
@click.option("--split", default="val", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first images of the split.")
@click.option("--target", default="dog", show_default=True, help="The class that is boxed.")
@click.option("--model", metavar="NAME", required=True, help="The first network.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Its weights.")
@click.option("--other-model", metavar="NAME", required=True, help="The second network.")
@click.option("--other-checkpoint", type=click.Path(path_type=Path), help="Its weights.")
@click.option(
    "--cam-threshold", default=0.3, show_default=True, help="Fraction of a map's peak where it is cut."
)
@click.option("--resamples", type=click.IntRange(min=100), default=2000, show_default=True)
@click.option("--seed", default=2007, show_default=True, help="Of the resamples.")
@click.option("--device", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON and nothing else.")
def command(
    data: Path,
    split: str,
    limit: int | None,
    target: str,
    model: str,
    checkpoint: Path | None,
    other_model: str,
    other_checkpoint: Path | None,
    cam_threshold: float,
    resamples: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Compare the Grad-CAM boxes of two networks on the same photographs.

    Both maps are cut at the same fraction of their peaks, and every component is boxed. The interval is of
    the difference of the average precisions, first minus second, over photographs drawn again in pairs.
    """
    try:
        rule = LocalisationRule(cam_threshold)
    except ValueError as error:
        raise ConfigError(f"--cam-threshold: {error}") from error
    images = read_split(data, split, limit).images
    pair = [
        detect(load_classifier(name, weights, device), images, target, rule)
        for name, weights in ((model, checkpoint), (other_model, other_checkpoint))
    ]
    rows = compare(images, target, *pair, IOU_THRESHOLDS, n_resamples=resamples, seed=seed)
    if as_json:
        click.echo(json.dumps([asdict(row) | {"difference": row.difference} for row in rows]))
        return
    shown = sum(target in image.labels for image in images)
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(rows))
    console.print(f"first: {model}, second: {other_model}")
    console.print(f"{len(images):,} images, {shown:,} with the class {target}; {resamples:,} resamples")


def _table(rows: tuple[ApDifference, ...]) -> Table:
    table = Table(title="AP all_point of Grad-CAM boxes", title_justify="left")
    for heading in ("IoU >", "first", "second", "difference", f"{rows[0].interval.level:.0%} interval"):
        table.add_column(heading, justify="right")
    for row in rows:
        ends = f"{row.interval.low:+.4f} to {row.interval.high:+.4f}"
        aps = (f"{row.ap:.4f}", f"{row.other_ap:.4f}", f"{row.difference:+.4f}")
        table.add_row(f"{row.iou_threshold:g}", *aps, ends)
    return table
