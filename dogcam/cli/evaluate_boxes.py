"""The command `dogcam evaluate-boxes`: ground truth and detections of any program, a table or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dogcam.cli.common import choice, visible
from dogcam.cli.resampling import Resampling, resampling_options
from dogcam.data.box_files.results import read_results
from dogcam.data.box_files.truth import read_truth
from dogcam.data.formats.base import Pixels
from dogcam.errors import DataError
from dogcam.evaluate.metrics import (
    DIFFICULT,
    TIES,
    VARIANTS,
    Difficult,
    Interval,
    Matches,
    Resampler,
    TieRange,
    Ties,
    Variant,
    ap_over_ties,
    defined,
    match,
    mean_over_classes,
    precision_recall,
)
from dogcam.evaluate.metrics.coco_matching import match_coco
from dogcam.evaluate.metrics.matching import require_thresholds
from dogcam.files import atomic_write
from dogcam.structures.defaults import IOU_THRESHOLDS, TARGET
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.rules import BadBoxes

RULES = ("greater", "at-least", "coco")
CROWD = ("ignored", "counted")

TIE_WIDTH_WARNED = 0.01
"""A warning is printed if the order of equal scores can move AP by more than this."""


class SeveralNumbers(click.Command):
    """A command whose `--iou` takes all the numbers that follow it.

    Click's options take a fixed number of values, so `--iou 0.3 0.5` is turned into `--iou 0.3 --iou 0.5`
    before click reads it. The first value is the option's as usual; the following ones are for as long as
    they read as numbers. A file whose name is a number is written `./0.5`, or after `--`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spread the numbers over repeated flags, then parse as usual."""
        return super().parse_args(ctx, _spread(args, "--iou"))


@click.command("evaluate-boxes", cls=SeveralNumbers)
@click.argument("ground_truth", type=click.Path(path_type=Path))
@click.argument("detections", type=click.Path(path_type=Path))
@click.option(
    "--iou", "iou_thresholds", type=float, metavar="NUMBER...", multiple=True, default=IOU_THRESHOLDS,
    show_default=True, help="One or more IoU thresholds.",
)  # fmt: skip
@choice(
    "--match", "rule", RULES, "greater",
    "A match has an IoU greater than the threshold (the published experiment), or at least equal to it "
    "(the VOC development kit), or is found as pycocotools does (coco).",
)  # fmt: skip
@click.option("--split", help="The split of GROUND_TRUTH; needed if it has several.")
@click.option("--target", "targets", multiple=True, help="Measure this class only; repeat for several.")
@click.option(
    "--pixels",
    type=click.Choice(get_args(Pixels)),
    help="Convention of boxes in dogcam's JSON: 1-based inclusive, or 0-based half-open.  [default: what the "
    "file states, or inclusive]",
)
@choice(
    "--difficult", "difficult", DIFFICULT, "counted",
    "Objects marked difficult: counted, ignored with their detections, or absent.",
)  # fmt: skip
@choice(
    "--crowd", "crowd", CROWD, "ignored",
    "Boxes around crowds: ignored with their detections, or counted.",
)  # fmt: skip
@choice(
    "--on-bad-box", "on_bad_box", get_args(BadBoxes), "refuse",
    "Ground-truth boxes that are empty or leave their image.",
)  # fmt: skip
@choice(
    "--ties", "ties", TIES, "stable",
    "Order of equal scores: that of the files, or that of numpy's sort before 1.25.",
)  # fmt: skip
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    help="Variant of AP.  [default: all_point; coco_101point for coco]",
)
@click.option("--intervals", is_flag=True, help="Add bootstrap intervals of AP, over images.")
@resampling_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON to a file too.")
@click.option("--json", "as_json", is_flag=True, help="Print the list of {iou, ap, recall} and nothing else.")
def command(
    ground_truth: Path,
    detections: Path,
    split: str | None,
    targets: tuple[str, ...],
    pixels: Pixels | None,
    on_bad_box: BadBoxes,
    intervals: bool,
    resampling: Resampling,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the boxes of DETECTIONS against those of GROUND_TRUTH.

    \b
    GROUND_TRUTH  a data set in any format of docs/howto/photographs.md, or
                  {"images": [{"id", "width", "height", "dogs": [[xmin, ymin, xmax, ymax], ...]}, ...]}
                  with "difficult": [0, 1, ...] or "crowd" if objects are marked
    DETECTIONS    what `dogcam detect` writes as coco, yolo or csv; COCO results; a VOC results file or a
                  folder of them; a folder of YOLO labels with scores; a CSV with the column score; or
                  {"id": [[xmin, ymin, xmax, ymax, score], ...], ...}

    Boxes in dogcam's own JSON and in VOC files are 1-based inclusive pixels. Both kinds of JSON may state
    their convention: "pixels": "half-open" next to "images", or {"pixels", "boxes": {"id": [...]}}.
    """
    rules = Rules(**options)
    truth = read_truth(ground_truth, split, pixels, on_bad_box)
    found = read_results(detections, truth, pixels, targets[0] if len(targets) == 1 else None)
    known = truth.class_names()
    names = targets or known or found.class_names()[:1] or (TARGET,)
    unknown = sorted(set(names) - set(known))
    if targets and known and unknown:
        raise DataError(f"{ground_truth} has no {unknown[0]!r}; its classes are: {', '.join(known)}")
    if not targets and set(found.class_names()) - set(names):
        others = ", ".join(sorted(set(found.class_names()) - set(names)))
        click.echo(visible(f"not measured: {others}"), err=True)
    matches = {name: rules.match(truth.ground_truth(name), found.detections(name)) for name in names}
    drawn = Drawn.of(matches, rules.ap_variant, resampling) if intervals else None
    rows = measure(matches, rules.ap_variant, drawn)
    text = json.dumps([row.as_json(several=len(matches) > 1) for row in rows], allow_nan=False)
    if out:
        atomic_write(out, text + "\n")
    if as_json:
        click.echo(text)
    else:
        _print_report(matches, rules, rows)


@dataclass(frozen=True)
class Rules:
    """The matching rule and the variant of AP."""

    iou_thresholds: tuple[float, ...]
    rule: str
    difficult: Difficult
    crowd: str
    ties: Ties
    variant: Variant | None

    def __post_init__(self) -> None:
        if self.rule == "coco" and self.ties != "stable":
            raise click.UsageError("--match coco keeps the order of equal scores; leave out --ties.")
        try:
            require_thresholds(self.iou_thresholds, self.rule != "greater")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--iou") from error

    @property
    def ap_variant(self) -> Variant:
        """The variant of AP."""
        return self.variant or ("coco_101point" if self.rule == "coco" else "all_point")

    def match(self, truth: GroundTruth, found: Detections) -> Matches:
        """Match the detections of one class."""
        crowd = np.asarray(truth.crowd) if self.crowd == "ignored" else np.zeros(len(truth), dtype=bool)
        hard = np.asarray(truth.difficult)
        if self.difficult == "absent":
            kept = ~hard
            truth = GroundTruth(truth.image[kept], truth.boxes[kept], None, truth.n_images, crowd[kept])
            hard, crowd = np.zeros(len(truth), dtype=bool), np.asarray(truth.crowd)
        out = crowd | hard if self.difficult == "ignored" else crowd
        if self.rule == "coco":
            plain = GroundTruth(truth.image, truth.boxes, hard, truth.n_images, crowd)
            return match_coco(plain, found, self.iou_thresholds, out)
        marked = GroundTruth(truth.image, truth.boxes, out, truth.n_images, crowd)
        return match(
            marked, found, self.iou_thresholds, ties=self.ties, difficult="ignored",
            at_least=self.rule == "at-least",
        )  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """The AP of each class in resamples of the images.

    Attributes:
        resampler: of the images.
        samples: for each class a (T, B) array: B resamples at each of T IoU thresholds.
    """

    resampler: Resampler
    samples: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, matches: Mapping[str, Matches], variant: Variant, resampling: Resampling) -> "Drawn":
        """Compute the AP of each resample; all classes are measured on the same resamples."""
        resampler = resampling.of(next(iter(matches.values())).n_images)
        return cls(resampler, {name: resampler.ap_samples(each, variant) for name, each in matches.items()})

    def interval(self, name: str | None, place: int) -> Interval:
        """Return the interval of a class, or of the mean over all for None, at a threshold."""
        if name is not None:
            return self.resampler.interval(self.samples[name][place])
        return self.resampler.interval(mean_over_classes([each[place] for each in self.samples.values()]))


@dataclass(frozen=True)
class ApRow:
    """The measures of a class at an IoU threshold, or their means over the classes.

    Attributes:
        name: the class; None for the means.
        iou: the threshold.
        ap, recall: fractions; nan without ground truth.
        interval: of AP; None if none was asked for.
        counts: objects found and missed, and false positives; empty for the means.
    """

    name: str | None
    iou: float
    ap: float
    recall: float
    interval: Interval | None
    counts: tuple[int, ...] = ()

    def as_json(self, several: bool) -> dict[str, Any]:
        """Return plain values, with the class if there are several; nan, which JSON lacks, becomes null."""
        ends = {"ap_interval": [self.interval.low, self.interval.high]} if self.interval else {}
        return {
            **({"class": self.name} if several else {}),
            "iou": self.iou, "ap": defined(self.ap), "recall": defined(self.recall), **ends,
        }  # fmt: skip


def measure(matches: Mapping[str, Matches], variant: Variant, drawn: Drawn | None) -> list[ApRow]:
    """Return the measures of each class at each threshold; with several classes, then the means."""
    rows: list[ApRow] = []
    for name, each in matches.items():
        for place, iou in enumerate(each.iou_thresholds):
            curve = precision_recall(each, iou)
            counts = curve.n_found, curve.n_ground_truth - curve.n_found, curve.n_false_positives
            interval = drawn.interval(name, place) if drawn else None
            ap = curve.average_precision(variant)
            rows.append(ApRow(name, iou, ap, curve.total_recall, interval, counts))
    if len(matches) > 1:
        for place, iou in enumerate(next(iter(matches.values())).iou_thresholds):
            of_iou = [(row.ap, row.recall) for row in rows if row.iou == iou]
            ap, recall = np.mean(of_iou, axis=0).tolist()
            rows.append(ApRow(None, iou, ap, recall, drawn.interval(None, place) if drawn else None))
    return rows


def _print_report(matches: Mapping[str, Matches], rules: Rules, rows: Sequence[ApRow]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(_table(rows, rules, several=len(matches) > 1))
    first = next(iter(matches.values()))
    counts = (
        (sum(each.n_ground_truth for each in matches.values()), "ground-truth boxes"),
        (sum(len(each.detections) for each in matches.values()), "detections"),
        (first.n_images, "images"),
    )
    console.print(", ".join(f"{count:,} {what}" for count, what in counts))
    for name, each in matches.items():
        for threshold in each.iou_thresholds if rules.rule != "coco" else ():
            tie_range = ap_over_ties(each, threshold, rules.ap_variant)
            if tie_range.width > TIE_WIDTH_WARNED:
                of = f" of {name}" if len(matches) > 1 else ""
                console.print(_warning(threshold, tie_range, of), style="yellow")


def _table(rows: Sequence[ApRow], rules: Rules, several: bool) -> Table:
    table = Table(title=f"AP {rules.ap_variant}, ties {rules.ties}", title_justify="left")
    if several:
        table.add_column("class")
    sign = ">" if rules.rule == "greater" else ">="
    interval = rows[0].interval
    level = [f"{interval.level:.0%} interval"] if interval else []
    for heading in (f"IoU {sign}", "AP", *level, "recall", "found", "missed", "false"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            *([visible(row.name or "mean")] if several else []),
            f"{row.iou:g}",
            f"{row.ap:.4f}",
            *([_ends(row.interval)] if row.interval else []),
            f"{row.recall:.4f}",
            *(f"{count:,}" for count in row.counts),
        )
    return table


def _ends(interval: Interval) -> str:
    return " to ".join("nan" if end is None else f"{end:.4f}" for end in (interval.low, interval.high))


def _warning(iou_threshold: float, ties: TieRange, of: str) -> str:
    return (
        f"Warning: at IoU {iou_threshold:g}{of} the order of equal scores alone moves AP "
        f"between {ties.low:.4f} and {ties.high:.4f} ({ties.expected:.4f} expected of a random order)"
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
