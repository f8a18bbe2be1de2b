"""The command `dogcam tune`: search the numbers of a detection preset on the training split."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from dogcam.cli.options import LOCALISER_FILE, ClassifierOptions, classifier_options, preset_with
from dogcam.cli.progress import StepProgress
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.data.splits import split_name
from dogcam.detection.evidence import Evidence
from dogcam.detection.localiser import load_localiser
from dogcam.detection.localiser_method import LocaliserMethod
from dogcam.detection.observer import Observer
from dogcam.detection.presets import PRESETS, ThresholdMethod, find_preset, observer_for
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ConfigError
from dogcam.evaluate.tuning import CrossValidation, cross_validate
from dogcam.files import atomic_write
from dogcam.files.states import Sources
from dogcam.models.classifier import describe_classifier
from dogcam.structures.defaults import IOU_THRESHOLDS, TARGET
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import Split

FIT_VALUES: dict[str, tuple[Any, ...]] = {
    "midpoints": ((0.0,), (0.0, 1.0), (1.0,)),
    "ring": (0.5, 1.0),
    "side": (0.23, 0.47, 0.66, 0.94),
    "octaves": (0.5, 1.0),
    "fill": (0.6, 0.8, 1.0),
    "map_weight": (0.0, 0.3, 0.5),
    "map_fill": (0.2, 0.3, 0.4),
}
"""The values that the search draws from, for each number of `FitRule`."""

METHOD_VALUES: dict[type[ProposalMethod], dict[str, tuple[Any, ...]]] = {
    ProposalMethod: {
        "max_cover": (0.5, 0.7, 0.85),
        "vote_iou": (0.35, 0.4, 0.5, 0.6),
        "vote_sharpness": (0.0, 1.0, 3.0, 10.0),
        "fit_exponent": (1.0, 2.0, 4.0),
        "share_exponent": (0.0, 0.5, 0.75, 1.0),
    },
    LocaliserMethod: {
        "max_cover": (0.85, 1.0),
        "vote_iou": (0.4, 0.5, 0.6),
        "vote_sharpness": (0.5, 1.0, 2.0),
        "fit_exponent": (0.5, 1.0, 2.0),
        "share_exponent": (0.25, 0.5, 0.75, 1.0),
        "midpoint": (0.0, 1.0, 2.0),
        "overlap_exponent": (0.0, 1.0, 2.0, 3.0),
        "iou_exponent": (2.0, 3.0, 4.0, 6.0),
        "supporters": (5, 10, 20, 40),
    },
}
"""The same for the numbers of each kind of method."""

RESERVED = ("val", "test")
"""Splits that measure the result: nothing is chosen on them."""

_SHOWN = 10


@dataclass(frozen=True)
class _Observed:
    """Data of one image for the search: its evidence and (height, width), without its boxes."""

    evidence: list[Evidence]
    size: tuple[int, int]


@click.command("tune")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A labelled data set.")
@click.option("--split", default="train", show_default=True, help="The images to search on.")
@click.option("--limit", type=click.IntRange(min=2), help="Take only the first images of the split.")
@classifier_options
@click.option("--target", default=TARGET, show_default=True, help="The class to find.")
@LOCALISER_FILE
@click.option(
    "--preset",
    help="The method that the search begins with.  [default: best; localiser, if --localiser is given]",
)
@click.option("--trials", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--seed", default=18, show_default=True, help="Of the trials and of the folds.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), required=True, help="Write all trials.")
def command(
    data: Path,
    split: str,
    limit: int | None,
    options: ClassifierOptions,
    target: str,
    localiser: Path | None,
    preset: str | None,
    trials: int,
    folds: int,
    seed: int,
    json_path: Path,
) -> None:
    """Search the numbers of a detection preset on training images.

    Every trial is a preset with other numbers. The search chooses the trial with the highest mean AP over the
    IoU thresholds. Its AP on the images that chose it is optimistic; the cross-validated AP is measured on
    images that had no part in the choice. Splits named val and test are refused. A localiser ranks the images
    it was trained on too well: search its numbers on other images.
    """
    preset = preset_with(preset, localiser) or "best"
    method = _searchable(preset)
    if split_name(split) in RESERVED:
        raise ConfigError(
            f"the split is {split!r}; expected one to choose numbers on, such as train: val and test measure "
            "the result"
        )
    photographs = read_split(data, split, limit)
    sources = Sources(photographs.files)
    truth = GroundTruth.from_images([image.boxes_of(target) for image in photographs.images])
    if not len(truth):
        raise ConfigError(f"{data}, split {split!r}, shows no {target}; choose another split or --target")
    if folds > len(photographs):
        raise ConfigError(
            f"--folds is {folds}, and {data}, split {split!r}, has {len(photographs)} images; "
            "expected at most as many folds as images"
        )
    classifier = options.load()
    trained = load_localiser(localiser, classifier) if localiser else None
    observer = observer_for(method, classifier, (target,), trained)
    methods = list(_trials(method, trials, seed))
    with StepProgress() as progress:
        observed = _observe(photographs, method, observer, progress)
        sources.require_unchanged()
        in_turn = progress.track(methods, len(methods), "search")
        found = [_detect(each, observed, observer.side) for each in in_turn]
    result = cross_validate(truth, found, folds=folds, seed=seed)
    Console(highlight=False, soft_wrap=True).print(_table(methods, result))
    record = {
        "preset": preset, "target": target, "split": photographs.describe(), "n_objects": len(truth),
        "classifier": describe_classifier(classifier), "seed": seed, "folds": folds,
        "iou_thresholds": list(IOU_THRESHOLDS), "trials": _rows(methods, result), "best": result.best,
        "chosen_per_fold": list(result.chosen), "cross_validated_ap": result.held_out_ap.tolist(),
    }  # fmt: skip
    atomic_write(json_path, json.dumps(record, indent=1, allow_nan=False).encode())


def _searchable(preset: str) -> ProposalMethod:
    method = find_preset(preset)
    if isinstance(method, ThresholdMethod):
        names = ", ".join(name for name, each in PRESETS.items() if isinstance(each, ProposalMethod))
        raise ConfigError(f"the preset {preset!r} has one threshold, which the report tunes; choose {names}")
    return method


def _observe(
    photographs: Split, method: ProposalMethod, observer: Observer, progress: StepProgress
) -> list[_Observed]:
    return [
        _Observed(method.observe(partial(observer.evidence, read_pixels(image)))[0], image.size)
        for image in progress.track(photographs.images, len(photographs), "predict")
    ]


def _trials(method: ProposalMethod, number: int, seed: int) -> Iterator[ProposalMethod]:
    """Yield the method itself, then methods whose numbers are drawn independently and uniformly."""
    yield method
    generator = np.random.default_rng(seed)
    for _ in range(number - 1):
        fit, others = (
            {name: values[generator.integers(len(values))] for name, values in each.items()}
            for each in (FIT_VALUES, METHOD_VALUES[type(method)])
        )
        yield replace(method, fit=replace(method.fit, **fit), **others)


def _detect(method: ProposalMethod, observed: list[_Observed], side: int) -> Detections:
    located = [method.locate(each.evidence, each.size, side) for each in observed]
    return Detections.from_images([boxes for boxes, _ in located], [scores for _, scores in located])


def _numbers(method: ProposalMethod) -> dict:
    return asdict(method.fit) | {name: getattr(method, name) for name in METHOD_VALUES[type(method)]}


def _rows(methods: list[ProposalMethod], result: CrossValidation) -> list[dict]:
    return [{**_numbers(method), "ap": ap.tolist()} for method, ap in zip(methods, result.ap, strict=True)]


def _table(methods: list[ProposalMethod], result: CrossValidation) -> Table:
    table = Table(title="AP of the best trials; the last row is cross-validated", title_justify="left")
    for heading in ("trial", *(f"IoU > {each:g}" for each in IOU_THRESHOLDS), "numbers"):
        table.add_column(heading)
    order = np.argsort(-result.ap.mean(axis=1), kind="stable")[:_SHOWN]
    for index in order:
        numbers = ", ".join(f"{name} {value}" for name, value in _numbers(methods[index]).items())
        table.add_row(str(index), *(f"{value:.3f}" for value in result.ap[index]), numbers)
    chosen = ", ".join(map(str, result.chosen))
    table.add_row("chosen", *(f"{value:.3f}" for value in result.held_out_ap), f"trials {chosen}")
    return table
