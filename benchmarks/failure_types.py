"""Compare failure types by rule with those of an annotator: `python -m benchmarks.failure_types DATA`.

`judgements/judgements.csv` holds the type that an annotator gave to each failure without knowing the type by
rule. `judgements/detections.csv` holds every detection of these images at the operating point. The rules need
nothing more than these files and the annotations of the data set. `--write` updates docs/failure-types.md.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dogcam.data.reading import read_split
from dogcam.evaluate.errors import FAILURE_TYPES, OtherObjects, classify_failures
from dogcam.evaluate.metrics import Proportion, match
from dogcam.files import atomic_write
from dogcam.structures.detections import Detections, GroundTruth
from dogcam.structures.images import LabelledImage

DATA = Path(__file__).parent / "judgements"
HALVES = ("tuning", "held out")
SUBJECTS = {"detection": "false positives", "ground_truth": "missed dogs"}
TARGET, IOU = "dog", 0.5

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


@dataclass(frozen=True)
class Case:
    """One failure and its annotated type; `box` is the false positive, or the missed dog."""

    half: str
    split: str
    image: str
    subject: str
    box: tuple[float, ...]
    judged: str


def read_cases() -> list[Case]:
    """Read the judgements."""
    return [
        Case(row["half"], row["split"], row["image"], row["subject"], _box(row), row["judged"])
        for row in _rows("judgements.csv")
    ]


def types_by_rule(cases: Sequence[Case], data: Path) -> list[str]:
    """Return the failure type of each case by the rules."""
    images = _images(cases, data)
    found = defaultdict(list)
    for row in _rows("detections.csv"):
        found[row["image"]].append((_box(row), float(row["score"])))
    others = [[thing for thing in image.objects if thing.name != TARGET] for image in images]
    matches = match(
        GroundTruth.from_images([image.boxes_of(TARGET) for image in images]),
        Detections.from_images(
            [[box for box, _ in found[image.id]] for image in images],
            [[score for _, score in found[image.id]] for image in images],
        ),
        [IOU],
    )
    failures = classify_failures(
        matches, iou_threshold=IOU, score_threshold=float("-inf"),
        others=OtherObjects.from_images(
            [[thing.box for thing in things] for things in others],
            [[thing.name for thing in things] for things in others],
        ),
    )  # fmt: skip
    types = {}
    for failure in failures:
        wrong = failure.subject == "detection"
        boxes = matches.detections.boxes if wrong else matches.ground_truth.boxes
        box = tuple(boxes[failure.detection if wrong else failure.ground_truth].tolist())
        types[images[failure.image].id, failure.subject, box] = failure.type
    return [types[case.image, case.subject, case.box] for case in cases]


def agreement(cases: Sequence[Case], types: Sequence[str], half: str, *subjects: str) -> Proportion:
    """Return the share of cases of a half and of these subjects whose two types are equal."""
    same = [
        case.judged == failure_type
        for case, failure_type in zip(cases, types, strict=True)
        if case.half == half and case.subject in subjects
    ]
    return Proportion(sum(same), len(same))


def tables(cases: Sequence[Case], types: Sequence[str]) -> str:
    """Return the agreement and the confusion table of each half as Markdown."""
    lines = ["| half | cases | agree | share | 95 % interval |", "|:--|:--|--:|--:|--:|"]
    for half in HALVES:
        for title, subjects in {"all": tuple(SUBJECTS), **{v: (k,) for k, v in SUBJECTS.items()}}.items():
            share = agreement(cases, types, half, *subjects)
            ends = share.wilson_interval()
            span = "n/a" if ends.low is None else f"{100 * ends.low:.0f} to {100 * ends.high:.0f} %"
            lines.append(
                f"| {half} | {title} | {share.count} of {share.total} | {100 * share.value:.0f} % | {span} |"
            )
    for half in HALVES:
        counts = Counter(
            (case.judged, failure_type)
            for case, failure_type in zip(cases, types, strict=True)
            if case.half == half
        )
        lines += [
            "",
            f"**{half.capitalize()}.** Rows: type by the annotator. Columns: type by the rules.",
            "",
        ]
        lines.append("| annotator | " + " | ".join(f"`{name}`" for name in FAILURE_TYPES) + " |")
        lines.append("|:--|" + "--:|" * len(FAILURE_TYPES))
        for seen in FAILURE_TYPES:
            cells = (str(counts[seen, said] or "·") for said in FAILURE_TYPES)
            lines.append(f"| `{seen}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_tables(text: str, made: str) -> str:
    """Return a document with these tables between its two markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise click.ClickException(
            f"the document has no markers {BEGIN} and {END}; add them around the place of the tables"
        )
    return pattern.sub(lambda _: f"{BEGIN}\n\n{made}\n\n{END}", text)


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--write", type=click.Path(path_type=Path, exists=True), help="Document whose tables to replace."
)
def main(data: Path, write: Path | None) -> None:
    """Compare the rules with the annotator on DATA, a folder in the layout of VOC2007."""
    cases = read_cases()
    made = tables(cases, types_by_rule(cases, data))
    click.echo(made)
    if write is not None:
        atomic_write(write, with_tables(write.read_text(encoding="utf-8"), made))


def _images(cases: Sequence[Case], data: Path) -> list[LabelledImage]:
    wanted = {(case.split, case.image) for case in cases}
    splits = {case.split for case in cases}
    return [
        image for split in sorted(splits) for image in read_split(data, split).images
        if (split, image.id) in wanted
    ]  # fmt: skip


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _box(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(row[name]) for name in ("x0", "y0", "x1", "y1"))


if __name__ == "__main__":
    main()
